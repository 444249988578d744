"""Background store operations and key generation of one ManagedSecret; a slow store does not block a worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from keyturn.core.state.lease import StoreLease
from keyturn.stores.providers import RemoteValue
from keyturn.stores.providers.base import Lent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from datetime import datetime

    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.store_reads import PushProblem
    from keyturn.core.state.revision import ItemValues
    from keyturn.stores import Failure, Stores

__all__ = [
    "BackgroundJob",
    "BackgroundWork",
    "InHand",
    "Reading",
    "Taking",
    "abandon",
    "begin",
    "lent",
    "loan_of",
]

T = TypeVar("T")

_WORKER_WAIT: Final = 0.1
"""Seconds that a worker waits before it leaves a job to the background; a healthy store answers within that time."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of one read of all stores of a ManagedSecret."""

    values: Mapping[str, ItemValues] = field(default_factory=dict)
    found: Mapping[str, ItemValues] = field(default_factory=dict)
    """Values that were pushed for an earlier object of the same name and found again."""
    loans: tuple[StoreLease, ...] = ()
    """Leases of the values that were read."""
    problem: Wait | Stalled | None = None
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom with a property that is gone at the store, but kept; `values` includes it."""


class Taking(NamedTuple):
    """A dynamic credential that is being requested."""

    since: datetime
    task: asyncio.Task[RemoteValue | Failure]


class InHand(NamedTuple):
    """A dynamic credential that was acquired, and that no revision records yet."""

    loan: StoreLease
    found: RemoteValue


@dataclass(frozen=True, slots=True)
class BackgroundJob(Generic[T]):
    """A job that runs in its own task."""

    name: str
    """What the job is about; the result of a job with another name is not used."""
    task: asyncio.Task[T]


@dataclass(slots=True)
class BackgroundWork:
    """State of the background work of one object; values are kept only during a pass."""

    making: dict[str, BackgroundJob[ItemValues]] = field(default_factory=dict)
    """Values that are being generated, or were and are in no revision yet, by item name."""
    making_since: datetime | None = None
    reading: BackgroundJob[Reading] | None = None
    reading_since: datetime | None = None
    """Start of the current read, or of the last one."""
    last: Reading | None = None
    """The last read; dropped at the end of the pass."""
    problem: Wait | Stalled | None = None
    """Why the last read failed."""
    was_read: bool = False
    """Whether the last read succeeded."""
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom for which the last read kept a property that is gone at the store."""
    asked: str = ""
    """Name of the last read job: generation, triggers and stores that it was for."""
    attempts: int = 0
    due: datetime | None = None
    """When the stores are due for the next read; None before the first observation of this process."""
    stores: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """UIDs of the stores that the spec names, at the last observation."""
    writing: dict[str, BackgroundJob[Any]] = field(default_factory=dict)
    push_problems: dict[str, PushProblem] = field(default_factory=dict)
    push_attempts: dict[str, int] = field(default_factory=dict)
    taking: dict[str, Taking] = field(default_factory=dict)
    """Dynamic credentials that are being requested, by store and key; shared by all waiting reads."""
    in_hand: dict[str, InHand] = field(default_factory=dict, repr=False)
    """Acquired credentials that no revision records yet; they outlive a pass, as a store issues each only once."""
    returning: dict[str, BackgroundJob[Any]] = field(default_factory=dict)
    returns: dict[str, datetime] = field(default_factory=dict)
    """Lease IDs whose revocation failed, with the time of the next attempt."""

    def try_again(self, now: datetime) -> None:
        """Make everything that failed at a store due now; called when a store has recovered."""
        if self.problem:
            self.due = now
        self.returns.clear()
        for place, problem in self.push_problems.items():
            self.push_problems[place] = problem._replace(again=now)

    def forget_push(self, place: str) -> None:
        """Forget the failed attempts to push to a place."""
        self.push_problems.pop(place, None)
        self.push_attempts.pop(place, None)

    def keep_in_hand(self, places: Collection[str], held: Collection[str]) -> None:
        """Drop credentials that the spec no longer asks for, and those that a revision records."""
        for place, acquired in list(self.in_hand.items()):
            if place not in places or acquired.loan.id in held:
                del self.in_hand[place]

    def forget_values(self) -> None:
        self.last = None

    def forget_made(self) -> None:
        """Cancel and drop the generation of values: a revision records them, or the spec no longer asks for them."""
        for job in self.making.values():
            job.task.cancel()
        self.making.clear()
        self.making_since = None

    def end(self) -> None:
        """Cancel all jobs of an object that was deleted."""
        self.forget_made()
        for job in (self.reading, *self.writing.values(), *self.returning.values()):
            if job:
                job.task.cancel()


async def begin(name: str, work: Coroutine[Any, Any, T], wake: Callable[[], None]) -> BackgroundJob[T]:
    """Start a job and wait up to 0.1 s for it; a job that takes longer calls `wake` when it ends."""
    job = BackgroundJob(name, asyncio.create_task(work))
    await asyncio.wait([job.task], timeout=_WORKER_WAIT)
    if not job.task.done():
        job.task.add_done_callback(lambda _: wake())
    return job


_MIN_DURATION: Final = timedelta(seconds=1)


def loan_of(place: str, lent: Lent, asked: datetime) -> StoreLease:
    lasts = max(timedelta(seconds=int(lent.lasts.total_seconds())), _MIN_DURATION)
    return StoreLease(place, lent.id, lent.login, lasts, asked + lasts)


def lent(loan: StoreLease) -> Lent:
    return Lent(loan.id, loan.login, loan.lasts)


def abandon(key: ObjectKey, outside: BackgroundWork, stores: Stores) -> None:
    """Revoke the leases that were acquired for a deleted object and that no revision records."""
    for acquired in outside.in_hand.values():
        _revoke(acquired.loan, key, stores)
    for place, taking in outside.taking.items():
        taking.task.add_done_callback(partial(_revoke_acquired, place, taking.since, key, stores))


def _revoke_acquired(
    place: str, since: datetime, key: ObjectKey, stores: Stores, task: asyncio.Task[RemoteValue | Failure]
) -> None:
    outcome = None if task.cancelled() else task.result()
    if isinstance(outcome, RemoteValue) and outcome.lent:
        _revoke(loan_of(place, outcome.lent, since), key, stores)


def _revoke(loan: StoreLease, key: ObjectKey, stores: Stores) -> None:
    stores.drop(loan.where.ref, key.namespace, loan.where.key, lent(loan))
