"""What is done next for a managed secret: the steps there are, and the choice between them.

    (nothing) ──Stage──▶ staged ──Publish──▶ published ──RollOut…──▶ rolled out ──▶ Rest
                           ▲                     │  ▲
                           └──Stage◀──Begin──────┘  └──Repair (the Secret was edited or deleted)
    (a Secret of ours without its state, or a new ManagedSecret over it) ──Claim──▶ published

A step is one idempotent write. Each is chosen from facts alone, so the operator may die between
any two: the next look finds the same facts and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .errors import Stalled
from .renewal import CREATED, SPEC_CHANGED, Reason, due_time, reason_to_renew
from .rollout import Standing, Turn, marker_for, next_restarts, restart_due, standings
from .state import HIGHEST_HINT, state_name
from .workload import read_marker

if TYPE_CHECKING:
    from datetime import datetime

    from .seen import Consumer, Seen, TargetFacts
    from .state import RevisionFacts
    from .wanted import Wanted

__all__ = [
    "Begin",
    "Claim",
    "Publish",
    "Repair",
    "Rest",
    "RollOut",
    "Stage",
    "Step",
    "next_number",
    "next_step",
    "rotation_id",
]

_LOOK_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """Record a Secret of ours that has no state, or take it over for a ManagedSecret that was made again."""

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
class RollOut:
    """Restart one workload by the marker on its pod template."""

    consumer: Consumer
    marker: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is to be done before `until`, or before something changes."""

    until: datetime | None


Step = Claim | Begin | Stage | Publish | Repair | RollOut | Rest


def next_step(seen: Seen) -> Step:
    """Choose what is done next.

    Raises:
        Stalled: A person must act first.
    """
    if seen.managed.spec.suspend:
        return Rest(None)
    wanted = _allowed(seen)
    if seen.state is None and seen.target is not None:
        return Claim(_hinted(seen.target) or next_number(seen))
    if seen.state is not None and seen.state.uid != seen.uid:
        return Claim(seen.state.newest.number)
    reason = reason_to_renew(seen, wanted)
    if reason and _may_renew(seen, reason):
        return _begin_or_stage(seen, reason)
    if write := _write(seen, wanted):
        return write
    return _roll_out(seen, wanted)


def next_number(seen: Seen) -> int:
    """Return the number of the next revision.

    The state knows. Where it was lost, status and markers hint at what was there; they are anybody's to write,
    so no number out of them may be one that cannot be counted on from.
    """
    if seen.state:
        return seen.state.newest.number + 1
    hints = [seen.managed.status.revision or 0]
    if seen.wanted:
        secret = seen.wanted.secret
        hints += (read_marker(one.workload.marker).get(secret, 0) for one in seen.consumers)
    return max((hint for hint in hints if hint <= HIGHEST_HINT), default=0) + 1


def _hinted(target: TargetFacts) -> int | None:
    number = target.revision
    return number if number and number <= HIGHEST_HINT else None


def _may_renew(seen: Seen, reason: Reason) -> bool:
    """A revision is published before the next is made, unless the spec asks for another instead of it.

    So no defect and no trigger can pile up revisions that nobody reads, until those in use are forgotten.
    """
    return seen.state is None or seen.is_published or reason.name == SPEC_CHANGED


def rotation_id(uid: str, number: int) -> str:
    """Name a rotation from what identifies it, never from the time."""
    return f"{uid}/{number}"


def _allowed(seen: Seen) -> Wanted:
    if seen.trouble:
        raise seen.trouble
    if seen.wanted is None:
        raise Stalled("InvalidSpec", "the spec cannot be read")
    if seen.violations:
        raise Stalled("PolicyViolation", "; ".join(one.message for one in seen.violations))
    if seen.target and seen.target.owner != seen.name:
        raise _not_owned(seen.wanted.secret, seen.target.owner)
    if seen.state_is_foreign:
        raise _not_owned(state_name(seen.name), seen.state_owner)
    return seen.wanted


def _not_owned(secret: str, owner: str | None) -> Stalled:
    whose = f"belongs to the ManagedSecret {owner!r}" if owner else "was made by somebody else"
    return Stalled(
        "SecretNotOwned",
        f"the Secret {secret!r} {whose} and is not touched; write another name, or delete that Secret",
    )


def _begin_or_stage(seen: Seen, reason: Reason) -> Begin | Stage:
    number = next_number(seen)
    if reason.name == CREATED:  # nothing is replaced, so there is nothing to fence
        return Stage(number, reason)
    id_ = rotation_id(seen.uid, number)
    running = seen.managed.status.rotation
    if running is None or running.id != id_:
        return Begin(id_, number, reason)
    return Stage(number, reason)


def _write(seen: Seen, wanted: Wanted) -> Publish | Repair | None:
    newest = _newest(seen)
    target = seen.target
    if target is None:
        status = seen.managed.status
        published_before = (status.revision or 0) >= newest.number and status.secret_name == wanted.secret
        every_key = seen.state.names if seen.state else frozenset()
        return Repair(newest.number, every_key) if published_before else Publish(newest.number)
    if target.revision != newest.number:
        return Publish(newest.number)
    if target.differs or not target.dressed:
        return Repair(newest.number, target.differs)
    return None


def _roll_out(seen: Seen, wanted: Wanted) -> RollOut | Rest:
    all_standings = standings(seen, wanted)
    restarts = next_restarts(seen, wanted, all_standings)
    if restarts:
        first = restarts[0]
        return RollOut(first, marker_for(first, wanted.secret, _newest(seen).number))
    return Rest(_wake_up(seen, wanted, all_standings))


def _wake_up(seen: Seen, wanted: Wanted, all_standings: tuple[Standing, ...]) -> datetime | None:
    times = [restart_due(seen, wanted, one) for one in all_standings if one.turn is Turn.NEXT]
    times = [when if when > seen.now else seen.now + _LOOK_AGAIN for when in times]
    if due := due_time(seen):
        times.append(due)
    return min(times, default=None)


def _newest(seen: Seen) -> RevisionFacts:
    if seen.newest is None:
        raise Stalled("NoState", "the state Secret holds no revision; delete it to start anew")
    return seen.newest
