"""Steps of a reconcile: each is one idempotent write.

    (nothing) ──Stage──▶ staged ──Publish──▶ published ──RollOut…──▶ rolled out ──Overlap──▶ ──Expire──▶ ──Settle──▶
                 ▲          ▲                  │  ▲   │        └── Rest, if no previous value stays readable
                 └──────────│──────────────────┘  │   └──GoBack──▶ (an earlier revision is staged again)
                            └─────────────────────┼─────────┘
                                                  └──Repair (the Secret was edited or deleted)
    (an own Secret without state, or with a recreated ManagedSecret) ──Claim──▶ published
    (a Secret without owner, and adopt: IfUnowned) ──Adopt──▶ staged
    staged ──TakeOver──▶ (an emergency that was declared meanwhile publishes it as its own)
    published ──Bind──▶ (the owner reference of the state Secret is set or removed)
              ──Release──▶ (a Secret under a name that the spec no longer has loses its owner)
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

Each is chosen from facts alone (see `decision`), so the operator may crash between any two: the next reconcile
observes the same facts and continues.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.reasons import RevisionReason

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import HoldingPod, Pod
    from keyturn.core.spec.store_refs import Destination
    from keyturn.core.state.records import StoreLease
    from keyturn.core.state.state import LeftSecret, Pushed


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

    def joined(self, other: Reason) -> Reason:
        return replace(
            self,
            fresh=self.fresh | other.fresh,
            rotates=self.rotates or other.rotates,
            awaited=self.awaited | other.awaited,
            others=self.others | other.names,
        )


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
class TakeOver:
    """Record that a revision from before an emergency is not published yet, before the emergency publishes it."""

    number: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the newest revision to the target Secret."""

    number: int


@dataclass(frozen=True, slots=True)
class Repair:
    """Restore the current revision in a Secret that was edited or deleted."""

    number: int
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bind:
    """Set or remove the owner reference of the state Secret."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Record a Secret under a name that the spec no longer has, before it is released."""

    secret: LeftSecret


@dataclass(frozen=True, slots=True)
class Release:
    """Release a Secret under a name that the spec no longer has; its content stays."""

    secret: str


@dataclass(frozen=True, slots=True)
class GoBack:
    """Make an earlier revision the current one, after a failed rollout or on request."""

    number: int
    rolled_back: int
    failed: bool
    lasts: bool = True
    """Whether rotation is paused until a request; otherwise until the next scheduled date."""


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

    pod: HoldingPod


@dataclass(frozen=True, slots=True)
class Overlap:
    """Record when the overlap ends; every workload runs on the current values."""

    number: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Expire:
    """Record that the overlap is over, so that a clock that is set back does not restart it."""

    number: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Remove the previous values from the Secret."""

    number: int


@dataclass(frozen=True, slots=True)
class Apply:
    """Make the database server accept the credential that a revision brought, next to those that are open."""

    number: int


@dataclass(frozen=True, slots=True)
class Prove:
    """Log in with the credential that a revision brought; if accepted, its revision becomes the current one."""

    number: int


@dataclass(frozen=True, slots=True)
class Assert:
    """Make the database server accept the recorded credentials again; records nothing."""

    opens: bool = False
    """Also a login that was closed, locked or dropped there, because a rotation was requested."""


@dataclass(frozen=True, slots=True)
class Close:
    """Record that credentials are given up, before the database server is touched."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Revoke:
    """Make the database server refuse the closing credential that a revision brought, and record it as closed."""

    number: int
    ends_sessions: bool = False
    """Whether open sessions of its login are ended."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Close every login of the account of a deleted ManagedSecret, and record the credentials as closed."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """Record that stores were read on request, without a new revision."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Record a request for rotation that has nothing to rotate, without a new revision."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Add or remove the finalizer, which delays deletion until pushes are deleted and leases revoked."""

    present: bool


@dataclass(frozen=True, slots=True)
class Intend:
    """Record a push before it is sent."""

    record: Pushed


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
class Borrow:
    """Record new or renewed leases."""

    leases: tuple[StoreLease, ...]


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


Step = (
    Claim
    | Adopt
    | Stage
    | TakeOver
    | Publish
    | Repair
    | Bind
    | Leave
    | Release
    | GoBack
    | RollOut
    | DeletePod
    | EvictPod
    | Overlap
    | Expire
    | Settle
    | Apply
    | Prove
    | Assert
    | Close
    | Revoke
    | Retire
    | Refresh
    | Decline
    | Finalize
    | Intend
    | Push
    | Withdraw
    | Borrow
    | GiveBack
    | Rest
)
OutsideStep = Refresh | Finalize | Intend | Push | Withdraw | Borrow | GiveBack
"""Steps that concern stores."""
DatabaseStep = Apply | Prove | Assert | Revoke | Retire
"""Steps that send requests to a database server."""


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
    took = _duration_of(step, observed, wrote, now)
    return None if took is None else max(took, _ZERO)


def _duration_of(step: Step, observed: Observed, wrote: timedelta, now: datetime) -> timedelta | None:
    match step:
        case Stage(number=number):
            begun = observed.managed.status.rotation  # reported if the values were not made at once
            is_its = begun is not None and begun.id == rotation_id(observed.uid, number)
            return max(wrote, now - begun.started_at - _PRECISION) if begun and is_its else wrote
        case Publish(number=number) if number != observed.managed.status.revision and observed.current:
            return now - observed.current.made
        case Expire():
            return _overlapped(observed, now)
        case Settle():
            until = observed.current.valid_until if observed.current else None
            return max(wrote, now - until) if until else wrote
        case _:
            return None


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
