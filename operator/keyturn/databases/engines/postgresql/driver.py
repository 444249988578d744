"""One session: opened with TLS and SCRAM alone, ended in time, with codes in place of the server's texts.

libpq reports a SQLSTATE instead of a message, which can repeat a statement and follows the server's language.
psycopg has no SQLSTATE of a connection that failed, so this is set on a connection before it is open.

PBKDF2 is a large part of what a login costs. From release 18 on, libpq takes the keys instead of a password, which
it would compute in several times the time. They are computed for one login from the password as it is then, and are
kept nowhere: a client could log in with them as with the password. SASLprep (RFC 4013) is how clients and servers
agree on the bytes of a password before they are hashed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import stringprep
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, TypeAlias, TypeVar

from psycopg import OperationalError, generators, pq, waiting

from keyturn.databases.addresses import TIMEOUT, Place
from keyturn.databases.base import Account, EngineSettings, Login, Salt
from keyturn.databases.errors import Overloaded, RefusedByPolicy, Unreachable
from keyturn.runtime import threadpools

from . import codes, connecting
from .connecting import Opening, OtherSalt

_PROHIBITED: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(password: bytes) -> bytes:
    """Return what PostgreSQL hashes of a password: ASCII, and what SASLprep prohibits, stays as it is."""
    if not password.isascii():
        with suppress(UnicodeDecodeError):
            text = "".join(map(_mapped, password.decode()))
            if _is_permitted(text):
                return unicodedata.normalize("NFKC", text).encode()
    return password


def _mapped(character: str) -> str:
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _is_permitted(text: str) -> bool:
    """Whether a text may be normalised; PostgreSQL looks at it before that."""
    if not text or any(is_in(character) for character in text for is_in in _PROHIBITED):
        return False
    is_of_right_to_left = [stringprep.in_table_d1(character) for character in text]
    if not any(is_of_right_to_left):
        return True
    is_mixed = any(map(stringprep.in_table_d2, text))
    return is_of_right_to_left[0] and is_of_right_to_left[-1] and not is_mixed


DEFAULT_ITERATIONS: Final = 4096
"""Hashes per password of a server that has no setting for it: before release 16."""
_FIRST_RELEASE: Final = 180_000
_SALT: Final = 16
"""Bytes."""


def keys(password: str, salt: Salt) -> dict[str, str]:
    """Return the parameters of libpq that replace a password."""
    client, server = _keys(password.encode(), salt)
    return {"scram_client_key": _text(client), "scram_server_key": _text(server)}


def salt_of(account: Account, login: Login) -> bytes:
    """Return the salt of a recorded credential, the same each time; a random one for another login.

    A pooler that took the keys of a login opens further sessions with them, which a server with another salt refuses.
    The salt is of the mark, the name and the credential alone: a server tells it to everyone that begins a login.
    """
    if not login.credential:
        return os.urandom(_SALT)
    named = f"keyturn scram salt\0{account.mark}\0{login.name}\0{login.credential}"
    return hashlib.sha256(named.encode()).digest()[:_SALT]


def verifier(password: bytes, salt: Salt) -> str:
    """Return what a server stores of a password."""
    client, server = _keys(prepared(password), salt)
    stored = hashlib.sha256(client).digest()
    return f"SCRAM-SHA-256${salt.iterations}:{_text(salt.value)}${_text(stored)}:{_text(server)}"


def _keys(password: bytes, salt: Salt) -> tuple[bytes, bytes]:
    """Return the keys of client and server."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt.value, salt.iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


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
        wanted = self._connection.parameter_status(b"scram_iterations") or b"%d" % DEFAULT_ITERATIONS
        is_number = wanted.isdigit() and len(wanted) <= _DIGITS
        if not is_number or not 0 < int(wanted) <= connecting.MOST_ITERATIONS:
            raise RefusedByPolicy(
                "TooManyIterations",
                f"scram_iterations of the server exceeds {connecting.MOST_ITERATIONS}; lower it",
            )
        with suppress(TimeoutError, threadpools.TookTooLong):
            async with asyncio.timeout(_HASHED_WITHIN):
                return await threadpools.run_for_tenant(
                    self._owner, verifier, login.password.reveal(), Salt(salt, int(wanted))
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
        # Keys can replace a password of ASCII characters; others are normalised before they are hashed.
        salt = salt if salt and (password.isascii() and pq.version() >= _FIRST_RELEASE) else None

        def information() -> bytes:
            secret = keys(password, salt) if salt else {"password": password}
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
