"""One session: opened with TLS and one try, ended in time, with codes in place of the server's texts.

An error text of Redis repeats what was sent, which can be a password or its hash. So only the first word of it, which
is its code, leaves this module.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from keyturn.databases import tls
from keyturn.databases.addresses import TIMEOUT, Place
from keyturn.databases.base import NO_CONNECTION_LEFT, EngineSettings, Login
from keyturn.databases.errors import DatabaseError, Forbidden, Unreachable

_MOST_BYTES: Final = 8_388_608
"""Bytes that a server may send to one connection; a list of 20,000 clients has 6 MB."""
_CODE: Final = re.compile(r"[A-Z]{2,20}")
_FULL: Final = "max number of clients reached"
_GRACE: Final = 1.0

Reply: TypeAlias = Any
"""A text, a number, a list of them, None, or Failed."""
Command: TypeAlias = Sequence[str | bytes]


@dataclass(frozen=True, slots=True)
class Failed:
    """The server refused a command."""

    code: str
    """Such as NOPERM or READONLY; ERR for all that has no code of its own."""


class LoginRefused(Exception):  # noqa: N818  # it says what happened
    """The server refused a login: the password is wrong, or the user does not exist or is off."""


class Session:
    """An open connection, logged in."""

    def __init__(self, connection: Connection, place: Place, timeout: float) -> None:
        self.place = place
        self._connection, self._timeout = connection, timeout

    async def call(self, *command: str | bytes) -> Reply:
        """Send one command, and return its reply."""
        return (await self.send(command))[0]

    async def send(self, *commands: Command) -> list[Reply]:
        """Send commands at once, and return the reply to each.

        Raises:
            Unreachable: There was no answer; they may have been executed.
        """
        failure: DatabaseError
        try:
            async with asyncio.timeout(self._timeout):
                packed = self._connection.pack_commands(commands)
                await self._connection.send_packed_command(packed, check_health=False)
                return [await self._read() for _ in commands]
        except TimeoutError:
            failure = Unreachable(TIMEOUT, f"{self.place} did not answer in {self._timeout:g} s")
        except (RedisError, OSError, ValueError, RecursionError):
            failure = Unreachable("ConnectionLost", f"the connection to {self.place} was lost")
        raise failure  # outside the handler, so that no text of the server is the context

    async def _read(self) -> Reply:
        try:
            reply = await self._connection.read_response(disconnect_on_error=False)
        except RedisError as error:
            if (code := _code(error)) is None:
                raise
            return Failed(code)
        return _without_texts(reply)


def _without_texts(reply: Reply) -> Reply:
    """Replace the errors in the answer to EXEC."""
    if isinstance(reply, list):
        return [_without_texts(one) for one in reply]
    return Failed(_code(reply) or "ERR") if isinstance(reply, Exception) else reply


def _code(error: Exception) -> str | None:
    """Return the code of a refusal; None if the server has sent none, as its connection is lost."""
    if str(error) == _FULL:
        return NO_CONNECTION_LEFT
    known: str | None = getattr(error, "status_code", None)
    if known is None and (found := _CODE.match(str(error))) and type(error).__name__ == "ResponseError":
        known = found[0]
    return known


@asynccontextmanager
async def connect(settings: EngineSettings, place: Place, login: Login) -> AsyncIterator[Session]:
    """Log in at the first address that answers, once, and log out.

    Raises:
        LoginRefused: The server refuses the password.
        DatabaseError: There was no login.
    """
    connection = await _open(settings, place)
    try:
        session = Session(connection, place, settings.statement_timeout + _GRACE)
        reply = await session.call("AUTH", login.name, login.password.reveal())
        if isinstance(reply, Failed):
            raise _refusal(place, reply.code)
        yield session
    finally:
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)


def _refusal(place: Place, code: str) -> Exception:
    match code:
        case "WRONGPASS":
            return LoginRefused()
        case "LOADING" | "MASTERDOWN" | "BUSY":
            return Unreachable("StartingUp", f"{place} starts, and accepts no login yet")
        case "DENIED":
            message = f"{place} has protected-mode and accepts no login from elsewhere; set a password there"
            return Unreachable("Protected", message)
        case code if code == NO_CONNECTION_LEFT:
            return Unreachable(code, f"{place} accepts no more connections; raise maxclients")
        case "ERR":
            message = f"{place} has no users: Redis 6 is the oldest release that works; upgrade the server"
            return Forbidden("UnsupportedVersion", message)
        case _:
            return Unreachable(f"Code{code}", f"{place} refuses the connection with {code}")


async def _open(settings: EngineSettings, place: Place) -> Connection:
    trust = tls.trust(settings.tls.ca) if settings.tls else None
    failure: DatabaseError = Unreachable("NoAddress", f"{place} has no address")
    try:
        async with asyncio.timeout(settings.connect_timeout):
            for address in place.addresses:
                connection = _Connection(address, place.endpoint.port, place.endpoint.host, trust)
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]  # of redis-py
                except RedisError as error:
                    failure = tls.not_opened(place, error.__cause__ or error.__context__)
                else:
                    return connection
    except TimeoutError:
        silence = f"{place} did not answer in {settings.connect_timeout:g} s"
        failure = Unreachable(TIMEOUT, silence)
    raise failure


class _Connection(Connection):
    """Goes to one address, checks the certificate for the host, and reads no more than it must."""

    def __init__(self, address: str, port: int, host: str, trust: ssl.SSLContext | None) -> None:
        super().__init__(
            host=address,
            port=port,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=None,
            driver_info=None,
            decode_responses=True,
            encoding_errors="replace",
        )
        self._of_tls: Mapping[str, Any] = {"ssl": trust, "server_hostname": host} if trust else {}

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        reader = _Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, self.host, self.port, **self._of_tls)
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Reader(asyncio.StreamReader):
    """Ends with an error if the server sends more than any answer has."""

    _left = _MOST_BYTES

    def feed_data(self, data: Any) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.set_exception(ConnectionAbortedError())
            return
        super().feed_data(data)
