"""Steps of a reconcile: each is one idempotent write.

    (nothing) ──Stage──▶ staged ──Publish──▶ published ──RollOut…──▶ rolled out ──Overlap──▶ ──Expire──▶ ──Settle──▶
                 ▲          ▲                  │  ▲   │        └── Rest, if no previous value stays readable
                 └──────────│──────────────────┘  │   └──GoBack──▶ (an earlier revision is staged again)
                            └─────────────────────┼─────────┘
                                                  └──Repair (the Secret was edited or deleted)
    (an own Secret without state, or with a recreated ManagedSecret) ──Claim──▶ published
    (a Secret without owner, and adopt: IfUnowned) ──Adopt──▶ staged
    published ──Bind──▶ (the owner reference of the state Secret is set or removed)
              ──Refresh──▶ (the requested read of stores is recorded)
              ──Decline──▶ (a request for rotation is recorded, if nothing can be rotated)
              ──Intend──▶ ──Push──▶ (a store has the values), ──Withdraw──▶ (it no longer has)
              ──EvictPod──▶ (a pod that is not restarted ends, in an emergency that says so)
              ──DeletePod──▶ (a StatefulSet recreates a pod with a rolled back revision that was never ready)
              ──Borrow──▶ (a lease is recorded) ──GiveBack──▶ (it is revoked)

With a database account a new credential is proven before it becomes current, and the old one is closed last:

    staged ──Apply──▶ (the server has it) ──Prove──▶ current ──Publish──▶ … ──Expire──▶ ──Settle──▶ ──Revoke──▶ closed
           ──Close──▶ (a credential is given up) ──Revoke──▶ (the server refuses it)
    published ──Assert──▶ (the server accepts the recorded credentials again)

Apply, Prove, Assert, Revoke and Retire are the actions of one step, `Account`.

Each is chosen from facts alone (see `decision`), so the operator may crash between any two: the next reconcile
observes the same facts and continues.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.observed import Consumer, Observed
from keyturn.core.observation.workload import Pod
from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import Credential, Phase, StoreLease
from keyturn.core.state.state import Pushed, StateFacts

from .credential_slots import was_in_use


@dataclass(frozen=True, slots=True)
class Reason:
    """Reason for a new revision, and the values that are generated for it."""

    name: str
    message: str
    fresh: frozenset[str]
    rotates: bool
    """It counts as a rotation: the interval restarts."""
    awaited: frozenset[str] = frozenset()
    """Items that a later revision brings, because their stores cannot be read now and this one does not wait."""
    others: frozenset[str] = frozenset()
    """The names of other reasons that it serves."""

    @property
    def names(self) -> frozenset[str]:
        return self.others | {self.name}

    @property
    def is_automatic(self) -> bool:
        """Whether it is due by time, without a request."""
        return self.name in {RevisionReason.ROTATION_DUE, RevisionReason.ENDING}

    def joined(self, other: Self) -> Self:
        return replace(
            self,
            fresh=self.fresh | other.fresh,
            rotates=self.rotates or other.rotates,
            awaited=self.awaited | other.awaited,
            others=self.others | other.names,
        )


class StateChange(ABC):
    """A step whose only effect is a change of the state Secret, with its transition; `rollback` has another one."""

    __slots__ = ()

    @abstractmethod
    def recorded(self, state: StateFacts, observed: Observed, now: datetime) -> StateFacts:
        """Return the state that it records, without the values."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Record an own Secret that has no state, or take it over for a recreated ManagedSecret."""

    number: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record the content of a Secret without owner before it is adopted."""

    number: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Generate the new values and record them in the state Secret."""

    number: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class TargetWrite:
    """A write of the target Secret, with the current revision."""

    number: int


@dataclass(frozen=True, slots=True)
class Publish(TargetWrite):
    """Write the newest revision to the target Secret."""


@dataclass(frozen=True, slots=True)
class Repair(TargetWrite):
    """Restore the current revision in a Secret that was edited or deleted."""

    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class RollOut:
    """Restart one workload by the restart marker on its pod template."""

    consumer: Consumer
    marker: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod so that its StatefulSet recreates it, which it does not do while the pod is not ready."""

    consumer: Consumer
    pod: Pod
    rolled_back: int
    """The rolled back revision that the pod has."""


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Evict a pod with exposed values that Keyturn does not restart; its eviction is requested once per read."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class Settle(TargetWrite):
    """Remove the previous values from the Secret."""


class Action(StrEnum):
    """What is done at a database server, by the name of its step."""

    APPLY = "Apply"
    """A new credential is accepted, next to those that are open."""
    PROVE = "Prove"
    """A login with it is accepted; its revision becomes the current one."""
    ASSERT = "Assert"
    """The recorded credentials are accepted again; records nothing."""
    REVOKE = "Revoke"
    """A closing credential is refused."""
    RETIRE = "Retire"
    """Every login of the account of a deleted ManagedSecret is refused."""


@dataclass(frozen=True, slots=True)
class Account:
    """Make a database server accept exactly the credentials in `live`, prove that, and record it.

    The server learns the whole set each time, so the step can be repeated after a crash.
    """

    action: Action
    live: tuple[Credential, ...]
    """The published one first."""
    credentials: tuple[Credential, ...] = ()
    """Those that it is about: all of them if the account is retired, none if they are asserted, else one."""
    opens: bool = False
    """Asserts also a login that was closed, locked or dropped there, because a rotation was requested."""
    ends_sessions: bool = False
    """Whether open sessions of a login that is closed are ended."""

    @property
    def credential(self) -> Credential:
        return self.credentials[0]


@dataclass(frozen=True, slots=True)
class Finalize:
    """Add or remove the finalizer, which delays deletion until pushes are deleted and leases revoked."""

    present: bool


@dataclass(frozen=True, slots=True)
class Push:
    """Push the current revision to a key of a store, and record it."""

    destination: Destination
    number: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Remove the record of a push, and delete the key if `deletes`."""

    destination: Destination
    deletes: bool


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Revoke a lease and remove its record."""

    lease: StoreLease
    drops_refused: bool = False
    """The record is removed also if the store does not revoke the lease, which then expires."""
    is_stated: bool = False
    """A person states that the lease is revoked, so that its record is removed without a request."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is due before `until` or the next event."""

    until: datetime | None
    problem: Wait | Stalled | None = None
    """An error of a store; everything else is done."""


# Changes of the state Secret: a new one is a class here, which the reconciler writes and `keyturn plan` simulates


@dataclass(frozen=True, slots=True)
class Bind(StateChange):
    """Set or remove the owner reference of the state Secret."""

    def recorded(self, state: StateFacts, _observed: Observed, _now: datetime) -> StateFacts:
        return state


# The overlap


@dataclass(frozen=True, slots=True)
class Overlap(StateChange):
    """Record when the overlap ends; every workload runs on the current values."""

    number: int
    until: datetime

    def recorded(self, state: StateFacts, _observed: Observed, _now: datetime) -> StateFacts:
        return state.with_revision_facts(replace(state.current, valid_until=self.until))


@dataclass(frozen=True, slots=True)
class Expire(StateChange):
    """Record that the overlap is over, so that a clock that is set back does not restart it.

    In the same write its credentials are to be closed. A return to another revision of the same overlap does not
    bring its previous values back.
    """

    number: int

    def recorded(self, state: StateFacts, _observed: Observed, now: datetime) -> StateFacts:
        current, start = state.current_credential, state.overlap_start.number
        over = {one.revision for one in state.open_credentials if current and one.revision < current.revision}
        for one in state.revisions:
            if start in {one.number, one.overlap_from}:
                state = state.with_revision_facts(replace(one, ended=True))
        return state.with_phase(Phase.CLOSING, now, over)


# Requests


@dataclass(frozen=True, slots=True)
class Refresh(StateChange):
    """Record that stores were read on request, without a new revision."""

    def recorded(self, state: StateFacts, observed: Observed, now: datetime) -> StateFacts:
        triggers = state.triggers.with_refreshed(observed.requested)
        return replace(state, triggers=triggers, refreshed=now, refreshed_for=observed.refreshed_for)


@dataclass(frozen=True, slots=True)
class Decline(StateChange):
    """Record a request for rotation that has nothing to rotate, without a new revision."""

    def recorded(self, state: StateFacts, observed: Observed, _now: datetime) -> StateFacts:
        handled = state.triggers.with_handled(observed.requested)
        # A rolled back revision is superseded by the content of the stores, as by any rotation.
        return replace(
            state, triggers=replace(handled, rollback=state.triggers.rollback), rollback_pause=None
        )


# Before a store or a database server is changed


@dataclass(frozen=True, slots=True)
class Intend(StateChange):
    """Record a push before it is sent."""

    record: Pushed

    def recorded(self, state: StateFacts, _observed: Observed, _now: datetime) -> StateFacts:
        return state.with_pushed(self.record)


@dataclass(frozen=True, slots=True)
class Borrow(StateChange):
    """Record new or renewed leases."""

    leases: tuple[StoreLease, ...]

    def recorded(self, state: StateFacts, _observed: Observed, _now: datetime) -> StateFacts:
        return state.with_leases(self.leases)


@dataclass(frozen=True, slots=True)
class Close(StateChange):
    """Record that credentials are given up; so is a revision that was not published with one."""

    numbers: tuple[int, ...]

    def recorded(self, state: StateFacts, _observed: Observed, now: datetime) -> StateFacts:
        unproven = {one.revision for one in state.credentials if one.is_candidate}.intersection(self.numbers)
        given_up = {number for number in unproven if not was_in_use(number, state)}
        for revision in state.revisions:
            if revision.credential in given_up:
                state = state.with_revision_facts(replace(revision, abandoned=True))
        return state.with_phase(Phase.CLOSING, now, set(self.numbers))


Step = (
    Claim
    | Adopt
    | Stage
    | StateChange
    | TargetWrite
    | RollOut
    | DeletePod
    | EvictPod
    | Account
    | Finalize
    | Push
    | Withdraw
    | GiveBack
    | Rest
)
StoreStep = Push | Withdraw | GiveBack
"""Steps that send requests to a store."""
Recorded = StateChange | StoreStep | Account
"""Steps that the state Secret records, and that generate no revision."""


def rotation_id(uid: str, number: int) -> str:
    """Return the identifier of a rotation, independent of time."""
    return f"{uid}/{number}"


_ZERO = timedelta(0)
_PRECISION = timedelta(seconds=1)
"""Precision of times in the status, which have whole seconds."""


def duration_of(step: Step, observed: Observed, wrote: timedelta, now: datetime) -> timedelta | None:
    """Return the duration of a step that completes now; `wrote` is the duration of its write.

    None if it is no step of a rotation, or its begin is unknown.
    """
    took: timedelta | None = None
    match step:
        case Stage(number=number):
            begun = observed.managed.status.rotation  # reported if the values were not made at once
            is_its = begun is not None and begun.id == rotation_id(observed.uid, number)
            took = max(wrote, now - begun.started_at - _PRECISION) if begun and is_its else wrote
        case Publish(number=number) if number != observed.managed.status.revision and observed.current:
            took = now - observed.current.made
        case Expire():
            took = _overlapped(observed, now)
        case Settle():
            until = observed.current.valid_until if observed.current else None
            took = max(wrote, now - until) if until else wrote
    return None if took is None else max(took, _ZERO)


def _overlapped(observed: Observed, now: datetime) -> timedelta | None:
    state, history = observed.state, observed.managed.status.history
    if state is None or state.current.valid_until is None:
        return None
    start = state.overlap_start.number
    through = next((entry.finished_at for entry in history if entry.revision == start), None)
    return min(now, state.current.valid_until) - through if through else None


def rollout_duration(observed: Observed, now: datetime) -> tuple[str, timedelta] | None:
    """Return the step that ends with the last workload, RollOut or Rollback, and its duration; None if unknown."""
    if observed.state and observed.state.rollback_pause:
        return "Rollback", max(now - observed.state.rollback_pause.at, _ZERO)
    published = observed.target_published
    return ("RollOut", max(now - published, _ZERO)) if published else None
