"""What is done next for a managed secret: the steps there are, and the choice between them.

    (nothing) ──Stage──▶ staged ──Publish──▶ published ──RollOut…──▶ rolled out ──Overlap──▶ ──Expire──▶ ──Revoke──▶
                 ▲          ▲                  │  ▲   │        └── Rest, where no value before stays readable
               Begin ◀──────│──────────────────┘  │   └──GoBack──▶ (an earlier revision is staged again)
                            └─────────────────────┼─────────┘
                                                  └──Repair (the Secret was edited or deleted)
    (a Secret of ours without its state, or a new ManagedSecret over it) ──Claim──▶ published
    (a Secret that nobody owns and the spec adopts) ──Adopt──▶ staged
    published ──Bind──▶ (the state Secret is deleted with its ManagedSecret, or is not)
              ──Release──▶ (a Secret under a name that the spec no longer has is nobody's)

A step is one idempotent write. Each is chosen from facts alone, so the operator may die between
any two: the next look finds the same facts and goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.managedsecret import OnFailure
from keyturn.api.status import WorkloadState

from .errors import Stalled
from .ownership import adopts_first, hold_to_ownership, not_owned, refuse_change
from .policy import denies
from .renewal import CREATED, SPEC_CHANGED, Reason, reason_to_renew, start_time
from .rollout import Standing, Turn, marker_for, next_restarts, restart_due, standings, watched_until
from .seen import ROLLBACK, ROTATE
from .state import HIGHEST_HINT, state_name
from .workload import read_marker

if TYPE_CHECKING:
    from datetime import datetime

    from .seen import Consumer, Seen, TargetFacts
    from .state import RevisionFacts
    from .wanted import Wanted

__all__ = [
    "Adopt",
    "Begin",
    "Bind",
    "Claim",
    "Expire",
    "GoBack",
    "Overlap",
    "Publish",
    "Release",
    "Repair",
    "Rest",
    "Revoke",
    "RollOut",
    "Stage",
    "Step",
    "next_number",
    "next_step",
    "rotation_id",
]

_LOOK_AGAIN = timedelta(minutes=1)
# A text after the number makes the same request new: "3" was handled, "3/again" was not.
_ASKED = re.compile(r"([0-9]{1,10})([^0-9].*)?")


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
class Rest:
    """Nothing is to be done before `until`, or before something changes."""

    until: datetime | None


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
    | Overlap
    | Expire
    | Revoke
    | Rest
)


def next_step(seen: Seen) -> Step:
    """Choose what is done next.

    Raises:
        Wait: Something must be there first.
        Stalled: A person must act first.
    """
    if seen.managed.spec.suspend or seen.managed.metadata.deletion_timestamp:
        return Rest(None)
    wanted = _allowed(seen)
    if first := _claim(seen, wanted) or _requested_return(seen, wanted):
        return first
    reason = reason_to_renew(seen, wanted)
    _hold_to_curable_rules(seen, reason)
    if reason and _may_renew(seen, wanted, reason):
        refuse_change(seen, wanted, reason.message)
        return _begin_or_stage(seen, reason)
    return _write(seen, wanted) or _let_go(seen) or _roll_out(seen, wanted)


def _claim(seen: Seen, wanted: Wanted) -> Claim | Adopt | None:
    if seen.state and seen.state.uid != seen.uid:
        return Claim(seen.state.newest.number)
    if adopts_first(seen, wanted):
        return Adopt(next_number(seen))
    if seen.state is None and seen.target and seen.is_ours:
        return Claim(_hinted(seen.target) or next_number(seen))
    return None


def _let_go(seen: Seen) -> Bind | Release | None:
    if seen.unbound:
        return Bind()
    return Release(seen.left[0]) if seen.left else None


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


def _may_renew(seen: Seen, wanted: Wanted, reason: Reason) -> bool:
    """A revision is published before the next is made, unless the spec asks for another instead of it.

    So no defect and no trigger can pile up revisions that nobody reads, until those in use are forgotten.
    And while a workload fails with the current one, only a person has the next made.
    """
    if seen.state is None or reason.name == SPEC_CHANGED:
        return True
    if not seen.is_published:
        return False
    return not reason.by_itself or not _any_failed(standings(seen, wanted))


def _requested_return(seen: Seen, wanted: Wanted) -> GoBack | None:
    """Return to the revision that `keyturn.dev/rollback` names, once for each text."""
    asked = _unhandled_return(seen)
    if asked is None or seen.state is None or asked not in seen.state.restorable:
        return None
    refuse_change(seen, wanted, f"{ROLLBACK} asks for revision {asked}")
    return GoBack(asked, seen.state.current_number, failed=False)


def _unhandled_return(seen: Seen) -> int | None:
    asked = seen.requested.rollback
    if seen.state is None or asked is None or asked == seen.state.triggers.rollback:
        return None
    return _leading_number(asked)


def _refuse_unknown_return(seen: Seen) -> None:
    """Refuse to return to what is not kept; all else is done before.

    Raises:
        Stalled: With the revisions that are kept.
    """
    if seen.state is None or _unhandled_return(seen) is None:
        return
    others = sorted(seen.state.restorable - {seen.state.current_number})
    kept = ", ".join(str(one) for one in others) or "none but the current one"
    raise Stalled(
        "NoSuchRevision",
        f"{ROLLBACK} does not begin with a revision whose values are kept; these are: {kept}."
        " Write one of them, or remove the annotation",
    )


def _leading_number(asked: str) -> int:
    found = _ASKED.fullmatch(asked)
    return int(found[1]) if found else 0


def rotation_id(uid: str, number: int) -> str:
    """Name a rotation from what identifies it, never from the time."""
    return f"{uid}/{number}"


def _allowed(seen: Seen) -> Wanted:
    if seen.trouble:
        raise seen.trouble
    if seen.wanted is None:
        raise Stalled("InvalidSpec", "the spec cannot be read")
    if denies(seen.secret_class) and not all(one.curable for one in seen.violations):
        raise _violation(seen)
    hold_to_ownership(seen, seen.wanted)
    if seen.state_is_foreign:
        raise not_owned(state_name(seen.name), seen.state_owner)
    return seen.wanted


def _hold_to_curable_rules(seen: Seen, reason: Reason | None) -> None:
    """Let nothing be written over values that break a rule, but what makes all of them anew.

    Raises:
        Stalled: With what cures it.
    """
    fresh = reason.fresh if reason else frozenset()
    if denies(seen.secret_class) and not all(one.cured_by <= fresh for one in seen.violations):
        raise _violation(seen)


def _violation(seen: Seen) -> Stalled:
    return Stalled("PolicyViolation", "; ".join(one.message for one in seen.violations))


def _begin_or_stage(seen: Seen, reason: Reason) -> Begin | Stage:
    number = next_number(seen)
    if reason.name == CREATED:  # nothing is replaced, so there is nothing to fence
        return Stage(number, reason)
    id_ = rotation_id(seen.uid, number)
    running = seen.managed.status.rotation
    if running is None or running.id != id_:
        return Begin(id_, number, reason)
    return Stage(number, reason)


def _write(seen: Seen, wanted: Wanted) -> Publish | Repair | Revoke | None:
    current = _current(seen)
    target = seen.target
    if target is None:
        status = seen.managed.status
        published_before = status.revision == current.number and status.secret_name == wanted.secret
        every_key = seen.state.every_key if seen.state else frozenset()
        return Repair(current.number, every_key) if published_before else Publish(current.number)
    if target.revision != current.number:
        return Publish(current.number)
    lacks_overlap = current.overlaps and not target.overlapping
    if target.differs or lacks_overlap or not target.dressed:
        return Repair(current.number, target.differs)
    if target.overlapping and not current.overlaps:
        return Revoke(current.number)
    return None


def _roll_out(seen: Seen, wanted: Wanted) -> GoBack | RollOut | Overlap | Expire | Rest:
    all_standings, number = standings(seen, wanted), _current(seen).number
    if _any_failed(all_standings):
        return _after_failure(seen, wanted)
    if restarts := next_restarts(seen, wanted, all_standings):
        return RollOut(restarts[0], marker_for(restarts[0], wanted.secret, number))
    is_through = not any(one.under_way for one in all_standings)
    if is_through and (step := _overlap(seen, wanted)):
        return step
    _refuse_unknown_return(seen)
    if is_through:
        _ask_for_help_after_a_return(seen)
    return Rest(_wake_up(seen, wanted, all_standings))


def _ask_for_help_after_a_return(seen: Seen) -> None:
    """Wait for a person where an earlier revision had to come back.

    Raises:
        Stalled: With what that person can do.
    """
    if seen.held and seen.held.failed:
        raise Stalled(
            "RolledBack",
            f"workloads did not get ready with revision {seen.held.number}, so revision"
            f" {_current(seen).number} is back; look at their events, then write a new text into {ROTATE}"
            " or change the spec",
        )


def _any_failed(all_standings: tuple[Standing, ...]) -> bool:
    return any(one.state is WorkloadState.FAILED for one in all_standings)


def _after_failure(seen: Seen, wanted: Wanted) -> GoBack:
    """Return to the revision before, or stop.

    Raises:
        Stalled: There is none, or it failed as well, or the spec wants to hold.
    """
    current = _current(seen)
    good, kept = current.fallback, seen.state.restorable if seen.state else frozenset[int]()
    if wanted.on_failure is OnFailure.ROLLBACK and not seen.held and good in kept:
        return GoBack(good, current.number, failed=True)
    raise Stalled(
        "RolloutFailed",
        f"a workload did not get ready with revision {current.number} and nobody else is restarted;"
        f" mend it, or write a new text into {ROTATE}, or go back with {ROLLBACK}",
    )


def _overlap(seen: Seen, wanted: Wanted) -> Overlap | Expire | None:
    current = _current(seen)
    if not current.overlaps:
        return None
    if current.valid_until is None:
        return Overlap(current.number, seen.now + wanted.overlap)
    return Expire(current.number) if seen.now >= current.valid_until else None


def _wake_up(seen: Seen, wanted: Wanted, all_standings: tuple[Standing, ...]) -> datetime | None:
    times = [restart_due(seen, wanted, one) for one in all_standings if one.turn is Turn.NEXT]
    times = [when if when > seen.now else seen.now + _LOOK_AGAIN for when in times]
    times += (when for one in all_standings if (when := watched_until(seen, wanted, one)))
    current = _current(seen)
    if current.overlaps and current.valid_until:
        times.append(current.valid_until)
    if start := start_time(seen):
        times.append(start)
    return min(times, default=None)


def _current(seen: Seen) -> RevisionFacts:
    if seen.current is None:
        raise Stalled("NoState", "the state Secret holds no revision; delete it to start anew")
    return seen.current
