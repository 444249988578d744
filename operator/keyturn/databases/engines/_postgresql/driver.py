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
import re
import socket
import ssl
import struct
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from psycopg import OperationalError, generators, pq, waiting
from psycopg.conninfo import make_conninfo

from keyturn.databases.errors import Overloaded, RefusedByPolicy, Unreachable
from keyturn.runtime import threadpools

from . import codes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Generator, Iterator, Mapping, Sequence

    from keyturn.databases.base import Endpoint, EngineSettings, Login

__all__ = ["ConnectionFailed", "Row", "Session", "StatementFailed", "connect"]

T = TypeVar("T")

Row: TypeAlias = tuple[str, ...]
"""A row of a query; no query of ours has an absent value."""

_INTERVAL: Final = 60.0
"""Seconds between two checks of a socket without an event; time limits are elsewhere."""
_SQLSTATE: Final = 3
"""PQERRORS_SQLSTATE."""
_MOST_ITERATIONS: Final = 65_536
"""Hashes per password, of which 4,096 are usual and take milliseconds."""
_HASHED_WITHIN: Final = 10.0
"""Seconds of one hash, which takes milliseconds; the rest is the wait for a thread of its tenant."""
_DIGITS: Final = 9
_ITERATIONS: Final = re.compile(rb",i=\s*+\+?+0*+(\d*+)")
"""In the first answer of a server during SCRAM; a nonce and a salt have no comma."""
_RECORD: Final = 16_384
"""Bytes of a TLS record, of which libpq reads one at a time."""
_MOST_HEARD: Final = 8_192
"""Bytes of a login up to the iterations, which take some hundreds."""
_MOST_BYTES: Final = 1_048_576
"""Bytes that a server may send to one connection, TLS included; the answers to all our queries are some kilobytes."""
_MOST_ROWS: Final = 10_000
_BUFFER: Final = 65_536
"""Bytes that the kernel keeps of a connection, and so about as many as libpq reads at a time."""
_TCP_BYTES_RECEIVED: Final = struct.Struct("@128xQ")
"""tcpi_bytes_received of Linux, from 4.1 on."""
_SQLSTATE_LENGTH: Final = 5
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

    def __init__(self, opening: _Opening, timeout: float, owner: str) -> None:
        self._opening, self._connection = opening, opening.connection
        self._timeout = timeout
        self._owner = owner

    @property
    def version(self) -> int:
        """The server's release, such as 160004."""
        return self._connection.server_version

    @property
    def version_text(self) -> str:
        """The server's release, such as 16.4."""
        major, minor = divmod(self.version, 10_000)
        return f"{major}.{minor}"

    async def verifier(self, login: Login) -> str:
        """Return what the server stores for a password; computed here, in a thread, with a new salt.

        Raises:
            RefusedByPolicy: The server wants it hashed so often that it takes the processor for long.
            Overloaded: No thread was free in time.
            Unreachable: The connection was left meanwhile.
        """
        wanted = self._connection.parameter_status(b"scram_iterations") or b"0"
        if not wanted.isdigit() or int(wanted[:_DIGITS]) > _MOST_ITERATIONS or len(wanted) > _DIGITS:
            raise RefusedByPolicy(
                "TooManyIterations", f"scram_iterations of the server exceeds {_MOST_ITERATIONS}; lower it"
            )
        verifier = None
        with suppress(TimeoutError, threadpools.TookTooLong):
            async with asyncio.timeout(_HASHED_WITHIN):
                verifier = await threadpools.for_tenant(
                    self._owner, self._opening.verifier, login.name.encode(), login.password.reveal()
                )
        if verifier is None:
            raise Overloaded("NoThread", "no thread was free in time to hash a password; it is retried")
        if not verifier:
            raise Unreachable("ConnectionLost", "the connection was closed before the password was hashed")
        return verifier.decode("ascii")

    async def query(self, text: str, *parameters: str) -> list[Row]:
        """Execute one statement, and return its rows.

        Raises:
            StatementFailed: The server refused it.
            Unreachable: There was no answer; it may have been executed.
        """
        result = await _within(self._timeout, self._execute(text, parameters))
        if result.status in _OK:
            if result.ntuples > _MOST_ROWS:
                raise _too_much()
            return [_row(result, n) for n in range(result.ntuples)]
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        if not state:
            raise Unreachable("ConnectionLost", "the connection to the server was lost")
        raise StatementFailed(_code(state))

    async def _execute(self, text: str, parameters: Sequence[str]) -> pq.abc.PGresult:
        try:
            self._connection.send_query_params(text.encode(), [one.encode() for one in parameters])
            running = _metered(generators.execute(self._connection), self._connection.socket)
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
        opening = _Opening(info.encode())
        try:
            await _log_in(opening, settings, endpoint)
            yield Session(opening, settings.statement_timeout + _GRACE, settings.owner)
        finally:
            opening.leave()


class _Opening:
    """A connection that is being opened; each step of it runs in a thread.

    The server chooses how often the proof of a password is hashed, and libpq has no limit for that. So each step
    looks at what libpq is about to read, and computes no proof that takes long. It holds neither the event loop nor
    Python's lock, and a connection that is left is closed when its step ends.
    """

    def __init__(self, info: bytes) -> None:
        self.connection: pq.abc.PGconn = pq.PGconn.connect_start(info)
        self._address: int | None = self.connection.pgconn_ptr  # type: ignore[attr-defined]  # of the protocol alone
        self._step = threading.Lock()
        self._is_left = False
        self._heard = b""
        self._state: int = pq.PollingStatus.WRITING
        _libpq().PQsetErrorVerbosity(ctypes.c_void_p(self._address), _SQLSTATE)

    def advance(self) -> int:
        """Do what the socket is ready for, and return what to wait for.

        Raises:
            Unreachable: The server wants the password hashed so often that it takes the processor for long.
        """
        try:
            with self._step:
                if self._is_left:
                    self._state = pq.PollingStatus.FAILED
                elif self._looks_ahead():
                    self._state = _libpq().PQconnectPoll(ctypes.c_void_p(self._address))
        finally:
            if self._is_left:
                self.leave()
        return self._state

    def _looks_ahead(self) -> bool:
        """Return whether libpq may continue; not while it waits for a TLS record of which only a part is there."""
        if self._state != pq.PollingStatus.READING:
            return True  # a look would take the error of a connection that is refused
        if len(self._heard) > _MOST_HEARD:
            return True  # it is past the proof
        next_bytes = _peek(self._address, self.connection)
        if next_bytes is None:
            return False
        self._heard += next_bytes
        self._check_iterations()
        return True

    def _check_iterations(self) -> None:
        found = _ITERATIONS.findall(self._heard)
        is_hidden = not found and len(self._heard) > _MOST_HEARD
        if is_hidden or any(len(one) > _DIGITS or int(one or b"0") > _MOST_ITERATIONS for one in found):
            raise Unreachable(
                "TooManyIterations",
                f"the server wants a password hashed more than {_MOST_ITERATIONS} times; lower scram_iterations, and"
                " set the password again",
            )

    def verifier(self, name: bytes, password: bytes) -> bytes:
        """Return what the server stores for a password; empty if the connection was left.

        The server chooses how often it is hashed, up to our limit: a step as well.
        """
        library = _libpq()
        library.PQencryptPasswordConn.restype = ctypes.c_void_p
        verifier, text = None, b""
        try:
            with self._step:
                if not self._is_left:
                    verifier = library.PQencryptPasswordConn(
                        ctypes.c_void_p(self._address), password, name, b"scram-sha-256"
                    )
            if verifier:
                text = ctypes.string_at(verifier)
                library.PQfreemem(ctypes.c_void_p(verifier))
        finally:
            if self._is_left:
                self.leave()
        return text

    def leave(self) -> None:
        """Close it, now or at the end of the step that is in progress."""
        self._is_left = True
        if self._step.acquire(blocking=False):
            try:
                self.connection.finish()
            finally:
                self._step.release()


@functools.cache
def _libpq() -> ctypes.CDLL:
    """Return the library that psycopg is linked with, for the functions that psycopg does not offer as they are."""
    return ctypes.CDLL(importlib.import_module(pq.PGconn.__module__).__file__)


def _peek(address: int | None, connection: pq.abc.PGconn) -> bytes | None:
    """Return what libpq reads next of a login, and leave it there; None if TLS has only a part of it."""
    library, buffer = _libpq(), ctypes.create_string_buffer(_RECORD)
    library.PQgetssl.restype = ctypes.c_void_p
    tls = ctypes.c_void_p(library.PQgetssl(ctypes.c_void_p(address)))
    if tls and not library.SSL_is_init_finished(tls):
        return b""
    if tls:
        count = library.SSL_peek(tls, buffer, _RECORD)
        is_incomplete = count <= 0 and library.SSL_get_error(tls, count) == ssl.SSL_ERROR_WANT_READ
        return None if is_incomplete else buffer.raw[: max(count, 0)]
    with suppress(OSError, OperationalError):
        plain = socket.socket(fileno=connection.socket)
        try:
            return plain.recv(_RECORD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        finally:
            plain.detach()
    return b""


async def _log_in(opening: _Opening, settings: EngineSettings, endpoint: Endpoint) -> None:
    place, connection, seconds = str(endpoint), opening.connection, settings.connect_timeout
    try:
        async with asyncio.timeout(seconds):
            await _advance(opening, settings.owner)
    except (TimeoutError, threadpools.TookTooLong):
        failure = codes.Failure(place, code="Timeout", message=f"{place} did not answer in {seconds:g} s")
    except OperationalError:
        failure = codes.failure_of(place, "", was_asked=False)
    else:
        if connection.status == pq.ConnStatus.OK:
            return
        text = connection.error_message.decode(errors="replace")
        failure = codes.failure_of(place, text, was_asked=connection.used_password)
    raise ConnectionFailed(failure)


async def _advance(opening: _Opening, owner: str) -> None:
    """Advance a login with each event of its socket, which changes with the address."""
    if opening.connection.status == pq.ConnStatus.BAD:
        return
    wait = _WAITS.get(pq.PollingStatus.WRITING)
    while wait is not None:
        await waiting.wait_async(_once(wait), opening.connection.socket, _INTERVAL)
        _check_received(opening.connection.socket)
        wait = _WAITS.get(await threadpools.for_tenant(owner, opening.advance))


def _once(wait: waiting.Wait) -> Generator[waiting.Wait, waiting.Ready | int, None]:
    """Wait for one event."""
    yield wait


def _metered(
    running: Generator[waiting.Wait, waiting.Ready | int, T], file: int
) -> Generator[waiting.Wait, waiting.Ready | int, T]:
    """Do the same steps while the server has not sent too much."""
    ready: waiting.Ready | int | None = None
    while True:
        try:
            wait = next(running) if ready is None else running.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
        ready = yield wait
        _check_received(file)


def _check_received(file: int) -> None:
    """Check how much a server has sent, whatever it is: rows, notices, settings or half a message.

    Raises:
        Unreachable: It is more than any answer to our queries.
    """
    connection = socket.socket(fileno=file)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_BYTES_RECEIVED.size)
    finally:
        connection.detach()
    if len(information) < _TCP_BYTES_RECEIVED.size:
        return  # another kernel; the limits of time remain
    (count,) = _TCP_BYTES_RECEIVED.unpack(information)
    if count > _MOST_BYTES:
        raise _too_much()


def _too_much() -> Unreachable:
    return Unreachable(
        "TooMuch", "the server sends more than the answer to any query of ours; check the host of the target"
    )


def _code(state: bytes) -> str:
    """Return a SQLSTATE; "XXXXX" for what is none, which could be a text of the server."""
    text = state.decode("ascii", errors="replace")
    return text if text.isascii() and text.isalnum() and len(text) == _SQLSTATE_LENGTH else "XXXXX"


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
    return tuple((value or b"").replace(b"\0", b"?").decode(errors="replace") for value in values)
