"""Results of store reads and pushes in an observation: facts, never values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from keyturn.core.errors import Wait
from keyturn.core.reasons import ErrorReason

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.errors import Stalled
    from keyturn.core.state.lease import StoreLease

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


NOT_PULLED = Pulled()
"""No result: nothing is pulled, or no read was done yet."""


class PushProblem(NamedTuple):
    """A failed push, with the time of the next attempt."""

    error: Wait | Stalled
    again: datetime


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
