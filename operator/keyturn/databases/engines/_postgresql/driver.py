"""One connection: opened with TLS and SCRAM alone, ended in time, with codes in place of the server's texts.

libpq reports a SQLSTATE instead of a message, which can repeat a statement and follows the server's language. psycopg
has no SQLSTATE of a connection that failed, so this is set on a connection before it is open.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import importlib
import os
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from psycopg import OperationalError, generators, pq, waiting
from psycopg.conninfo import make_conninfo

from keyturn.databases.errors import RefusedByPolicy, Unreachable

from . import codes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence

    from keyturn.databases.base import Endpoint, EngineSettings, Login

__all__ = ["ConnectionFailed", "Row", "Session", "StatementFailed", "connect"]

T = TypeVar("T")

Row: TypeAlias = tuple[str, ...]
"""A row of a query; no query of ours has an absent value."""

_INTERVAL: Final = 60.0
"""Seconds between two looks at a socket that had no event; time limits are elsewhere."""
_SQLSTATE: Final = 3
"""PQERRORS_SQLSTATE."""
_GRACE: Final = 1.0
"""Seconds that a server has beyond the time limit of a statement, which it enforces itself."""
_WAITS: Final[Mapping[int, waiting.Wait]] = {
    pq.PollingStatus.READING: waiting.Wait.R,
    pq.PollingStatus.WRITING: waiting.Wait.W,
}
_OK: Final = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})


class ConnectionFailed(Exception):  # noqa: N818  # it says what happened
    """A connection was not opened."""

    def __init__(self, failure: codes.Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class StatementFailed(Exception):  # noqa: N818
    """The server refused a statement."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Session:
    """An open connection."""

    def __init__(self, connection: pq.abc.PGconn, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    @property
    def version(self) -> int:
        """The server's release, such as 160004."""
        return self._connection.server_version

    @property
    def version_text(self) -> str:
        """The server's release, such as 16.4."""
        major, minor = divmod(self.version, 10_000)
        return f"{major}.{minor}"

    def verifier(self, login: Login) -> str:
        """Return what the server stores for a password; computed here, with a new salt."""
        name, password = login.name.encode(), login.password.reveal()
        return self._connection.encrypt_password(password, name, b"scram-sha-256").decode("ascii")

    async def query(self, text: str, *parameters: str) -> list[Row]:
        """Execute one statement, and return its rows.

        Raises:
            StatementFailed: The server refused it.
            Unreachable: There was no answer; it may have been executed.
        """
        result = await _within(self._timeout, self._execute(text, parameters))
        if result.status in _OK:
            return [_row(result, n) for n in range(result.ntuples)]
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        if not state:
            raise Unreachable("ConnectionLost", "the connection to the server was lost")
        raise StatementFailed(state.decode("ascii"))

    async def _execute(self, text: str, parameters: Sequence[str]) -> pq.abc.PGresult:
        try:
            self._connection.send_query_params(text.encode(), [one.encode() for one in parameters])
            running = generators.execute(self._connection)
            results = await waiting.wait_async(running, self._connection.socket, _INTERVAL)
        except OperationalError:
            results = []
        if not results:
            # Outside the handler, so that no text of the library is the context.
            raise Unreachable("ConnectionLost", "the connection to the server was lost")
        result: pq.abc.PGresult = results[-1]
        return result


@asynccontextmanager
async def connect(
    settings: EngineSettings, endpoint: Endpoint, login: Login, application: str
) -> AsyncIterator[Session]:
    """Open a connection, and close it; a transaction that is not committed is rolled back by the server.

    Raises:
        ConnectionFailed: It was not opened.
        DatabaseError: The host has no address that may be connected to.
    """
    addresses = await _addresses(settings, endpoint)
    with _authorities(settings) as tls:
        info = make_conninfo(
            host=",".join([endpoint.host] * len(addresses)),
            hostaddr=",".join(addresses),
            port=endpoint.port,
            dbname=settings.database,
            user=login.name,
            password=_password(login),
            application_name=application,
            require_auth="scram-sha-256",
            gssencmode="disable",
            client_encoding="UTF8",
            **tls,
        )
        connection = pq.PGconn.connect_start(info.encode())
        try:
            _report_states(connection)
            await _log_in(connection, endpoint, settings.connect_timeout)
            yield Session(connection, settings.statement_timeout + _GRACE)
        finally:
            connection.finish()


def _report_states(connection: pq.abc.PGconn) -> None:
    address: int | None = connection.pgconn_ptr  # type: ignore[attr-defined]  # absent from the protocol alone
    _set_verbosity()(address, _SQLSTATE)


@functools.cache
def _set_verbosity() -> Callable[[int | None, int], int]:
    """Return libpq's function of the library that psycopg is linked with, which psycopg itself does not offer."""
    module = importlib.import_module(pq.PGconn.__module__)
    function = ctypes.CDLL(module.__file__).PQsetErrorVerbosity
    function.argtypes = (ctypes.c_void_p, ctypes.c_int)
    function.restype = ctypes.c_int
    return function


async def _log_in(connection: pq.abc.PGconn, endpoint: Endpoint, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiting.wait_conn_async(_polled(connection), _INTERVAL)
    except TimeoutError:
        failure = codes.Failure(
            str(endpoint), code="Timeout", message=f"{endpoint} did not answer in {seconds:g} s"
        )
    except OperationalError:
        failure = codes.failure_of(str(endpoint), "", was_asked=False)
    else:
        if connection.status == pq.ConnStatus.OK:
            return
        text = connection.error_message.decode(errors="replace")
        failure = codes.failure_of(str(endpoint), text, was_asked=connection.used_password)
    raise ConnectionFailed(failure)


def _polled(connection: pq.abc.PGconn) -> Generator[tuple[int, waiting.Wait], waiting.Ready | int, None]:
    """Advance the login with each event of its socket, which changes with the address."""
    if connection.status == pq.ConnStatus.BAD:
        return
    wait = _WAITS.get(pq.PollingStatus.WRITING)
    while wait is not None:
        while not (yield connection.socket, wait):
            pass  # no event within the interval
        wait = _WAITS.get(connection.connect_poll())


async def _addresses(settings: EngineSettings, endpoint: Endpoint) -> tuple[str, ...]:
    if settings.resolve is not None:
        return await settings.resolve(endpoint)
    loop = asyncio.get_running_loop()
    try:
        found = await _within(
            settings.connect_timeout, loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        )
    except OSError:
        found = []
    if not found:
        raise Unreachable(
            "HostNotFound", f"DNS has no address of {endpoint.host}; correct the host of the target"
        )
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


@contextmanager
def _authorities(settings: EngineSettings) -> Iterator[dict[str, str]]:
    """Give the parameters of TLS; libpq reads authorities of a file, here one that is only in memory."""
    if settings.tls is None:
        yield {"sslmode": "disable"}
        return
    common = {"sslmode": "verify-full", "sslcertmode": "disable", "ssl_min_protocol_version": "TLSv1.2"}
    if settings.tls.ca is None:
        # libpq's own OpenSSL may look elsewhere than the system's.
        yield {**common, "sslrootcert": ssl.get_default_verify_paths().cafile or "system"}
        return
    file = os.memfd_create("authorities", os.MFD_CLOEXEC)
    try:
        os.write(file, settings.tls.ca)
        yield {**common, "sslrootcert": f"/proc/self/fd/{file}"}
    finally:
        os.close(file)


def _password(login: Login) -> str:
    """Return a password as libpq takes it."""
    content = login.password.reveal()
    with suppress(UnicodeDecodeError):
        text = content.decode()
        if text and "\0" not in text:
            return text
    # Outside the handler, as the error of the decoder has the value.
    raise RefusedByPolicy("UnsupportedValue", f"the password of {login.name!r} is empty or no text")


async def _within(seconds: float, doing: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await doing
    except TimeoutError:
        pass
    raise Unreachable("Timeout", f"the server did not answer in {seconds:g} s")


def _row(result: pq.abc.PGresult, number: int) -> Row:
    values = (result.get_value(number, column) for column in range(result.nfields))
    return tuple((value or b"").decode() for value in values)
