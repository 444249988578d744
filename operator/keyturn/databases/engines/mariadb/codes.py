"""What the numbers of errors mean, for a login and for a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyturn.databases.addresses import Place
from keyturn.databases.base import NO_CONNECTION_LEFT, Answer, Verdict
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Denied,
    Missing,
    ReadOnly,
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
)

UNSUPPORTED_PLUGIN: Final = "UnsupportedPlugin"
HASHES_REFUSED: Final = (
    "HashesRefused",
    (
        "a plugin of the server judges passwords, and lets no hash pass; send as an administrator: SET GLOBAL"
        " strict_password_validation = OFF, and write that into the server's configuration"
    ),
)
"""Code and sentence of a server on which a password could be set in plain text only."""
NO_CHANGES: Final = (
    "ReadOnly",
    "the server accepts no change; its disk may be full: free space there, and end its read-only mode",
)


@dataclass(frozen=True, slots=True)
class _Login:
    """What a number means that a server answers a login with."""

    answer: Answer
    code: str = ""
    sentence: str = ""
    """With {place}."""
    is_silence: bool = False


_PLUGIN: Final = _Login(
    Answer.UNKNOWN,
    UNSUPPORTED_PLUGIN,
    "{place} asks for another method of login than mysql_native_password; set that for the user",
)
_TLS_REQUIRED: Final = _Login(
    Answer.UNKNOWN, "TlsRequired", "{place} accepts connections with TLS only; remove tls.mode"
)
_EXPIRED: Final = _Login(Answer.LOCKED)
_STOPS: Final = _Login(Answer.UNKNOWN, "ShuttingDown", "{place} shuts down", is_silence=True)

_LOGINS: Final[Mapping[int, _Login]] = {
    1045: _Login(Answer.REFUSED),  # also of a user that REQUIREs more than a password, which a guard refuses
    1698: _Login(Answer.REFUSED),  # a user without a password
    4151: _Login(Answer.LOCKED),  # ACCOUNT LOCK, after the right password
    1820: _EXPIRED,  # and each statement is refused
    1862: _EXPIRED,  # where disconnect_on_expired_password is on
    4150: _Login(
        Answer.UNKNOWN,
        "TooManyErrors",
        "{place} had max_password_errors wrong passwords of the user, and refuses each one now; find who sends them,"
        " and send as an administrator: FLUSH PRIVILEGES",
    ),
    1040: _Login(
        Answer.UNKNOWN,
        NO_CONNECTION_LEFT,
        "{place} accepts no more connections; raise max_connections",
        is_silence=True,
    ),
    1203: _Login(
        Answer.UNKNOWN,
        NO_CONNECTION_LEFT,
        "the user has no free connection at {place}; raise max_user_connections",
    ),
    1226: _Login(
        Answer.UNKNOWN,
        NO_CONNECTION_LEFT,
        "the user has reached a limit at {place}; raise its MAX_USER_CONNECTIONS or MAX_CONNECTIONS_PER_HOUR",
    ),
    1129: _Login(
        Answer.UNKNOWN,
        "HostBlocked",
        "{place} blocks this address after max_connect_errors; send as an administrator: FLUSH HOSTS",
    ),
    1130: _Login(
        Answer.UNKNOWN,
        "NotAdmitted",
        "{place} has no user that may log in from this address; use the host '%'",
    ),
    1251: _PLUGIN,
    1524: _PLUGIN,
    3159: _TLS_REQUIRED,
    1053: _STOPS,
    1927: _STOPS,
}
"""Numbers below 1,900 are MySQL's too, those above MariaDB's own."""

_TIMEOUT: Final = (Unreachable, "Timeout", "the server took too long for a statement")
_ENDED: Final = (
    Unreachable,
    "SessionEnded",
    "the server ended a session, such as one that was idle in the lock",
)
_STATEMENTS: Final[Mapping[int, tuple[type[DatabaseError], str, str]]] = {
    1396: (RefusedByPolicy, *HASHES_REFUSED),
    1372: (RefusedByPolicy, *HASHES_REFUSED),
    1819: (RefusedByPolicy, *HASHES_REFUSED),
    1290: (ReadOnly, *NO_CHANGES),
    1021: (ReadOnly, *NO_CHANGES),
    1036: (ReadOnly, *NO_CHANGES),
    1114: (ReadOnly, *NO_CHANGES),
    1047: (Unreachable, "StartingUp", "the server's cluster accepts no statement now; it is retried"),
    1969: _TIMEOUT,
    3024: _TIMEOUT,
    1053: _ENDED,
    1317: _ENDED,
    1927: _ENDED,
    4031: _ENDED,
    1049: (Missing, "SchemaMissing", "a schema of account.mariadb.template does not exist; create it"),
}
_BUSY: Final = frozenset({1205, 1213, 1099, 1223})
"""Another session holds a lock, such as that of a backup."""
_DENIED: Final = frozenset({1044, 1095, 1142, 1143, 1227, 1370, 1410})
_NO_TABLE: Final = 1146


def verdict_of(number: int, place: Place) -> Verdict:
    """Return the verdict on a login that the server answered with an error."""
    found = _LOGINS.get(number)
    if found is None:
        message = f"{place} refuses the connection with error {number}; its log has the cause"
        return Verdict(Answer.UNKNOWN, f"Error{number}", message)
    return Verdict(found.answer, found.code, found.sentence.format(place=place), found.is_silence)


def error_of(number: int, place: Place) -> DatabaseError:
    """Return the error if the admin could not log in."""
    verdict = verdict_of(number, place)
    match verdict.answer:
        case Answer.REFUSED:
            message = f"{place} refuses the admin's password; correct adminCredentials"
            return Unauthorized("AdminRefused", message)
        case Answer.LOCKED:
            message = f"the admin is locked or its password has expired at {place}; send ALTER USER there"
            return Unauthorized("AdminRefused", message)
        case _ if verdict.reason == UNSUPPORTED_PLUGIN:
            return RefusedByPolicy(verdict.reason, verdict.message)
        case _:
            return Unreachable(verdict.reason, verdict.message)


def denied(grant: str) -> Denied:
    """Return the error of an admin that lacks a right."""
    return Denied("AdminDenied", f"the admin may not do that; send as an administrator: {grant}", grant)


def meaning_of(number: int, grant: str) -> DatabaseError:
    """Return the error of a statement that failed; `grant` is what permits it."""
    if number in _DENIED or number == _NO_TABLE:
        return denied(grant)
    if number in _BUSY:
        return Busy()
    if number in _STATEMENTS:
        kind, code, message = _STATEMENTS[number]
        return kind(code, message)
    return DatabaseError(
        f"Error{number}", f"the server refuses a statement with error {number}; its log has the cause"
    )
