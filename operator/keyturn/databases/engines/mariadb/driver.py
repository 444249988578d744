"""One session: opened with TLS and one try, in threads that are ended in time, with codes in place of texts.

A server's text repeats parts of a statement, and the driver's has what the server sent. So only the number of an
error leaves this module.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from pymysql.connections import Connection
from pymysql.err import MySQLError

from keyturn.databases import tls
from keyturn.databases.addresses import TIMEOUT, Place
from keyturn.databases.base import EngineSettings, Login
from keyturn.databases.errors import DatabaseError, Overloaded, Unreachable
from keyturn.runtime import threadpools

from .facts import NATIVE

OTHER_METHOD: Final = 1251
"""ER_NOT_SUPPORTED_AUTH_MODE."""
_MOST_BYTES: Final = 8_388_608
"""Bytes that a server may send to one connection; a list of 20,000 sessions has 2 MB."""
_OF_DRIVER: Final = range(2000, 3000)
"""Numbers of errors that no server sends."""
_NO_TLS: Final = 2026
_BROKEN: Final = (
    MySQLError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
)
"""What the driver raises for answers that make no sense, and on a connection that was ended meanwhile."""
_GRACE: Final = 1.0
"""Seconds that a server has beyond the time limit of a statement, which it enforces itself."""

Row: TypeAlias = tuple[str, ...]
"""A row of a query; an absent value is empty."""
T = TypeVar("T")


class LoginFailed(Exception):  # noqa: N818  # it says what happened
    """The server answered a login with an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StatementFailed(Exception):  # noqa: N818
    """The server refused a statement."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Connection(Connection):  # type: ignore[misc]  # the driver ships no types
    """Offers one method of login, whichever the server asks for, and reads no more than it must."""

    _left = _MOST_BYTES

    def _get_server_information(self) -> None:
        super()._get_server_information()
        self._auth_plugin_name = NATIVE

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        if plugin_name != NATIVE.encode():
            raise MySQLError(OTHER_METHOD)
        return super()._process_auth(plugin_name, auth_packet, handler)

    def _read_bytes(self, num_bytes: int) -> Any:
        self._left -= num_bytes
        if self._left < 0:
            raise ConnectionAbortedError
        return super()._read_bytes(num_bytes)


class Session:
    """A connection whose calls run in threads, one at a time; what is in progress when it is left ends at once."""

    def __init__(self, settings: EngineSettings, place: Place, line: socket.socket) -> None:
        self.has_tls = settings.tls is not None
        self._place, self._timeout = place, settings.statement_timeout + _GRACE
        self._line, self._end = line, line.dup()
        """The connection, and the same once more, to end it while the driver reads from it."""
        self._is_busy = False
        self._driver: Any = None

    async def log_in(self, make: Callable[[], _Connection], seconds: float) -> None:
        """Log in once.

        Raises:
            LoginFailed: The server refused it.
            DatabaseError: There was no login.
        """

        def begin() -> tuple[int, BaseException | None] | None:
            try:
                self._driver = make()
                self._driver.connect(self._line)
            except _BROKEN as error:
                return _number(error), getattr(error, "original_exception", error.__context__)
            return None

        failure = await self._run(begin, seconds)
        if failure is None:
            return
        number, cause = failure
        if number == _NO_TLS:
            raise Unreachable("NoTls", f"{self._place} has no TLS; turn it on at the server")
        if number and number not in _OF_DRIVER:
            raise LoginFailed(number)
        raise tls.not_opened(self._place, cause)

    async def query(self, text: str) -> list[Row]:
        """Execute one statement, and return its rows.

        Raises:
            StatementFailed: The server refused it.
            Unreachable: There was no answer; it may have been executed.
        """
        found = await self._run(partial(_execute, self._driver, text), self._timeout)
        if isinstance(found, list):
            return found
        if found and found not in _OF_DRIVER:
            raise StatementFailed(found)
        raise Unreachable("ConnectionLost", f"the connection to {self._place} was lost")

    def leave(self) -> None:
        """Log out, or end what is in progress."""
        with suppress(*_BROKEN):
            if self._driver and not self._is_busy:
                self._driver.close()
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()
        if not self._driver:
            self._line.close()

    async def _run(self, doing: Callable[[], T], seconds: float) -> T:
        if self._is_busy:
            raise Unreachable("ConnectionLost", f"the connection to {self._place} was lost")
        has_begun = False

        def run() -> T:
            nonlocal has_begun
            has_begun = True
            return doing()

        self._is_busy = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                result = await threadpools.run_waiting(run)
                self._is_busy = False
                return result
        if has_begun:
            raise Unreachable(TIMEOUT, f"{self._place} did not answer in {seconds:g} s")
        raise Overloaded("NoThread", f"no thread was free in time for {self._place}; it is retried")


@asynccontextmanager
async def connect(
    settings: EngineSettings, place: Place, login: Login, prepare: str | None = None
) -> AsyncIterator[Session]:
    """Log in at the first address that answers, once; `prepare` is a statement before all others.

    Raises:
        LoginFailed: The server refused it.
        DatabaseError: There was no login.
    """
    line = await _dial(settings, place)
    session = Session(settings, place, line)
    options: dict[str, Any] = {
        "host": place.endpoint.host,
        "user": login.name,
        "password": login.password.reveal(),
        "ssl": tls.trust(settings.tls.ca) if settings.tls else None,
        "ssl_disabled": settings.tls is None,
        "charset": "utf8mb4",
        "conv": {},
        "init_command": prepare,
        "autocommit": True,
        "read_timeout": settings.statement_timeout + 2 * _GRACE,
        "write_timeout": settings.statement_timeout + 2 * _GRACE,
        "program_name": "keyturn",
        "defer_connect": True,
    }
    try:
        await session.log_in(partial(_Connection, **options), settings.connect_timeout)
        yield session
    finally:
        session.leave()


async def _dial(settings: EngineSettings, place: Place) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure: DatabaseError = Unreachable("NoAddress", f"{place} has no address")
    try:
        async with asyncio.timeout(settings.connect_timeout):
            for address in place.addresses:
                line = socket.socket(replace(place, addresses=(address,)).family)
                try:
                    line.setblocking(False)  # noqa: FBT003  # a method of the library
                    await loop.sock_connect(line, (address, place.endpoint.port))
                    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                except OSError as error:
                    line.close()
                    failure = tls.not_opened(place, error)
                except BaseException:
                    line.close()
                    raise
                else:
                    return line
    except TimeoutError:
        failure = Unreachable(TIMEOUT, f"{place} did not answer in {settings.connect_timeout:g} s")
    raise failure  # outside the handler, so that no text of a library is the context


def _execute(driver: Any, text: str) -> list[Row] | int:
    """Return the rows of a statement, or the number of the error; 0 if it has none."""
    try:
        with driver.cursor() as cursor:
            cursor.execute(text)
            return [tuple(value or "" for value in row) for row in cursor.fetchall()]
    except _BROKEN as error:
        return _number(error)


def _number(error: BaseException) -> int:
    number = error.args[0] if isinstance(error, MySQLError) and error.args else 0
    return number if isinstance(number, int) and number > 0 else 0
