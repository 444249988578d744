"""What goes on outside the cluster for one managed secret: apart from the workers, which must not wait for it."""

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

_PATIENCE: Final = 0.1
"""Seconds for which a worker waits: as long as a store in good health takes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one look at every store of a managed secret ended."""

    values: Mapping[str, ItemValues] = field(default_factory=dict)
    found: Mapping[str, ItemValues] = field(default_factory=dict)
    """Values that an earlier life of this object has pushed."""
    loans: tuple[StoreLease, ...] = ()
    """What is lent of what was read."""
    problem: Wait | Stalled | None = None
    retained: frozenset[str] = frozenset()
    """The entries of dataFrom of which something is gone that stays, and that is among the values again."""


class Taking(NamedTuple):
    """Something that a store is asked to lend."""

    since: datetime
    task: asyncio.Task[RemoteValue | Failure]


class InHand(NamedTuple):
    """Something that was lent."""

    loan: StoreLease
    found: RemoteValue


@dataclass(frozen=True, slots=True)
class BackgroundJob(Generic[T]):
    """Something that is being done outside."""

    name: str
    """What it is about: the result of another errand is of no use."""
    task: asyncio.Task[T]


@dataclass(slots=True)
class BackgroundWork:
    """What is known of the outside: facts for good, values only while a pass lasts."""

    making: dict[str, BackgroundJob[ItemValues]] = field(default_factory=dict)
    """What is being made, or was and no revision holds yet, by the names of its items."""
    making_since: datetime | None = None
    reading: BackgroundJob[Reading] | None = None
    reading_since: datetime | None = None
    """When the reading that goes on, or was the last one, was begun."""
    last: Reading | None = None
    """The last reading, while the pass lasts."""
    problem: Wait | Stalled | None = None
    """What kept the last reading from being done."""
    was_read: bool = False
    """The last reading was done."""
    retained: frozenset[str] = frozenset()
    """The entries of dataFrom of which that found something gone that stays."""
    asked: str = ""
    """What the last reading was about."""
    attempts: int = 0
    due: datetime | None = None
    """When the stores are read again by themselves; None before the first look of this process."""
    stores: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """The stores that the spec names, as they were at the last look."""
    writing: dict[str, BackgroundJob[Any]] = field(default_factory=dict)
    push_problems: dict[str, PushProblem] = field(default_factory=dict)
    push_attempts: dict[str, int] = field(default_factory=dict)
    taking: dict[str, Taking] = field(default_factory=dict)
    """What is being taken of what stores lend, by its place, whoever waits for it."""
    in_hand: dict[str, InHand] = field(default_factory=dict, repr=False)
    """What was taken and no revision holds yet: kept beyond a pass, since nobody can read it a second time."""
    returning: dict[str, BackgroundJob[Any]] = field(default_factory=dict)
    returns: dict[str, datetime] = field(default_factory=dict)
    """The loans that could not be given back, with when that is tried again."""

    def try_again(self, now: datetime) -> None:
        """Have what a store kept from being done tried at the next look: the store can be used again."""
        if self.problem:
            self.due = now
        self.returns.clear()
        for place, problem in self.push_problems.items():
            self.push_problems[place] = problem._replace(again=now)

    def forget_push(self, place: str) -> None:
        """Forget what kept something from being written to a place."""
        self.push_problems.pop(place, None)
        self.push_attempts.pop(place, None)

    def keep_in_hand(self, places: Collection[str], held: Collection[str]) -> None:
        """Let go of what is asked for no more, and of loans that a revision holds by now."""
        for place, there in list(self.in_hand.items()):
            if place not in places or there.loan.id in held:
                del self.in_hand[place]

    def forget_values(self) -> None:
        self.last = None

    def forget_made(self) -> None:
        """Drop what was made, and stop what is being made: it is recorded, or asked for no more."""
        for errand in self.making.values():
            errand.task.cancel()
        self.making.clear()
        self.making_since = None

    def end(self) -> None:
        """Stop what goes on for an object that is gone."""
        self.forget_made()
        for errand in (self.reading, *self.writing.values(), *self.returning.values()):
            if errand:
                errand.task.cancel()


async def begin(name: str, doing: Coroutine[Any, Any, T], wake: Callable[[], None]) -> BackgroundJob[T]:
    """Start an errand and wait a little for its end; `wake` is called at the end of one that takes longer."""
    errand = BackgroundJob(name, asyncio.create_task(doing))
    await asyncio.wait([errand.task], timeout=_PATIENCE)
    if not errand.task.done():
        errand.task.add_done_callback(lambda _: wake())
    return errand


_SHORTEST: Final = timedelta(seconds=1)


def loan_of(place: str, lent: Lent, asked: datetime) -> StoreLease:
    lasts = max(timedelta(seconds=int(lent.lasts.total_seconds())), _SHORTEST)
    return StoreLease(place, lent.id, lent.login, lasts, asked + lasts)


def lent(loan: StoreLease) -> Lent:
    return Lent(loan.id, loan.login, loan.lasts)


def abandon(key: ObjectKey, outside: BackgroundWork, stores: Stores) -> None:
    """Have that given back which was taken for an object that is gone; it is recorded nowhere."""
    for there in outside.in_hand.values():
        _drop(there.loan, key, stores)
    for place, taking in outside.taking.items():
        taking.task.add_done_callback(partial(_drop_taken, place, taking.since, key, stores))


def _drop_taken(
    place: str, since: datetime, key: ObjectKey, stores: Stores, task: asyncio.Task[RemoteValue | Failure]
) -> None:
    outcome = None if task.cancelled() else task.result()
    if isinstance(outcome, RemoteValue) and outcome.lent:
        _drop(loan_of(place, outcome.lent, since), key, stores)


def _drop(loan: StoreLease, key: ObjectKey, stores: Stores) -> None:
    stores.drop(loan.where.ref, key.namespace, loan.where.key, lent(loan))
