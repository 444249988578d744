"""Status of a ManagedSecret, computed from an observation, the next step and the error that blocks it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keyturn.api.status import (
    MOST_VIOLATIONS,
    MOST_WORKLOADS,
    HistoryEntry,
    ManagedSecretStatus,
    PolicyStatus,
    PreviousStatus,
    RotationStatus,
    ValueStatus,
    WorkloadStatus,
)
from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.observed import Managed, Observed
from keyturn.core.observation.workload import Owner
from keyturn.core.policy.checklist import OVERDUE, policy_of, reported_violations
from keyturn.core.reasons import ErrorReason, RevisionReason, RevisionResult, WorkloadReason
from keyturn.core.rotation import completion, old_pods, rollout, schedule_dates, steps, triggers
from keyturn.core.rotation.rollback import cause_of
from keyturn.core.rotation.rollout import WorkloadProgress
from keyturn.core.rotation.rollout_obstacles import was_reverted
from keyturn.core.rotation.store_steps import unrevoked
from keyturn.core.state.records import RevisionFacts
from keyturn.core.state.state import StateFacts
from keyturn.core.times import to_second

from .conditions import ConditionInput, conditions_of, known_revision, violated_rules
from .credentials import at_server, credential_status, credential_step, is_closing
from .summary import done_of, with_state

_MAX_HISTORY = 10
_UNAVAILABLE_ATTEMPTS = 3
"""Consecutive failures."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a reconcile: the next step, the error that blocks it, and the number of consecutive failures."""

    step: steps.Step | None
    error: Wait | Stalled | None = None
    attempts: int = 0


def status_of(observed: Observed, outcome: Outcome) -> ManagedSecretStatus:
    """Return the whole status; equal facts give an equal status, so a reconcile at rest writes nothing."""
    return with_state(observed.managed, _details(observed, outcome))


def _details(observed: Observed, outcome: Outcome) -> ManagedSecretStatus:
    before, state, error = observed.managed.status, observed.state, outcome.error
    everyone = rollout.progress_of_workloads(observed)
    rotation = _rotation(observed, outcome, everyone)
    rotated = before.last_rotation_time
    if state and not state.candidate and known_revision(observed) is not None:  # it is in the Secret
        rotated = to_second(state.last_rotation)
    hindrance = error if isinstance(error, Wait) and not isinstance(outcome.step, steps.Rest) else None
    is_unavailable = hindrance is not None and hindrance.reason == ErrorReason.API_SERVER_UNAVAILABLE
    if is_unavailable and outcome.attempts < _UNAVAILABLE_ATTEMPTS:
        hindrance = None
    upcoming, workloads = triggers.next_time(observed), _workloads(observed, everyone)
    return ManagedSecretStatus(
        observed_generation=observed.managed.metadata.generation,
        class_name=observed.secret_class.metadata.name if observed.secret_class else None,
        secret_name=observed.desired.secret
        if observed.desired and observed.owns_target
        else before.secret_name,
        revision=known_revision(observed),
        last_rotation_time=rotated,
        next_rotation_time=to_second(upcoming) if upcoming else None,
        schedule=schedule_dates.applied_schedule(observed),
        values=_values(observed),
        rotates_on_request=triggers.rotates_on_request(observed) or None,
        overdue=triggers.is_overdue(observed),
        last_trigger=state.triggers.last if state else before.last_trigger,
        last_refresh_time=(state.refreshed and to_second(state.refreshed))
        if state
        else before.last_refresh_time,
        last_refresh=state.triggers.refresh if state else before.last_refresh,
        rotation=rotation,
        previous=_previous(observed),
        credentials=credential_status(observed) if observed.has_externals else None,
        unrevoked_leases=unrevoked(observed) if observed.has_externals else None,
        workloads=workloads,
        workloads_summary=done_of(workloads),
        policy=_policy(observed),
        history=history_of(observed),
        conditions=conditions_of(ConditionInput(observed, everyone, rotation, error, hindrance)),
    )


def _values(observed: Observed) -> list[ValueStatus] | None:
    """Return the values that rotate, if they have several schedules; as known before without a spec or state."""
    if not isinstance(observed, Managed):
        return observed.managed.status.values
    desired, state, dates = observed.desired, observed.state, schedule_dates.scheduled_dates(observed)
    if not any(one.own for one in desired.timetables):
        return None
    return [
        ValueStatus(
            name=name,
            schedule=schedule_dates.text_of_schedule(one),
            last_rotation_time=to_second(state.dates.get(name, state.rotated)),
            next_rotation_time=to_second(dates[one]) if one in dates else None,
        )
        for one in desired.timetables
        for name in sorted(one.values)
    ]


def _rotation(
    observed: Observed, outcome: Outcome, everyone: tuple[WorkloadProgress, ...]
) -> RotationStatus | None:
    if not isinstance(observed, Managed):  # the progress is unknown
        return observed.managed.status.rotation
    if isinstance(outcome.step, steps.Stage) and outcome.error:
        return _with_outcome(_rotation_without_values(outcome.step, observed), outcome)
    state, newest, step = observed.state, observed.state.newest, _step_under_way(observed)
    if step is None or newest.reason == RevisionReason.CREATED:
        return None
    # A first failure of the newest revision is part of its rotation; any other rollback is a change of its own.
    was_ended = any(entry.revision == newest.number for entry in _known_history(observed))
    returns = state.rollback_pause if state.current is newest or was_ended else None
    rotation = RotationStatus(
        id=steps.rotation_id(observed.uid, newest.number),
        reason=RevisionReason.ROLLED_BACK if returns else newest.reason,
        step=step,
        started_at=to_second(returns.at if returns else newest.made),
        message=(at_server(step, observed) if observed.has_externals else None)
        or _first_of([one for one in everyone if one.under_way])
        or old_pods.waiting_message(observed)
        or _first_of(completion.users_of_previous_login(observed)),
    )
    # At rest the rotation has nothing left to do; an error of a store is not part of it.
    return rotation if isinstance(outcome.step, steps.Rest) else _with_outcome(rotation, outcome)


def _rotation_without_values(step: steps.Stage, observed: Observed) -> RotationStatus:
    """Return a rotation whose values are not made or not recorded yet, since the first attempt."""
    id_, before = steps.rotation_id(observed.uid, step.number), observed.managed.status.rotation
    if before and before.id == id_:
        return before
    return RotationStatus(id=id_, reason=step.reason.name, step="Stage", started_at=to_second(observed.now))


def _with_outcome(rotation: RotationStatus, outcome: Outcome) -> RotationStatus:
    if outcome.error is None:
        return rotation
    message = {"message": outcome.error.message}
    # Without a count for Stalled: it is reconciled every minute, and each count would be a status update.
    is_counted = isinstance(outcome.error, Wait) and not isinstance(outcome.step, steps.Rest)
    counted = {"attempts": outcome.attempts} if is_counted else {}
    return rotation.model_copy(update=message | counted)


def _step_under_way(observed: Managed) -> str | None:
    is_back = observed.state.rollback_pause is not None
    if observed.has_externals and (step := credential_step(observed.state)):
        return step
    if not observed.is_published:
        return "Rollback" if is_back else "Publish"
    if completion.is_to_be_settled(observed):
        return "Settle"
    if rollout.is_under_way(observed):
        return "Rollback" if is_back else "RollOut"
    return _step_at_the_end(observed)


def _step_at_the_end(observed: Managed) -> str | None:
    """Return the step after every workload that is restarted runs the current revision."""
    if not completion.is_rollout_complete(observed):
        return "WaitForPods"
    if observed.current.overlaps:
        return "Overlap"
    return "Revoke" if observed.has_externals and is_closing(observed.state) else None


def _previous(observed: Observed) -> PreviousStatus | None:
    state = observed.state
    if state is None or (before := state.overlap_start.base) is None:
        return None
    current, previous = state.current, state.credential(state.current.supersedes)
    is_to_be_closed = previous is not None and previous.is_closing  # the server may still accept it
    if completion.is_to_be_settled(observed) or is_to_be_closed:
        return PreviousStatus(revision=before, valid_until=to_second(completion.ended_at(current, observed)))
    if not current.overlaps:
        return None
    until = current.valid_until
    return PreviousStatus(revision=before, valid_until=to_second(until) if until else None)


def _first_of(waits: Sequence[WorkloadProgress]) -> str | None:
    return waits[0].described(len(waits) - 1) if waits else None


def _workloads(observed: Observed, everyone: tuple[WorkloadProgress, ...]) -> list[WorkloadStatus]:
    """Return the consumers, then the owners of other pods that hold an earlier revision."""
    if not isinstance(observed, Managed):
        return [] if observed.desired else observed.managed.status.workloads
    consumers = [_workload(progress, observed) for progress in everyone[:MOST_WORKLOADS]]
    others = [_owner(owner, observed) for owner in old_pods.owners_behind(observed)]
    return (consumers + others)[:MOST_WORKLOADS]


def _owner(owner: Owner, observed: Managed) -> WorkloadStatus:
    return WorkloadStatus(
        kind=owner.kind,
        name=owner.name,
        via=list(owner.via),
        state=WorkloadState.PENDING,
        revision=old_pods.revision_at(owner.since, observed),
        terminating=sum(pod.leaves is not None for pod in owner.pods) or None,
        reason=WorkloadReason.NOT_RESTARTED,
        message=old_pods.behind_message(owner, observed),
    )


def _workload(progress: WorkloadProgress, observed: Managed) -> WorkloadStatus:
    workload, use = progress.consumer.workload, progress.consumer.use
    # Another process starts the deadline from the number.
    waits = progress.leaving or progress.consumer.blocked_since
    return WorkloadStatus(
        kind=workload.kind,
        name=workload.key.name,
        via=list(use.via) if use else [],
        state=progress.state,
        revision=workload.marked(observed.desired.secret),
        restarted=observed.current.number if was_reverted(workload, observed) else None,
        terminating=(waits and old_pods.terminating(progress.consumer, observed)) or None,
        reason=progress.reason,
        message=progress.message,
    )


def _policy(observed: Observed) -> PolicyStatus | None:
    """Return the violated rules; without a spec that can be followed, or without the state, also those last known.

    Then most rules are not evaluated; whether a rotation is overdue is.
    """
    before, found = observed.managed.status, policy_of(violated_rules(observed))
    if observed.desired and (observed.state or known_revision(observed) is None):
        return found
    reported = [one for one in reported_violations(before) if one.rule != OVERDUE]
    known = {(one.rule, one.item) for one in reported}
    reported += [one for one in (found.violations if found else ()) if (one.rule, one.item) not in known]
    return PolicyStatus(violations=reported[:MOST_VIOLATIONS]) if reported else None


def _known_history(observed: Observed) -> list[HistoryEntry]:
    """Return the history of the status, with the recorded entries that an older CRD has removed there."""
    before, state = observed.managed.status.history, observed.state
    if state is None or state.uid != observed.uid or len(before) == _MAX_HISTORY:
        return before
    known = {(one.revision, one.reason, one.started_at) for one in before}
    lost = [one for one in state.history if (one.revision, one.reason, one.started_at) not in known]
    every = sorted((*before, *lost), key=lambda one: one.started_at, reverse=True) if lost else before
    return every[:_MAX_HISTORY]


def history_of(observed: Observed) -> list[HistoryEntry]:
    """Return the history with what has ended since the last status."""
    before = _known_history(observed)
    if not isinstance(observed, Managed) or not observed.is_published:
        return before
    if not completion.is_rollout_complete(observed):
        return before
    state = observed.state
    done = max((entry.revision for entry in before), default=0)
    known = state.current if _is_to_come(state.newest, state) else state.newest
    # Revisions before the first entry belong to an earlier life of this Secret and are left out.
    ended = [
        revision
        for revision in state.revisions
        if revision.number > done and not _is_to_come(revision, state) and (done or revision is known)
    ]
    added = [_entry(revision, _result(revision, state), observed) for revision in ended]
    return (_rollback_entry(observed, before) + added + before)[:_MAX_HISTORY]


def _is_to_come(one: RevisionFacts, state: StateFacts) -> bool:
    """Whether a revision is the candidate, or one that was given up and that no published one has superseded yet."""
    published = max(state.current_number, state.rollback_pause.number if state.rollback_pause else 0)
    return one is state.candidate or (one.abandoned and one.number > published)


def _result(one: RevisionFacts, state: StateFacts) -> str:
    if one.number == state.current_number or one.began_overlap:
        return RevisionResult.SUCCEEDED
    is_given_up = state.rollback_pause is not None and one.number == state.rollback_pause.number
    return RevisionResult.ROLLED_BACK if is_given_up else RevisionResult.SUPERSEDED


def _rollback_entry(observed: Managed, before: list[HistoryEntry]) -> list[HistoryEntry]:
    """Return the history entry of a rollback if the status does not have it yet."""
    pause = observed.state.rollback_pause
    if pause is None:
        return []
    returned = replace(observed.current, reason=RevisionReason.ROLLED_BACK, made=pause.at)
    entry = _entry(returned, RevisionResult.SUCCEEDED, observed)
    is_told = any(
        (known.reason, known.started_at) == (RevisionReason.ROLLED_BACK, entry.started_at) for known in before
    )
    if any(known.revision == pause.number for known in before):  # its own entry keeps how it ended at first
        entry = entry.model_copy(update={"message": cause_of(pause) or entry.message})
    return [] if is_told else [entry]


def _entry(one: RevisionFacts, result: str, observed: Managed) -> HistoryEntry:
    pause = observed.state.rollback_pause
    message = cause_of(pause) if pause and result == RevisionResult.ROLLED_BACK else None
    if one.number == observed.current.number:
        message = completion.refused_message(observed)
    return HistoryEntry(
        revision=one.number,
        reason=one.reason,
        started_at=to_second(one.made),
        finished_at=to_second(_finished(one, observed)),
        result=result,
        message=message,
    )


def _finished(one: RevisionFacts, observed: Observed) -> datetime:
    """Return when a revision was complete: now, or at its publication if an older CRD has removed its entry."""
    status = observed.managed.status
    was_reported = status.revision == one.number and status.rotation is None
    is_first = one.reason == RevisionReason.CREATED  # its workloads may still start, without a rotation
    return (observed.target_published if was_reported and not is_first else None) or observed.now
