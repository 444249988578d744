"""A server that takes no P-256 is reached over the curve that it takes; against real ones."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from keyturn.runtime import tls
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers.errors import StoreError, Unreachable
from keyturn.stores.providers.guard import Curves, Guard, Server
from tests.unit.stores.providers.resolver import Names
from tests.unit.stores.providers.tls_server import authority, serving_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME = "good.example"
SERVER = Server("shop", NAME, 443)
P_256, X25519, P_384 = tls.CURVES


@asynccontextmanager
async def openssl(folder: Path, *options: str, key: str = "ec") -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Serve a page with the server of OpenSSL; give its URL and who trusts it."""
    kinds = {
        "ec": "ec_paramgen_curve:P-256",
        "P-384": "ec_paramgen_curve:P-384",
        "rsa": "rsa_keygen_bits:2048",
    }
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
    command += ["-newkey", "rsa" if key == "rsa" else "ec", "-pkeyopt", kinds[key]]
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


@pytest.mark.parametrize("curve", ["P-256", "X25519", "P-384"])
async def test_a_server_of_one_curve_is_reached(tmp_path: Path, curve: str) -> None:
    async with openssl(tmp_path, "-groups", curve) as (url, trust), guarding() as guard:
        assert (await guard.ask("GET", url, trust=trust)).status == 200


@pytest.mark.parametrize(("curve", "key"), [("X25519", "rsa"), ("P-384", "rsa"), ("P-384", "P-384")])
async def test_so_it_is_with_the_older_tls(tmp_path: Path, curve: str, key: str) -> None:
    """There the curve of a certificate is one of those that are offered."""
    async with openssl(tmp_path, "-tls1_2", "-groups", curve, key=key) as (url, trust), guarding() as guard:
        assert (await guard.ask("GET", url, trust=trust)).status == 200


@pytest.mark.parametrize("curve", ["X25519", "secp384r1"])
async def test_so_it_is_with_a_server_that_hangs_up_without_an_alert(tmp_path: Path, curve: str) -> None:
    """As that of Python does."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    server, trust = authority(tmp_path, NAME)
    server.set_ecdh_curve(curve)
    trust = tls.client_context((tmp_path / "ca.crt").read_bytes())
    async with serving_tls(server, NAME, handle) as url, guarding() as guard:
        assert (await guard.ask("GET", url, trust=trust)).body == b"hello"


@pytest.mark.parametrize("group", ["P-521", "X448", "ffdhe8192"])
async def test_a_server_that_takes_none_of_them_gets_the_curves_in_the_message(
    tmp_path: Path, group: str
) -> None:
    async with openssl(tmp_path, "-groups", group) as (url, trust), guarding() as guard:
        with pytest.raises(StoreError) as refused:
            await guard.ask("GET", url, trust=trust)
    error = refused.value
    assert (type(error), error.code) == (Unreachable, "NoCommonCurve")
    assert error.hint.endswith("enable P-256")
    assert error.__context__ is None


async def test_a_certificate_that_is_not_trusted_is_asked_for_once(tmp_path: Path) -> None:
    async with openssl(tmp_path) as (url, _), guarding() as guard:
        with pytest.raises(StoreError) as refused:
            await guard.ask("GET", url)
    assert refused.value.code == "CertificateSelfSigned"


# What is remembered


def test_the_curve_that_was_taken_is_offered_first() -> None:
    curves = Curves()
    assert list(curves.for_server(SERVER)) == [P_256, X25519, P_384]

    curves.took(SERVER, P_384)

    assert list(curves.for_server(SERVER)) == [P_384, P_256, X25519]


def test_what_one_owner_has_met_changes_nothing_for_another() -> None:
    curves = Curves()
    curves.took(SERVER._replace(owner="other"), P_384)

    assert next(curves.for_server(SERVER)) == P_256


def test_a_server_that_takes_the_common_curve_again_is_forgotten() -> None:
    curves = Curves()
    curves.took(SERVER, X25519)
    curves.took(SERVER, P_256)

    assert curves._known == {}


def test_of_servers_without_end_the_oldest_is_forgotten() -> None:
    curves = Curves()
    for port in range(1, 1002):
        curves.took(SERVER._replace(port=port), P_384)

    assert len(curves._known) == 1000
    assert next(curves.for_server(SERVER._replace(port=1))) == P_256
    assert next(curves.for_server(SERVER._replace(port=1001))) == P_384
