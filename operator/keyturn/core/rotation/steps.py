"""The steps there are: each is one write, which a second run finds done.

    (nothing) ──Stage──▶ staged ──Publish──▶ published ──RollOut…──▶ rolled out ──Overlap──▶ ──Expire──▶ ──Revoke──▶
                 ▲          ▲                  │  ▲   │        └── Rest, where no value before stays readable
               Begin ◀──────│──────────────────┘  │   └──GoBack──▶ (an earlier revision is staged again)
                            └─────────────────────┼─────────┘
                                                  └──Repair (the Secret was edited or deleted)
    (a Secret of ours without its state, or a new ManagedSecret over it) ──Claim──▶ published
    (a Secret that nobody owns and the spec adopts) ──Adopt──▶ staged
    published ──Bind──▶ (the state Secret is deleted with its ManagedSecret, or is not)
              ──Release──▶ (a Secret under a name that the spec no longer has is nobody's)
              ──Refresh──▶ (that stores were read on request is recorded)
              ──Decline──▶ (that a rotation was asked for is recorded, where nothing turns)
              ──Intend──▶ ──Push──▶ (a store holds the values), ──Withdraw──▶ (it no longer does)
              ──DeletePod──▶ (a StatefulSet makes a pod again that has a withdrawn revision and was never ready)
             ──Borrow──▶ (what stores have lent is recorded) ──GiveBack──▶ (they have it back)

Each is chosen from facts alone (see `decision`), so the operator may die between any two: the next look finds the
same facts and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.observation.observed import Consumer
    from keyturn.core.observation.pods import Pod
    from keyturn.core.spec.store_refs import Destination
    from keyturn.core.state.lease import StoreLease
    from keyturn.core.state.state import Pushed

    from .reasons import Reason

__all__ = [
    "Adopt",
    "Begin",
    "Bind",
    "Borrow",
    "Claim",
    "Decline",
    "DeletePod",
    "Expire",
    "Finalize",
    "GiveBack",
    "GoBack",
    "Intend",
    "OutsideStep",
    "Overlap",
    "Publish",
    "Push",
    "Refresh",
    "Release",
    "Repair",
    "Rest",
    "Revoke",
    "RollOut",
    "Stage",
    "Step",
    "Withdraw",
    "rotation_id",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """Record a Secret of ours that has no state, or take it over for a ManagedSecret that was made again."""

    number: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record what a Secret holds that nobody owns, before it becomes ours."""

    number: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Write the rotation into the status, as record and as fence, before anything is changed."""

    id: str
    number: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Stage:
    """Make the new values and record them in the state Secret."""

    number: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the newest revision into the native Secret."""

    number: int


@dataclass(frozen=True, slots=True)
class Repair:
    """Put the current revision back into a Secret that was edited or deleted."""

    number: int
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bind:
    """Have the state Secret deleted with its ManagedSecret, or no longer."""


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of a Secret under a name that the spec no longer has; what reads it goes on."""

    secret: str


@dataclass(frozen=True, slots=True)
class GoBack:
    """Make an earlier revision the current one, because a rollout failed or a person asked for it."""

    number: int
    given_up: int
    failed: bool


@dataclass(frozen=True, slots=True)
class RollOut:
    """Restart one workload by the marker on its pod template."""

    consumer: Consumer
    marker: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Have a StatefulSet make a pod again, which it does not do while that pod is not ready."""

    consumer: Consumer
    pod: Pod
    withdrawn: int
    """The revision that the pod has."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Record until when the values before stay readable: every workload runs on the current ones."""

    number: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Expire:
    """Record that the overlap is over, so that no clock that is set back brings it up again."""

    number: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take the values before out of the Secret."""

    number: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """Record that stores were read because somebody asked for it, and hold nothing else."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Record that a rotation was asked for where nothing turns, and make no revision of it."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Keep a deleted ManagedSecret until what it has pushed is deleted as well, or no longer."""

    present: bool


@dataclass(frozen=True, slots=True)
class Intend:
    """Record what is about to be written into a store."""

    record: Pushed


@dataclass(frozen=True, slots=True)
class Push:
    """Bring a key of a store to the current revision, and record that it is so."""

    destination: Destination
    number: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Delete what was pushed where the spec said so, and forget that it was."""

    destination: Destination
    deletes: bool


@dataclass(frozen=True, slots=True)
class Borrow:
    """Record what stores have lent, or for how long now."""

    loans: tuple[StoreLease, ...]


@dataclass(frozen=True, slots=True)
class GiveBack:
    """End what a store has lent, and forget that it was."""

    loan: StoreLease


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is to be done before `until`, or before something changes."""

    until: datetime | None
    problem: Wait | Stalled | None = None
    """What a store keeps from being done; all else is."""


Step = (
    Claim
    | Adopt
    | Begin
    | Stage
    | Publish
    | Repair
    | Bind
    | Release
    | GoBack
    | RollOut
    | DeletePod
    | Overlap
    | Expire
    | Revoke
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
"""What is done for the sake of stores."""


def rotation_id(uid: str, number: int) -> str:
    """Name a rotation from what identifies it, never from the time."""
    return f"{uid}/{number}"
