"""One session: opened with TLS and SCRAM alone, ended in time, with codes in place of the server's texts.

libpq reports a SQLSTATE instead of a message, which can repeat a statement and follows the server's language. psycopg
has no SQLSTATE of a connection that failed, so this is set on a connection before it is open.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from psycopg import OperationalError, generators, pq, waiting

from keyturn.databases.base import Salt
from keyturn.databases.errors import Overloaded, RefusedByPolicy, Unreachable
from keyturn.runtime import threadpools

from . import codes, connecting, scram
from .addresses import TIMEOUT
from .connecting import OtherSalt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Generator, Iterator, Mapping, Sequence

    from keyturn.databases.base import EngineSettings, Login

    from .addresses import Place
    from .connecting import Opening

T = TypeVar("T")

Row: TypeAlias = tuple[str, ...]
"""A row of a query; no query of ours has an absent value."""

_HASHED_WITHIN: Final = 10.0
"""Seconds of one hash, which takes milliseconds; the rest is the wait for a thread of its tenant."""
_DIGITS: Final = 9
_MOST_ROWS: Final = 10_000
_SQLSTATE_LENGTH: Final = 5
_GRACE: Final = 1.0
"""Seconds that a server has beyond the time limit of a statement, which it enforces itself."""
_CONCURRENT: Final = frozenset({b"tuple concurrently updated", b"tuple concurrently deleted"})
"""What the server says of a role that another session has changed meanwhile."""
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

    def __init__(self, opening: Opening, timeout: float, owner: str) -> None:
        self._opening, self._connection = opening, opening.connection
        self._timeout = timeout
        self._owner = owner

    @property
    def salt(self) -> Salt | None:
        """How the server has hashed the password of this login; None if it did not say that."""
        return self._opening.salt

    @property
    def version(self) -> int:
        """The server's release, such as 160004."""
        return self._connection.server_version

    @property
    def version_text(self) -> str:
        """The server's release, such as 16.4."""
        major, minor = divmod(self.version, 10_000)
        return f"{major}.{minor}"

    async def verifier(self, login: Login, salt: bytes) -> str:
        """Return what the server stores for a password; computed here, in a thread.

        Raises:
            RefusedByPolicy: The server wants it hashed so often that it takes the processor for long.
            Overloaded: No thread was free in time.
        """
        wanted = self._connection.parameter_status(b"scram_iterations") or b"%d" % scram.DEFAULT_ITERATIONS
        is_number = wanted.isdigit() and len(wanted) <= _DIGITS
        if not is_number or not 0 < int(wanted) <= connecting.MOST_ITERATIONS:
            raise RefusedByPolicy(
                "TooManyIterations",
                f"scram_iterations of the server exceeds {connecting.MOST_ITERATIONS}; lower it",
            )
        with suppress(TimeoutError, threadpools.TookTooLong):
            async with asyncio.timeout(_HASHED_WITHIN):
                return await threadpools.run_for_tenant(
                    self._owner, scram.verifier, login.password.reveal(), Salt(salt, int(wanted))
                )
        raise Overloaded("NoThread", "no thread was free in time to hash a password; it is retried")

    async def query(self, text: str, *parameters: str) -> list[Row]:
        """Execute one statement, and return its rows.

        Raises:
            StatementFailed: The server refused it.
            Unreachable: There was no answer; it may have been executed.
        """
        result = await _within(self._timeout, self._execute(text, parameters))
        if result.status in _OK:
            if result.ntuples > _MOST_ROWS:
                raise connecting.too_much()
            return [_row(result, n) for n in range(result.ntuples)]
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        if not state:
            raise Unreachable("ConnectionLost", "the connection to the server was lost")
        # A message of the server's code itself, which has the SQLSTATE of an internal error and is never translated.
        is_concurrent = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) in _CONCURRENT
        raise StatementFailed(codes.CONCURRENT if is_concurrent else _code(state))

    async def _execute(self, text: str, parameters: Sequence[str]) -> pq.abc.PGresult:
        try:
            self._connection.send_query_params(text.encode(), [one.encode() for one in parameters])
            running = _metered(generators.execute(self._connection), self._connection.socket)
            results = await waiting.wait_async(running, self._connection.socket, connecting.INTERVAL)
        except OperationalError:
            results = []
        if not results:
            # Outside the handler, so that no text of the library is the context.
            raise Unreachable("ConnectionLost", "the connection to the server was lost")
        result: pq.abc.PGresult = results[-1]
        return result


@asynccontextmanager
async def connect(
    settings: EngineSettings, place: Place, login: Login, application: str, salt: Salt | None = None
) -> AsyncIterator[Session]:
    """Open a connection, and close it; a transaction that is not committed is rolled back by the server.

    With `salt`, that of an earlier login, the login takes less time of the processor.

    Raises:
        ConnectionFailed: It was not opened.
        OtherSalt: It was not opened, and the server has not said that it has the password with this salt.
        Overloaded: No thread was free in time.
    """
    with _authorities(settings) as tls:
        parameters = {
            "host": ",".join([place.endpoint.host] * len(place.addresses)),
            "hostaddr": ",".join(place.addresses),
            "port": str(place.endpoint.port),
            "dbname": settings.database,
            "user": login.name,
            "application_name": application,
            "require_auth": "scram-sha-256",
            "gssencmode": "disable",
            "client_encoding": "UTF8",
            **tls,
        }
        password = text_of(login)
        salt = salt if salt and scram.is_able(password) else None

        def information() -> bytes:
            secret = scram.keys(password, salt) if salt else {"password": password}
            return _information({**parameters, **secret})

        opening = connecting.Opening(information, salt)
        try:
            await _log_in(opening, settings, place)
            yield Session(opening, settings.statement_timeout + _GRACE, settings.owner)
        finally:
            opening.leave()


async def _log_in(opening: Opening, settings: EngineSettings, at: Place) -> None:
    failure: codes.Failure | None
    place, seconds = str(at), settings.connect_timeout
    try:
        async with asyncio.timeout(seconds):
            await connecting.advance(opening, settings.owner)
    except threadpools.TookTooLong:
        failure = None
    except TimeoutError:
        silence = codes.Failure(place, code=TIMEOUT, message=f"{place} did not answer in {seconds:g} s")
        failure = silence if opening.has_begun else None
    except OperationalError:
        failure = codes.failure_of(place, "", was_asked=False)
    else:
        connection = opening.connection
        if connection.status == pq.ConnStatus.OK:
            return
        if connection.used_password and not opening.is_of_salt:
            raise OtherSalt
        text = connection.error_message.decode(errors="replace")
        failure = codes.failure_of(
            place, text, was_asked=connection.used_password, was_accepted=opening.was_accepted
        )
    if failure is None:
        raise Overloaded("NoThread", "no thread was free in time for a login; it is retried")
    raise ConnectionFailed(failure)


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
        connecting.check_received(file)


def _code(state: bytes) -> str:
    """Return a SQLSTATE; "XXXXX" for what is none, which could be a text of the server."""
    text = state.decode("ascii", errors="replace")
    return text if text.isascii() and text.isalnum() and len(text) == _SQLSTATE_LENGTH else "XXXXX"


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


def _information(parameters: Mapping[str, str]) -> bytes:
    """Write the parameters of a connection as libpq parses them."""
    quoted = {name: value.replace("\\", r"\\").replace("'", r"\'") for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items()).encode()


def text_of(login: Login) -> str:
    """Return a password as libpq takes it.

    Raises:
        RefusedByPolicy: No client can send it.
    """
    content = login.password.reveal()
    with suppress(UnicodeDecodeError):
        text = content.decode()
        if text and "\0" not in text:
            return text
    # Outside the handler, as the error of the decoder has the value.
    raise RefusedByPolicy(
        "UnsupportedValue",
        f"the password of {login.name!r} is empty or no text in UTF-8; set another one at the server, and write it"
        " into the Secret",
    )


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
