"""A server without P-256 is refused with a sentence; against real ones."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from keyturn.runtime import tls
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers.errors import StoreError, Unreachable
from keyturn.stores.providers.guard import Guard
from tests.unit.stores.providers.resolver import Names

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME = "good.example"


@asynccontextmanager
async def openssl(folder: Path, *options: str) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Serve a page with the server of OpenSSL; give its URL and who trusts it."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-subj",
        "/CN=test",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ("-key", str(folder / "tls.key"), "-cert", str(folder / "tls.crt"))
    command += ["-keyout", files[1], "-out", files[3]]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    serve = ("s_server", "-accept", "127.0.0.1:0", "-www", *files, *options)
    process = await asyncio.create_subprocess_exec("openssl", *serve, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        while not (found := re.match(rb"ACCEPT .*:(\d+)", await process.stdout.readline())):
            assert process.returncode is None
        trust = tls.client_context((folder / "tls.crt").read_bytes())
        yield f"https://{NAME}:{int(found[1])}", trust
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def guarding() -> AsyncIterator[Guard]:
    guard = Guard((AllowedHost(NAME),), resolver=Names("127.0.0.1"))
    try:
        yield guard
    finally:
        await guard.close()


@pytest.mark.parametrize("group", ["X25519", "P-384", "ffdhe8192"])
async def test_a_server_without_the_curve_gets_it_in_the_message(tmp_path: Path, group: str) -> None:
    async with openssl(tmp_path, "-groups", group) as (url, trust), guarding() as guard:
        with pytest.raises(StoreError) as refused:
            await guard.ask("GET", url, trust=trust)
    error = refused.value
    assert (type(error), error.code) == (Unreachable, "NoCommonCurve")
    assert error.hint.endswith("enable P-256 and TLS 1.3")
    assert error.__context__ is None


async def test_a_certificate_that_is_not_trusted_is_asked_for_once(tmp_path: Path) -> None:
    async with openssl(tmp_path) as (url, _), guarding() as guard:
        with pytest.raises(StoreError) as refused:
            await guard.ask("GET", url)
    assert refused.value.code == "CertificateSelfSigned"
