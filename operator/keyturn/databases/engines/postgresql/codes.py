"""What SQLSTATE codes and failures of libpq mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

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

from .facts import NO_CHANGES
from .statements import About, Statement

_WRONG_PASSWORD: Final = "28P01"  # noqa: S105  # a code
_NOT_ADMITTED: Final = "28000"
_BY_POOLER: Final = "08P01"
"""PgBouncer's code of every refusal: of a password if it asked for one and did not accept it."""
DENIED: Final = "42501"
_NO_CONNECTION: Final = "53300"
CONCURRENT: Final = "40001"
"""Of a change that another session's came before."""
_NO_SCRAM: Final = "NoScram"

_STATES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "28000": ("NotAdmitted", "no line of pg_hba.conf at {host} admits this name; add one"),
        "3D000": (
            "DatabaseMissing",
            "the database does not exist at {host}; correct the database of the target",
        ),
        "42501": ("ConnectDenied", "the name may not connect to the database at {host}; grant CONNECT"),
        "53300": (NO_CONNECTION_LEFT, "{host} accepts no more connections"),
        "57P01": ("ShuttingDown", "{host} shuts down"),
        "57P02": ("ShuttingDown", "{host} shuts down"),
        "57P03": ("StartingUp", "{host} starts, and accepts no login yet"),
    }
)
_TLS_FAILED: Final = (
    "TlsFailed",
    "{host} and Keyturn cannot agree on TLS; check the port, and permit TLS 1.2 or later there",
)
_TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "authentication method requirement": (
            _NO_SCRAM,
            "{host} does not ask for a password by SCRAM; set scram-sha-256 in pg_hba.conf, and the password again",
        ),
        "does not match host name": (
            "CertificateOtherName",
            "the TLS certificate of {host} is for another name; write the host that the certificate names",
        ),
        "certificate verify failed": (
            "CertificateNotTrusted",
            "the TLS certificate of {host} is not trusted or not valid now; set tls.caRef to its CA",
        ),
        "could not read root certificate file": (
            "CertificateAuthorityUnreadable",
            "the CA for {host} cannot be read; write its certificates in PEM into the key that tls.caRef names",
        ),
        "any SSL protocol version between": _TLS_FAILED,
        "alert handshake failure": _TLS_FAILED,
        "does not support SSL": ("NoTls", "{host} has no TLS; turn it on at the server"),
        "Connection refused": (
            "ConnectionRefused",
            "{host} refuses the connection; check the port and the server",
        ),
    }
)
"""Texts of libpq itself, which are English in the driver that is shipped, with code and sentence."""
_STATE: Final = re.compile(r":  ([0-9A-Z]{5})\s*\Z")
_BUSY: Final = frozenset({"55P03", CONCURRENT, "40P01"})
"""Another session changes the same roles."""
_TEMPORARY: Final = frozenset({"08", "53", "57", "58", "25"})
"""Classes of codes that may not occur again at the next attempt."""
_INTERNAL: Final = (
    DatabaseError,
    "InternalError",
    "the server has an internal error, such as a damaged index; its log has the cause",
)
_STATEMENTS: Final[Mapping[str, tuple[type[DatabaseError], str, str]]] = MappingProxyType(
    {
        "25006": (ReadOnly, *NO_CHANGES),
        "53100": (ReadOnly, *NO_CHANGES),
        "25P03": (Unreachable, "SessionEnded", "the server ended a session that was idle in the lock"),
        "57014": (Unreachable, "Timeout", "the server took too long for a statement"),
        "42704": (Missing, "AccountMissing", "a role of the account does not exist; create it"),
        "XX000": _INTERNAL,
        "XX001": _INTERNAL,
        "XX002": _INTERNAL,
        "3F000": (
            Missing,
            "SchemaMissing",
            "a schema of account.postgresql.template does not exist; create it",
        ),
    }
)
_NO_ANSWER: Final = ("NoAnswer", "no answer from {host}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection was not opened."""

    host: str
    state: str = ""
    """The server's SQLSTATE, if it answered with one."""
    code: str = "NoAnswer"
    message: str = "no answer"
    was_asked: bool = False
    """Whether the server asked for the password."""
    was_accepted: bool = False
    """Whether it said that the password is right, before it answered with the SQLSTATE."""


def failure_of(host: str, text: str, *, was_asked: bool, was_accepted: bool = False) -> Failure:
    """Return the meaning of libpq's message, which has a SQLSTATE in place of the server's text."""
    found = _STATE.search(text)
    state = found[1] if found else ""
    if state:
        code, message = _STATES.get(
            state, (f"State{state}", f"{{host}} refuses the connection with SQLSTATE {state}")
        )
    else:
        meanings = (meaning for part, meaning in _TEXTS.items() if part in text)
        code, message = next(meanings, _NO_ANSWER)
    return Failure(host, state, code, message.format(host=host), was_asked, was_accepted)


def error_of(failure: Failure) -> DatabaseError:
    """Return the error if the admin could not connect."""
    if failure.state == _WRONG_PASSWORD:
        return Unauthorized(
            "AdminRefused", "the server refuses the admin's password; correct adminCredentials"
        )
    if failure.state == _NOT_ADMITTED:
        return Unauthorized(
            "AdminRefused", f"{failure.host} admits no login of the admin; check LOGIN and pg_hba.conf"
        )
    return Unreachable(failure.code, failure.message)


def refusal_of(failure: Failure) -> Verdict:
    """Return the verdict on a login that failed."""
    if failure.was_asked and failure.state == _WRONG_PASSWORD:
        return Verdict(Answer.REFUSED)
    if failure.was_accepted and failure.state == _BY_POOLER:
        return Verdict(
            Answer.UNKNOWN,
            "NoServerBehind",
            f"the pooler at {failure.host} accepts the password, and has no connection to its server for the login;"
            " check that server, and remove the login from a list of users of the pooler's own",
        )
    if failure.was_asked and failure.state == _BY_POOLER:
        return Verdict(Answer.REFUSED, "ByPooler", f"the pooler at {failure.host} refuses the login")
    if failure.was_asked and failure.state == _NOT_ADMITTED:
        return Verdict(Answer.LOCKED)
    if failure.was_asked and failure.state == _NO_CONNECTION:
        # After the password was asked for, it can be a limit of one role or database, and not only a full server.
        return Verdict(
            Answer.UNKNOWN,
            failure.code,
            f"the login, its database or the server at {failure.host} has no free connection; raise CONNECTION LIMIT"
            " of the role or the database, or max_connections",
        )
    is_setup = failure.code == _NO_SCRAM or (failure.state and failure.state[:2] not in _TEMPORARY)
    return Verdict(Answer.UNKNOWN, failure.code, failure.message, is_silence=not is_setup)


def verdict_of(error: DatabaseError) -> Verdict:
    """Return the verdict if there was no login, such as for a host that does not exist."""
    return Verdict(Answer.UNKNOWN, error.code, error.message, is_silence=True)


def denied(grant: str, name: str = "", owner: str = "") -> Denied:
    """Return the error of an admin that lacks a right, such as on a table of another owner."""
    what = f"grant these privileges on {name!r} of role {owner!r}" if name else "do that"
    return Denied("AdminDenied", f"the admin may not {what}; send as an administrator: {grant}", grant)


def meaning_of(state: str, statement: Statement | None = None) -> DatabaseError:
    """Return the error of a statement that failed with a SQLSTATE; of a query without one that changes something."""
    about = statement.about if statement else About.ROLE
    if state == DENIED:
        return denied(statement.grant if statement else "")
    if state in _BUSY:
        return Busy()
    if state in _STATEMENTS:
        kind, code, message = _STATEMENTS[state]
        return kind(code, message)
    if state[:2] in _TEMPORARY:
        return Unreachable(f"State{state}", "the server could not execute a statement; it is retried")
    if about is About.PASSWORD:
        return RefusedByPolicy(
            "VerifierRefused",
            f"the server takes no SCRAM verifier (SQLSTATE {state}); its policy has to allow that",
        )
    return DatabaseError(f"State{state}", "the server refuses a statement with this SQLSTATE")
