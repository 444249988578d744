"""A certificate that others renew is served renewed, without a restart and without a connection that is lost."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cryptography import x509
from structlog.testing import capture_logs

from keyturn.endpoints import server_tls as servertls
from keyturn.endpoints.server_tls import CannotServe, ServerTls
from sandbox.harness import until
from sandbox.pki import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest


def issue(folder: Path) -> ssl.SSLContext:
    """Write a certificate of a new authority; return what trusts that one alone."""
    authority = Authority.new("tests")
    authority.pair.write(folder, "ca")
    authority.issue("keyturn", names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]).write(folder, "tls")
    return ssl.create_default_context(cafile=str(folder / "ca.crt"))


@asynccontextmanager
async def served(tls: ServerTls, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Serve what it is asked with the certificate of the moment, and follow its files; yield the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    monkeypatch.setattr(servertls, "_RELOAD_INTERVAL", 0.01)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls.context) as server:
        following = asyncio.create_task(tls.keep())
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            following.cancel()


async def is_trusted(port: int, trust: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    except ssl.SSLError:
        return False
    writer.close()
    return True


async def test_a_renewed_certificate_is_served_and_open_connections_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = issue(tmp_path)
    async with served(ServerTls(tmp_path / "tls.crt", tmp_path / "tls.key", "metrics"), monkeypatch) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=before)
        with capture_logs() as said:
            after = issue(tmp_path)
            await until(lambda: "certificate reloaded" in [line["event"] for line in said])
        assert (await is_trusted(port, after), await is_trusted(port, before)) == (True, False)

        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()


async def test_what_cannot_be_used_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = issue(tmp_path)
    with capture_logs() as said:
        async with served(
            ServerTls(tmp_path / "tls.crt", tmp_path / "tls.key", "metrics"), monkeypatch
        ) as port:
            issue(tmp_path)
            (tmp_path / "tls.key").write_text("half a fi")
            await until(lambda: bool(said))
            await asyncio.sleep(0.1)
            assert await is_trusted(port, before)

    assert [(line["event"], line["server"]) for line in said] == [("certificate not reloaded", "metrics")]


async def test_a_certificate_that_could_not_be_used_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(tmp_path)
    tls = ServerTls(tmp_path / "tls.crt", tmp_path / "tls.key", "metrics")
    failures, load = iter(("no descriptor is left", "no descriptor is left", "another reason")), tls._load

    def fail() -> None:
        for failure in failures:
            raise CannotServe(failure)
        load()

    tls._files.load = fail
    with capture_logs() as said:
        async with served(tls, monkeypatch) as port:
            after = issue(tmp_path)
            await until(lambda: "certificate reloaded" in [line["event"] for line in said])
            assert await is_trusted(port, after)

    assert [line.get("reason") for line in said] == ["no descriptor is left", "another reason", None]
