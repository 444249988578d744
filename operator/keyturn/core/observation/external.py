"""What the process knows of stores, database servers and accounts: facts, and the values of one read for a pass.

It is kept in memory, so that a restart of the operator forgets it; what was done outside is in the state.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from keyturn.api.databasetarget import ACCOUNT_MANAGERS, AccountManager
from keyturn.core.errors import Stalled, Wait
from keyturn.core.reasons import ErrorReason
from keyturn.core.state.records import ItemValues, StoreLease

Key = TypeVar("Key")


class Health(NamedTuple):
    """Reason and message of the condition Ready."""

    is_ready: bool
    reason: str
    message: str
    passes: bool = False
    """Whether the problem can pass without a change."""
    version: str | None = None
    """The version of a database server, if it answered."""
    started: str | None = None
    """When it was started, as it says."""


@dataclass(frozen=True, slots=True)
class HealthEvents(Generic[Key]):
    """Callbacks for changes of health."""

    turned: Callable[[Key], None] = lambda _: None
    """The health of a store or server changed."""
    recovered: Callable[[Key], None] = lambda _: None
    """It has become ready again; its users are to be reconciled."""


def reported(before: Health | None, after: Health) -> Health:
    """Return the health to report: a problem that passes is reported once, as its message may differ each time."""
    return before if before and after.passes and before.reason == after.reason else after


class ProbeVerdict(StrEnum):
    """Result of the last login with the published credential; each is a reason of the condition CredentialValid."""

    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    """The server asked for the password and refused it."""
    WRONG_ROLE = "WrongRole"
    """The server accepted the login, whose sessions do not act as the account."""
    LOCKED = "Locked"
    """Another user has locked or dropped the login at the server; only reported."""
    CONTESTED = "Contested"
    """It was refused again after each of the repairs of the last hour."""
    UNREACHABLE = "Unreachable"
    NOT_ADMITTED = "NotAdmitted"
    """The server answered, and its setup admits no login; nothing is known about the password."""
    NOT_PROBED = "NotProbed"


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the process knows of the account of a ManagedSecret."""

    verdict: ProbeVerdict = ProbeVerdict.NOT_PROBED
    cause: str = ""
    """Why the server admits no login, or how the login is locked, if that is the verdict."""
    probed_at: datetime | None = None
    """When the last probe ended; None before the first one of this process."""
    problem: Wait | Stalled | None = None
    """Why the last operation failed, or that one is in progress."""
    again: datetime | None = None
    """No operation begins before this time."""
    refused: int = 0
    """How often in a row the credential that is being proven was refused; silence of the server does not count.

    With SingleUser, an address of `alsoAt` that gives no answer counts: the server refuses the published password.
    """
    locked: bool = False
    """The last login that the server answered found the published one closed, locked or dropped."""
    busy: bool = False
    """An operation is in progress."""


NEEDS_REPAIR = frozenset({ProbeVerdict.REFUSED, ProbeVerdict.WRONG_ROLE})
"""Verdicts after which the recorded credentials are set again."""
NOT_PROBED = AccountFacts()


def manager_of(labels: Mapping[str, str]) -> AccountManager | None:
    """Return the operator that sets the password of a Secret with these labels; None without one."""
    shown = {*labels, *(f"{name}={text}" for name, text in labels.items())}
    return next((one for one in ACCOUNT_MANAGERS if one.label in shown and one.also in {"", *labels}), None)


_RETRY_DELAY = timedelta(seconds=5)


def being_read() -> Wait:
    """Return a Wait for a read; its completion requeues the object, usually before this delay."""
    return Wait(ErrorReason.READING_STORES, "the stores are being read", _RETRY_DELAY)


def being_made() -> Wait:
    """Return a Wait for a generation; its completion requeues the object, usually before this delay."""
    return Wait(
        ErrorReason.MAKING_VALUES,
        "a large key is being generated; a namespace generates one at a time",
        _RETRY_DELAY,
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of one read of all stores of a ManagedSecret."""

    values: Mapping[str, ItemValues] = field(default_factory=dict)
    found: Mapping[str, ItemValues] = field(default_factory=dict)
    """Values that were pushed for an earlier object of the same name and found again."""
    leases: tuple[StoreLease, ...] = ()
    """Leases of the values that were read."""
    problem: Wait | Stalled | None = None
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom with a property that is gone at the store, but kept; `values` includes it."""


NOT_READ = Reading()


@dataclass(frozen=True, slots=True)
class Pulled:
    """Result of the reads of a ManagedSecret's sources."""

    read: bool = False
    """This reconcile has read all of them."""
    was_read: bool = False
    """The last complete read of this process succeeded."""
    changed: frozenset[str] = frozenset()
    """Items whose values at the store differ from those of the revisions that count."""
    waiting: frozenset[str] = frozenset()
    """Changed items of the last complete read that wait for a window."""
    problem: Wait | Stalled | None = None
    """The error of the last read."""
    leases: tuple[StoreLease, ...] = ()
    """Leases of the values that were read."""
    in_hand: frozenset[str] = frozenset()
    """Leases that no revision holds yet."""
    again: datetime | None = None
    """When the next read is due."""
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom with a property that the store no longer has and the Secret retains."""
    reading: Reading = field(default=NOT_READ, compare=False, repr=False)
    """What this reconcile has read, from which a revision takes its values; also of a failed read."""


NOT_PULLED = Pulled()
"""No result: nothing is pulled, or no read was done yet."""


class RevocationProblem(NamedTuple):
    """A lease whose revocation failed or is in progress, with the time of the next attempt."""

    again: datetime
    refusal: str = ""
    """Why the store does not revoke it, as of its last answer; empty if it did not answer yet."""
    since: datetime | None = None
    """When this process saw it fail first; None while the first attempt is in progress."""
    refusals: int = 0
    """How often it has refused since the store was changed or has recovered."""
    refused: datetime | None = None
    """When it refused; None if the last attempt had another result, or is in progress."""
