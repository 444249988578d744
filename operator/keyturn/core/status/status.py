"""What the status says, from what was seen, the step that comes next and what keeps it from being done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.api.status import (
    MOST_WORKLOADS,
    HistoryEntry,
    ManagedSecretStatus,
    PreviousStatus,
    RotationStatus,
    WorkloadStatus,
)
from keyturn.core.errors import Wait
from keyturn.core.observation.workload import read_marker
from keyturn.core.policy.checklist import policy_of
from keyturn.core.rotation.old_pods import terminating
from keyturn.core.rotation.pod_reads import ROLLED_BACK
from keyturn.core.rotation.reasons import CREATED
from keyturn.core.rotation.rollout import standings
from keyturn.core.rotation.rollout_obstacles import was_reverted
from keyturn.core.rotation.steps import Begin, Rest, rotation_id
from keyturn.core.rotation.triggers import is_overdue, start_time

from .conditions import ConditionInput, broken_rules, conditions_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.core.errors import Stalled
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation.rollout import WorkloadProgress
    from keyturn.core.rotation.steps import Step
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts
    from keyturn.core.state.state import StateFacts

__all__ = ["ROLLED_BACK", "SUCCEEDED", "Outcome", "status_of"]

_KEPT_HISTORY = 10
_A_WHILE = 3
"""Tries in a row."""
SUCCEEDED = "Succeeded"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass ended: with the step it would take next, or with what keeps it from going on."""

    step: Step | None
    error: Wait | Stalled | None = None
    attempts: int = 0


def status_of(seen: Observed, outcome: Outcome) -> ManagedSecretStatus:
    """Say everything that was found; equal facts make an equal status, so nothing is written at rest."""
    before = seen.managed.status
    everyone = standings(seen, seen.wanted) if seen.wanted and seen.state else ()
    rotation = _rotation(seen, outcome, everyone)
    start = start_time(seen)
    return ManagedSecretStatus(
        observed_generation=seen.managed.metadata.generation,
        secret_name=seen.wanted.secret if seen.wanted and seen.is_ours else before.secret_name,
        revision=_revision(seen),
        last_rotation_time=_last_rotation_time(seen),
        next_rotation_time=_second(start) if start else None,
        overdue=is_overdue(seen),
        last_trigger=_last_trigger(seen),
        last_refresh_time=_last_refresh_time(seen),
        last_refresh=_last_refresh(seen),
        rotation=rotation,
        previous=_previous(seen),
        workloads=[_workload(one, seen, seen.wanted) for one in everyone[:MOST_WORKLOADS]]
        if seen.wanted
        else before.workloads,
        policy=policy_of(broken_rules(seen)),
        history=_history(seen, everyone),
        conditions=conditions_of(
            ConditionInput(seen, everyone, rotation, outcome.error, _hindrance(outcome))
        ),
    )


def _hindrance(outcome: Outcome) -> Wait | None:
    """Return what a person should know of; who rests has done all, and an API server may be away for a moment."""
    error = outcome.error
    if not isinstance(error, Wait) or isinstance(outcome.step, Rest):
        return None
    is_short = error.reason == "ApiServerUnavailable" and outcome.attempts < _A_WHILE
    return None if is_short else error


def _revision(seen: Observed) -> int | None:
    before = seen.managed.status.revision
    return (seen.target.revision if seen.target and seen.is_ours else None) or before


def _last_rotation_time(seen: Observed) -> datetime | None:
    """Tell of values that somebody could read: what is only recorded has replaced nothing."""
    if seen.state is None or _revision(seen) is None:
        return seen.managed.status.last_rotation_time
    return _second(seen.state.rotated)


def _last_trigger(seen: Observed) -> str | None:
    handled = seen.state.triggers if seen.state else None
    return handled.last if handled else seen.managed.status.last_trigger


def _last_refresh_time(seen: Observed) -> datetime | None:
    if seen.state is None:
        return seen.managed.status.last_refresh_time
    return _second(seen.state.refreshed) if seen.state.refreshed else None


def _last_refresh(seen: Observed) -> str | None:
    return seen.state.triggers.refresh if seen.state else seen.managed.status.last_refresh


def _rotation(
    seen: Observed, outcome: Outcome, everyone: tuple[WorkloadProgress, ...]
) -> RotationStatus | None:
    if isinstance(outcome.step, Begin):
        return RotationStatus(
            id=outcome.step.id,
            reason=outcome.step.reason.name,
            step="Stage",
            started_at=_second(seen.now),
        )
    state, before = seen.state, seen.managed.status.rotation
    if state is None or seen.wanted is None:  # nobody knows how far it is
        return before
    begun = rotation_id(seen.uid, state.newest.number + 1)
    if before and before.id == begun and outcome.error:
        return _with_outcome(before, outcome)
    step = _step_under_way(seen, everyone)
    if step is None or state.newest.reason == CREATED:
        return None
    rotation = RotationStatus(
        id=rotation_id(seen.uid, state.newest.number),
        reason=state.newest.reason,
        step=step,
        started_at=_second(state.newest.made),
        message=_waiting_for(everyone),
    )
    # Who rests has done all that concerns it: a store's trouble is no part of it.
    return rotation if isinstance(outcome.step, Rest) else _with_outcome(rotation, outcome)


def _with_outcome(rotation: RotationStatus, outcome: Outcome) -> RotationStatus:
    if outcome.error is None:
        return rotation
    told = {"message": outcome.error.message}
    # What waits for a person is looked at every minute: a count would be a write each time.
    is_counted = isinstance(outcome.error, Wait) and not isinstance(outcome.step, Rest)
    counted = {"attempts": outcome.attempts} if is_counted else {}
    return rotation.model_copy(update=told | counted)


def _step_under_way(seen: Observed, everyone: Iterable[WorkloadProgress]) -> str | None:
    is_back = seen.state is not None and seen.state.current_number != seen.state.newest.number
    if not seen.is_published:
        return "Rollback" if is_back else "Publish"
    if _is_to_be_revoked(seen):
        return "Revoke"
    if any(one.under_way for one in everyone):
        return "Rollback" if is_back else "RollOut"
    return "Overlap" if seen.current and seen.current.overlaps else None


def _is_to_be_revoked(seen: Observed) -> bool:
    """Say whether the overlap is over, and the values before are in the Secret all the same."""
    current, target = seen.current, seen.target
    return bool(seen.is_published and target and target.overlapping and current and not current.overlaps)


def _previous(seen: Observed) -> PreviousStatus | None:
    current = seen.current
    if current is None or current.base is None:
        return None
    if _is_to_be_revoked(seen):
        return PreviousStatus(revision=current.base, valid_until=_second(_ended(current, seen)))
    if not current.overlaps:
        return None
    until = current.valid_until
    return PreviousStatus(revision=current.base, valid_until=_second(until) if until else None)


def _ended(current: RevisionFacts, seen: Observed) -> datetime:
    """Say since when the values before should be gone; in an emergency, since those that replace them came out."""
    until, published = current.valid_until, seen.target.published if seen.target else None
    return until if until and until <= seen.now else published or current.made


def _waiting_for(everyone: Iterable[WorkloadProgress]) -> str | None:
    waits = [one for one in everyone if one.under_way]
    if not waits:
        return None
    first = waits[0]
    more = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
    detail = f": {first.message}" if first.message else ""
    return f"{first.consumer.workload.key} is {first.state.lower()}{more}{detail}"


def _workload(standing: WorkloadProgress, seen: Observed, wanted: Desired) -> WorkloadStatus:
    workload, use = standing.consumer.workload, standing.consumer.use
    return WorkloadStatus(
        kind=workload.kind,
        name=workload.key.name,
        via=list(use.via) if use else [],
        state=standing.state,
        revision=read_marker(workload.marker).get(wanted.secret),
        restarted=seen.state.current_number if seen.state and was_reverted(workload, seen, wanted) else None,
        terminating=_terminating(standing, seen, wanted),
        reason=standing.reason,
        message=standing.message,
    )


def _terminating(standing: WorkloadProgress, seen: Observed, wanted: Desired) -> int | None:
    """Count pods that end, where the rollout waits for them; another process counts its deadline from their end."""
    if not (standing.leaving or standing.consumer.held_up):
        return None
    return terminating(standing.consumer, seen, wanted) or None


def _history(seen: Observed, everyone: Iterable[WorkloadProgress]) -> list[HistoryEntry]:
    before, state = seen.managed.status.history, seen.state
    is_through = seen.is_published and not any(one.under_way for one in everyone)
    if state is None or seen.wanted is None or not is_through:
        return before
    done = max((entry.revision for entry in before), default=0)
    # What came before the first entry is another life of this Secret, of which nobody asks.
    ended = [one for one in state.revisions if one.number > done and (done or one is state.newest)]
    added = [_entry(one, _result(one, state), seen) for one in ended]
    return (_returned(seen, before) + added + before)[:_KEPT_HISTORY]


def _result(one: RevisionFacts, state: StateFacts) -> str:
    if one.number == state.current_number or one.valid_until:
        return SUCCEEDED
    is_given_up = state.held is not None and one.number == state.held.number
    return ROLLED_BACK if is_given_up else "Superseded"


def _returned(seen: Observed, before: list[HistoryEntry]) -> list[HistoryEntry]:
    """Tell of a return to an earlier revision, once."""
    held, current = seen.state.held if seen.state else None, seen.current
    if held is None or current is None:
        return []
    entry = _entry(replace(current, reason=ROLLED_BACK, made=held.at), SUCCEEDED, seen)
    is_told = any((one.reason, one.started_at) == (ROLLED_BACK, entry.started_at) for one in before)
    return [] if is_told else [entry]


def _entry(one: RevisionFacts, result: str, seen: Observed) -> HistoryEntry:
    return HistoryEntry(
        revision=one.number,
        reason=one.reason,
        started_at=_second(one.made),
        finished_at=_second(seen.now),
        result=result,
    )


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)
