"""Servers that pose as PostgreSQL, and keep every byte that a client sends."""

import asyncio
import base64
import hashlib
import hmac
import re
import ssl
import struct
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sandbox.pki import Authority

_TLS_REQUEST: Final = 80877103
_SEVERITY: Final = "ФАТАЛЬНО"


@dataclass(slots=True)
class Talk:
    """One connection, after TLS if there is any."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray

    async def read(self, count: int) -> bytes:
        got = await self.reader.readexactly(count)
        self.received.extend(got)
        return got

    async def message(self) -> bytes:
        """Read a message of the client, without its type and length."""
        kind, length = struct.unpack("!cI", await self.read(5))
        del kind
        return await self.read(length - 4)

    async def send(self, kind: bytes, content: bytes) -> None:
        self.writer.write(kind + struct.pack("!I", len(content) + 4) + content)
        await self.writer.drain()

    async def refuse(self, state: str, text: str) -> None:
        """Send an error in a language of its own."""
        fields = {"S": _SEVERITY, "C": state, "M": text}
        content = b"".join(f"{kind}{value}".encode() + b"\0" for kind, value in fields.items())
        await self.send(b"E", content + b"\0")


async def ask_clear_text(talk: Talk) -> None:
    await talk.send(b"R", struct.pack("!I", 3))
    await talk.message()


async def ask_md5(talk: Talk) -> None:
    await talk.send(b"R", struct.pack("!I", 5) + b"salt")
    await talk.message()


async def trust(talk: Talk) -> None:
    """Accept each client without a password."""
    await talk.send(b"R", struct.pack("!I", 0))
    await talk.send(b"Z", b"I")
    await talk.message()


async def ask_scram(talk: Talk) -> None:
    """Ask as PostgreSQL does, with a salt of its own; take the proof, and claim to know the verifier."""
    await _scram(talk)
    await talk.send(b"R", struct.pack("!I", 12) + b"v=" + base64.b64encode(b"x" * 32))
    await talk.message()


def asking_for_long(asked: asyncio.Event, iterations: int) -> Callable[[Talk], Awaitable[None]]:
    """Ask for a proof that takes long to compute."""

    async def ask(talk: Talk) -> None:
        asked.set()
        await _scram(talk, iterations=iterations)

    return ask


def hiding_iterations(
    written: bytes, *, decoy: bytes = b"", at: int = 0
) -> Callable[[Talk], Awaitable[None]]:
    """Ask for a long proof, whose iterations are written so and are sent in two parts."""

    async def ask(talk: Talk) -> None:
        await talk.send(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0" + decoy + b"\0")
        found = re.search(rb"r=([^,]+)", await talk.message())
        assert found
        salt = base64.b64encode(b"s" * 16)
        content = struct.pack("!I", 11) + b"r=" + found[1] + b"rogue,s=" + salt + b",i=" + written
        message = b"R" + struct.pack("!I", len(content) + 4) + content
        parts = [message[:-at], message[-at:]] if at else [message]
        for part in parts:
            talk.writer.write(part)
            await talk.writer.drain()
            await asyncio.sleep(0.05)
        await talk.message()

    return ask


async def _scram(talk: Talk, iterations: int = 4096) -> None:
    await talk.send(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
    found = re.search(rb"r=([^,]+)", await talk.message())
    assert found
    salt = base64.b64encode(b"s" * 16)
    await talk.send(
        b"R", struct.pack("!I", 11) + b"r=" + found[1] + b"rogue,s=" + salt + f",i={iterations}".encode()
    )
    await talk.message()


def accepting(password: str, then: Callable[[Talk], Awaitable[None]]) -> Callable[[Talk], Awaitable[None]]:
    """Know the password, accept the client, and go on with what a server sends after that."""

    async def accept(talk: Talk) -> None:
        await talk.send(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
        first = (await talk.message()).partition(b"n=")[2]
        found, salt = re.search(rb"r=([^,]+)", first), b"s" * 16
        assert found
        answer = b"r=" + found[1] + b"rogue,s=" + base64.b64encode(salt) + b",i=4096"
        await talk.send(b"R", struct.pack("!I", 11) + answer)
        last, _, _ = (await talk.message()).partition(b",p=")
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
        key = hmac.digest(salted, b"Server Key", "sha256")
        signature = hmac.digest(key, b",".join([b"n=" + first, answer, last]), "sha256")
        await talk.send(b"R", struct.pack("!I", 12) + b"v=" + base64.b64encode(signature))
        await talk.send(b"R", struct.pack("!I", 0))
        await then(talk)

    return accept


def refusing(state: str, text: str = "no") -> Callable[[Talk], Awaitable[None]]:
    """Refuse before the client was asked for a password."""

    async def refuse(talk: Talk) -> None:
        await talk.refuse(state, text)

    return refuse


def refusing_after_scram(state: str, text: str = "no") -> Callable[[Talk], Awaitable[None]]:
    """Refuse what the client proved."""

    async def refuse(talk: Talk) -> None:
        await _scram(talk)
        await talk.refuse(state, text)

    return refuse


@dataclass(slots=True)
class Rogue:
    """A server on a port of its own, with or without TLS."""

    behaviour: Callable[[Talk], Awaitable[None]]
    authority: Authority | None = None
    """Signs its certificate; without one it has no TLS."""
    names: tuple[str, ...] = ("127.0.0.1",)
    received: bytearray = field(default_factory=bytearray)
    asked: int = 0
    """How often a client started a login."""
    address: str = "127.0.0.1"
    wanted_port: int = 0
    """0 for any."""
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.address, self.wanted_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer, self.received)
        try:
            length, code = struct.unpack("!II", await talk.read(8))
            if code == _TLS_REQUEST:
                await self._answer_tls(writer)
                length, code = struct.unpack("!II", await talk.read(8))
            await talk.read(length - 8)
            self.asked += 1
            await self.behaviour(talk)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    async def _answer_tls(self, writer: asyncio.StreamWriter) -> None:
        if self.authority is None:
            writer.write(b"N")
            await writer.drain()
            return
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(_context(self.authority, self.names))


def _context(authority: Authority, names: tuple[str, ...]) -> ssl.SSLContext:
    issued = authority.ca.issue_cert(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "server.pem"
        file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        context.load_cert_chain(file)
    return context
