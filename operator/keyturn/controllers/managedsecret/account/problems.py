"""Maps errors of database servers to Wait, or to Stalled if they need manual action."""

from datetime import timedelta
from typing import Final

from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.reasons import ErrorReason
from keyturn.databases.base import Endpoint, Verdict
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Denied,
    Forbidden,
    Missing,
    Overloaded,
    ReadOnly,
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
)
from keyturn.kube.errors import ApiError
from keyturn.kube.paths import described

_REPAIR_DELAY: Final = timedelta(minutes=1)
_RETRY_DELAY: Final = timedelta(seconds=5)
_API_SERVER_DELAY: Final = timedelta(seconds=2)
_BUSY_DELAY: Final = timedelta(seconds=3)
_FORBIDDEN: Final = {
    "AccountInUse": ErrorReason.ACCOUNT_EXISTS,
    "AccountTaken": ErrorReason.ACCOUNT_TAKEN,
    "AccountNotClaimed": ErrorReason.ACCOUNT_TAKEN,
    "AccountManagedElsewhere": ErrorReason.ACCOUNT_MANAGED_ELSEWHERE,
}
_STALLS: Final = {
    Missing: ErrorReason.ACCOUNT_MISSING,
    Denied: ErrorReason.DATABASE_DENIED,
    Unauthorized: ErrorReason.TARGET_NOT_READY,
    RefusedByPolicy: ErrorReason.PASSWORD_REFUSED,
}
_ANSWERS: Final = frozenset(
    {
        ErrorReason.ACCOUNT_BUSY,
        ErrorReason.ACCOUNT_EXISTS,
        ErrorReason.ACCOUNT_MISSING,
        ErrorReason.CANDIDATE_REFUSED,
        ErrorReason.CREDENTIAL_REFUSED,
        ErrorReason.DATABASE_DENIED,
        ErrorReason.DATABASE_ERROR,
        ErrorReason.DATABASE_READ_ONLY,
        ErrorReason.LOGIN_NOT_ADMITTED,
        ErrorReason.STILL_ACCEPTED,
        ErrorReason.WRONG_ROLE,
    }
)
"""Reasons that a problem has only if the server has answered."""
_WAITS: Final = {
    Busy: (ErrorReason.ACCOUNT_BUSY, _BUSY_DELAY),
    Overloaded: (ErrorReason.WORK_TOOK_TOO_LONG, _RETRY_DELAY),
    ReadOnly: (ErrorReason.DATABASE_READ_ONLY, _RETRY_DELAY),
    Unreachable: (ErrorReason.DATABASE_UNREACHABLE, _RETRY_DELAY),
}


class SilentElsewhere(Wait):
    """An address of `alsoAt` gives no answer, after the server has answered."""


def problem_of(error: DatabaseError | ApiError | TimeoutError, where: str) -> Wait | Stalled:
    """Return the problem that an operation met; `where` names the account and its target."""
    if isinstance(error, TimeoutError):
        return no_answer(where)
    if not isinstance(error, DatabaseError):
        return _unread(error)
    message = f"{where}: {error.message}"
    if isinstance(error, Forbidden):
        return Stalled(_FORBIDDEN.get(error.code, ErrorReason.ACCOUNT_FORBIDDEN), message)
    if reason := _STALLS.get(type(error)):
        return Stalled(reason, message)
    waits, delay = _WAITS.get(type(error), (ErrorReason.DATABASE_ERROR, _RETRY_DELAY))
    return Wait(waits, message, delay)


def is_answer(problem: Wait | Stalled) -> bool:
    """Whether the server answered, though the operation failed: it is not down."""
    return problem.reason in _ANSWERS or isinstance(problem, SilentElsewhere)


def no_answer(where: str, cause: str = "it did not answer in time") -> Wait:
    """Return the problem of an operation that was ended, or of a login without an answer."""
    return Wait(ErrorReason.DATABASE_UNREACHABLE, f"{where}: {cause}; retrying", _RETRY_DELAY)


def no_proof(where: str, verdict: Verdict, *, is_server: bool = True) -> Wait:
    """Return the problem of a login that was neither accepted nor refused for its password."""
    if verdict.is_silence:
        silent = no_answer(where, verdict.message)
        return silent if is_server else SilentElsewhere(silent.reason, silent.message, silent.after)
    cause = verdict.message or "the login is locked"
    return Wait(ErrorReason.LOGIN_NOT_ADMITTED, f"{where}: {cause}; retrying", _RETRY_DELAY)


def not_replaced(problem: Wait) -> Wait:
    """Return the problem of a password that no login could prove at each address, so that no other is replaced."""
    message = f"{problem.message}; the password is changed when each address answers"
    return type(problem)(problem.reason, message, problem.after)


def lost_password(where: str, revision: int) -> Stalled:
    """Return the problem of a credential whose password the record does not have."""
    return Stalled(
        ErrorReason.STATE_UNREADABLE,
        f"{where}: the state Secret lacks the password of revision {revision}; restore it",
    )


def refused_after_repair(where: str) -> Wait:
    """Return the problem of a published login that is refused although its password was set again."""
    return Wait(
        ErrorReason.CREDENTIAL_REFUSED,
        f"{where}: the server refuses the published login although its password was just set again; find what else"
        " refuses it, such as a date, a limit of connections or pg_hba.conf",
        _REPAIR_DELAY,
    )


def wrong_role(where: str, verdict: Verdict) -> Wait:
    """Return the problem of a login whose sessions do not act as the owner, although that was just set again."""
    return Wait(
        ErrorReason.WRONG_ROLE,
        f"{where}: {verdict.message}, although its membership and its setting role were just set; find what else sets"
        " them",
        _REPAIR_DELAY,
    )


def published_refused(where: str) -> Wait:
    """Return the problem of a login whose refusal proves nothing, because the published one is refused too."""
    return Wait(
        ErrorReason.CREDENTIAL_REFUSED,
        f"{where}: the server refuses the published login too, so its answer about the other one proves nothing;"
        " retrying",
        _RETRY_DELAY,
    )


def still_accepted(where: str, login: str, endpoint: Endpoint, detail: str = "") -> Wait:
    """Return the problem of a closed login that an endpoint, or one address of it, accepts."""
    which = f" ({detail})" if detail else ""
    return Wait(
        ErrorReason.STILL_ACCEPTED,
        f"{where}: {login} is closed, and {endpoint} still accepts its password{which}; remove it there, such as from"
        " the list of users of a pooler",
        _RETRY_DELAY,
    )


def not_closed(where: str, login: str, endpoint: Endpoint, cause: str, remedy: str) -> Wait:
    """Return the problem of a login that is to be closed, in an account that Keyturn must not change."""
    return Wait(
        ErrorReason.STILL_ACCEPTED,
        f"{where}: {login} is not closed at {endpoint}, and Keyturn cannot close it: {cause}; {remedy}",
        _RETRY_DELAY,
    )


def with_retain_hint(problem: Wait | Stalled) -> Wait | Stalled:
    """Return a problem that a deletion waits for, with what ends the deletion without the server."""
    message = f"{problem.message}; or write account.deletionPolicy: Retain, which leaves the account as it is"
    if isinstance(problem, Wait):
        return type(problem)(problem.reason, message, problem.after)
    return Stalled(problem.reason, message, problem.again)


def candidate_refused(endpoint: Endpoint) -> Wait:
    """Return the problem of a new password that an endpoint refuses, while it accepts the published one."""
    return Wait(
        ErrorReason.CANDIDATE_REFUSED,
        f"account: {endpoint} refuses the new password and accepts the published one; it is tried again, and then"
        " replaced",
        _RETRY_DELAY,
    )


def refused_elsewhere(endpoint: Endpoint, verdict: Verdict) -> Wait:
    """Return the problem of a new password that a pooler or replica refuses, while the server accepts it."""
    which = f" ({verdict.message})" if verdict.message else ""
    return Wait(
        ErrorReason.CANDIDATE_REFUSED,
        f"account: {endpoint} refuses the new password, which the server accepts{which}; retrying. A replica must"
        " have replayed the change, and a pooler must look up passwords at the server, as PgBouncer does with"
        " auth_query",
        _RETRY_DELAY,
    )


def _unread(error: ApiError) -> Wait:
    """Return the problem of a state Secret or namespace that could not be read; the database was not changed."""
    return Wait(
        ErrorReason.API_SERVER_UNAVAILABLE,
        f"the API server answers {error.status or 'nothing'} to {error.verb} of {described(error.path)}, so the"
        " database is not changed",
        _API_SERVER_DELAY,
    )


def waits_for_server(where: str) -> Wait:
    """Return the problem of an operation that is not sent to a server without an answer."""
    return Wait(
        ErrorReason.DATABASE_UNREACHABLE,
        f"{where}: the server has not answered repeatedly, and one ManagedSecret at a time asks it; check the server"
        " and the network",
        _RETRY_DELAY,
    )


def taken_by(where: str, other: ObjectKey) -> Stalled:
    """Return the problem of an account that another ManagedSecret has."""
    return Stalled(
        ErrorReason.ACCOUNT_TAKEN,
        f"{where}: ManagedSecret {other} has this account; write another username, or delete one of the two",
    )


def wrong_password(where: str) -> Stalled:
    """Return the problem of an account that cannot be adopted, because the server has another password."""
    return Stalled(
        ErrorReason.CREDENTIAL_REFUSED,
        f"{where}: the server refuses the password that the Secret has, and the account is not Keyturn's yet, so"
        " nothing is changed; write the password that works into the Secret",
    )


def lost_mark(where: str, login: str, remedy: str) -> Stalled:
    """Return the problem of an account that lost its mark and has another password than the record."""
    return Stalled(
        ErrorReason.CREDENTIAL_REFUSED,
        f"{where}: the server refuses the recorded password of {login}, and the account has no mark of this"
        f" ManagedSecret any more, so nothing is changed; if the account is its own, {remedy}: the password is then"
        " set again",
    )
