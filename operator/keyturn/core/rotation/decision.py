"""What is done next for a managed secret, from what one look at the world has found."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.emergency import EMERGENCY
from keyturn.core.observation.store_reads import being_read
from keyturn.core.observation.workload import read_marker
from keyturn.core.policy.checklist import GRACE
from keyturn.core.policy.rules import denies
from keyturn.core.state.state import HIGHEST_HINT, state_name

from .drift import contest, is_contested, until, was_sent
from .emergency import published_from, revokes_at_once
from .leases import next_loans, next_return, returned_again, returned_last
from .markers import next_marker
from .ownership import adopts_first, hold_to_ownership, not_owned, refuse_change
from .push import last_pushes, next_push, push_problem, pushed_again
from .reasons import CREATED, SPEC_CHANGED, Reason
from .restart_backoff import denied_until
from .rollback import ask_for_help, refuse_unknown_return, requested_return, return_after_failure
from .rollout import (
    Turn,
    WorkloadProgress,
    any_failed,
    next_restarts,
    pods_again,
    restart_due,
    standings,
    watched_until,
)
from .steps import (
    Adopt,
    Begin,
    Bind,
    Claim,
    Decline,
    DeletePod,
    Expire,
    GoBack,
    Overlap,
    Publish,
    Refresh,
    Release,
    Repair,
    Rest,
    Revoke,
    RollOut,
    Stage,
    Step,
    rotation_id,
)
from .stuck_pods import pod_to_delete
from .triggers import is_requested, reason_to_renew, start_time, turns_nothing

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed, TargetFacts
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts

    from .push import PushStep

__all__ = ["hinted", "next_number", "next_step"]

_LOOK_AGAIN = timedelta(minutes=1)


def next_step(seen: Observed) -> Step:
    """Choose what is done next.

    Raises:
        Wait: Something must be there first.
        Stalled: A person must act first.
    """
    if seen.managed.metadata.deletion_timestamp:
        # Also of a suspended one: whoever deletes it wants it gone.
        again = min((when for when in (pushed_again(seen), returned_last(seen)) if when), default=None)
        return last_pushes(seen) or Rest(again, push_problem(seen))
    if seen.managed.spec.suspend:
        return Rest(_overlap_missed(seen))
    wanted = _allowed(seen)
    if first := _claim(seen, wanted) or next_loans(seen) or _asked(seen, wanted):
        return first
    reason = reason_to_renew(seen, wanted)
    _hold_to_curable_rules(seen, reason)
    problem = seen.pulled.problem
    if reason and _may_renew(seen, wanted, reason):
        refuse_change(seen, wanted, reason.message)
        problem = _what_is_unread(seen, wanted, reason)
        if problem is None:
            return _begin_or_stage(seen, reason)
        if seen.state is None:
            raise problem
    return (
        _end_overlap(seen)
        or _write(seen, wanted)
        or _outside(seen, wanted)
        or _let_go(seen)
        or next_return(seen, wanted)
        or _roll_out(seen, wanted, problem)
    )


def _overlap_missed(seen: Observed) -> datetime | None:
    """Return when an overlap that nobody may end counts as missed, which is then told."""
    current = seen.current
    if current is None or not current.overlaps or current.valid_until is None:
        return None
    missed = current.valid_until + GRACE
    return missed if missed > seen.now else None


def _end_overlap(seen: Observed) -> Expire | None:
    """Let no value before stay readable in an emergency, be it of a rotation that it has taken over."""
    current = seen.current
    return Expire(current.number) if current and current.overlaps and revokes_at_once(seen) else None


def _what_is_unread(seen: Observed, wanted: Desired, reason: Reason) -> Wait | Stalled | None:
    """Say why no revision can be made yet: it needs a value that is to be read first."""
    pulled = frozenset(item.name for item in wanted.pulled)
    is_first = seen.state is None and bool(wanted.pushes)  # where a lost value may be found again
    if not (is_first or reason.fresh & pulled) or seen.pulled.read:
        return None
    return seen.pulled.problem or being_read()


def _outside(seen: Observed, wanted: Desired) -> PushStep | Refresh | None:
    if seen.pulled.read and seen.asks_to_refresh:
        return Refresh()
    return next_push(seen, wanted)


def _claim(seen: Observed, wanted: Desired) -> Claim | Adopt | None:
    if seen.state and seen.state.uid != seen.uid:
        return Claim(seen.state.newest.number)
    if adopts_first(seen, wanted):
        return Adopt(next_number(seen))
    if seen.state is None and seen.target and seen.is_ours:
        return Claim(hinted(seen.target) or next_number(seen))
    return None


def _asked(seen: Observed, wanted: Desired) -> GoBack | Decline | None:
    """Go back as somebody asks, or tell somebody who asks for a rotation that nothing turns."""
    if back := requested_return(seen, wanted):
        return back
    return Decline() if is_requested(seen) and turns_nothing(wanted) else None


def _let_go(seen: Observed) -> Bind | Release | None:
    if seen.unbound:
        return Bind()
    return Release(seen.left[0]) if seen.left else None


def _may_renew(seen: Observed, wanted: Desired, reason: Reason) -> bool:
    """A revision is published before the next is made, unless the spec or an emergency asks for another instead.

    So no defect and no trigger can pile up revisions that nobody reads, until those in use are forgotten.
    And while a workload fails with the current one, only a person has the next made.
    """
    if seen.state is None or reason.name in {SPEC_CHANGED, EMERGENCY}:
        return True
    if not seen.is_published:
        return False
    return not reason.by_itself or not any_failed(standings(seen, wanted))


def _allowed(seen: Observed) -> Desired:
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


def _hold_to_curable_rules(seen: Observed, reason: Reason | None) -> None:
    """Let nothing be written over values that break a rule, but what makes all of them anew.

    Raises:
        Stalled: With what cures it.
    """
    fresh = reason.fresh if reason else frozenset()
    if denies(seen.secret_class) and not all(one.cured_by <= fresh for one in seen.violations):
        raise _violation(seen)


def _violation(seen: Observed) -> Stalled:
    return Stalled("PolicyViolation", "; ".join(one.message for one in seen.violations))


def _begin_or_stage(seen: Observed, reason: Reason) -> Begin | Stage:
    number = next_number(seen)
    if reason.name == CREATED:  # nothing is replaced, so there is nothing to fence
        return Stage(number, reason)
    id_ = rotation_id(seen.uid, number)
    running = seen.managed.status.rotation
    if running is None or running.id != id_:
        return Begin(id_, number, reason)
    return Stage(number, reason)


def _write(seen: Observed, wanted: Desired) -> Publish | Repair | Revoke | Rest | None:
    """Write what the Secret lacks, unless it was put back too often already."""
    step = _lacking(seen, wanted)
    if isinstance(step, Publish) and (start := published_from(seen)):
        return Rest(start)
    if step is None or not is_contested(seen):
        return step
    is_new = isinstance(step, Publish | Revoke) and not was_sent(seen)
    return step if is_new else Rest(until(seen), contest(seen))


def _lacking(seen: Observed, wanted: Desired) -> Publish | Repair | Revoke | None:
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


def _roll_out(
    seen: Observed, wanted: Desired, problem: Wait | Stalled | None
) -> GoBack | RollOut | DeletePod | Overlap | Expire | Rest:
    all_standings = standings(seen, wanted)
    if restarts := next_restarts(seen, wanted, all_standings):
        return RollOut(restarts[0], next_marker(restarts[0], seen, wanted))
    if stuck := pod_to_delete(seen, wanted):
        return stuck
    if any_failed(all_standings):
        return return_after_failure(seen, wanted, _current(seen))
    is_through = not any(one.under_way for one in all_standings)
    if is_through and (step := _overlap(seen, wanted)):
        return step
    refuse_unknown_return(seen)
    if is_through:
        ask_for_help(seen, _current(seen))
    return Rest(_wake_up(seen, wanted, all_standings), problem or push_problem(seen) or contest(seen))


def _overlap(seen: Observed, wanted: Desired) -> Overlap | Expire | None:
    current = _current(seen)
    if not current.overlaps:
        return None
    if current.valid_until is None:
        return Overlap(current.number, seen.now + wanted.overlap)
    return Expire(current.number) if seen.now >= current.valid_until else None


def _wake_up(seen: Observed, wanted: Desired, all_standings: tuple[WorkloadProgress, ...]) -> datetime | None:
    times = [restart_due(seen, wanted, one) for one in all_standings if one.turn is Turn.NEXT]
    times = [when if when > seen.now else seen.now + _LOOK_AGAIN for when in times]
    times += (when for one in all_standings if (when := watched_until(seen, wanted, one)))
    times += (when for one in all_standings if (when := pods_again(seen, wanted, one)))
    denied = (denied_until(one.consumer.workload, seen, wanted) for one in all_standings)
    times += (when for when in denied if when)
    current = _current(seen)
    if current.overlaps and current.valid_until:
        times.append(current.valid_until)
    if start := start_time(seen):
        times.append(start)
    times += (
        one.consumer.pods.again for one in all_standings if one.consumer.pods and one.consumer.pods.again
    )
    others = (seen.pulled.again, pushed_again(seen), returned_again(seen, wanted), until(seen))
    times += (when for when in others if when)
    return min(times, default=None)


def _current(seen: Observed) -> RevisionFacts:
    if seen.current is None:
        raise Stalled("NoState", "the state Secret holds no revision; delete it to start anew")
    return seen.current


def next_number(seen: Observed) -> int:
    """Return the number of the next revision.

    The state knows. Where it was lost, status and markers hint at what was there; they are anybody's to write,
    so no number out of them may be one that cannot be counted on from.
    """
    if seen.state:
        return max(seen.state.newest.number, seen.state.used) + 1
    hints = [seen.managed.status.revision or 0, *(one.revision for one in seen.managed.status.history)]
    if seen.wanted:
        secret = seen.wanted.secret
        hints += (read_marker(one.workload.marker).get(secret, 0) for one in seen.consumers)
    return max((hint for hint in hints if hint <= HIGHEST_HINT), default=0) + 1


def hinted(target: TargetFacts) -> int | None:
    number = target.revision
    return number if number and number <= HIGHEST_HINT else None
