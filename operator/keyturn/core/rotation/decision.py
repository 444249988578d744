"""Decision of a reconcile: the next step of a ManagedSecret, from one observation."""

from __future__ import annotations

from datetime import datetime, timedelta

from keyturn.core.errors import Stalled, Wait, copied
from keyturn.core.observation.external import being_read
from keyturn.core.observation.observed import Observed
from keyturn.core.policy.checklist import GRACE
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.records import RevisionFacts
from keyturn.core.state.state import HIGHEST_HINT, state_name
from keyturn.core.texts import FEW, first_of

from . import (
    completion,
    credential_slots,
    credentials,
    ownership,
    publication,
    rollback,
    rollout,
    steps,
    store_steps,
    triggers,
)
from .emergency import revokes_at_once, waits_for_signer
from .old_pods import pod_to_evict
from .rollout_obstacles import pod_to_delete
from .steps import Reason

_SIGNER_INTERVAL = timedelta(minutes=1)
"""Interval of checks whether a CA is rotated, besides those that its rotation causes."""

_HINDERED_INTERVAL = timedelta(minutes=1)
"""Interval of checks of what is due already, and waits for something else."""


def next_step(observed: Observed) -> steps.Step:
    """Return the next step.

    Raises:
        Wait: A precondition is not met yet; retried later.
        Stalled: Manual action is required.
    """
    if observed.managed.metadata.deletion_timestamp:
        # Also if suspended: a deletion is a request to remove the object.
        return store_steps.last_pushes(observed) or _rest_before_deletion(observed)
    if observed.managed.spec.suspend:
        return steps.Rest(_reported_while_suspended(observed), observed.unread)
    # Leases are renewed also while the target may not be written.
    if lent := store_steps.next_leases(observed):
        return lent
    desired = _allowed(observed)
    first = (
        _claim(observed, desired)
        or rollback.requested_return(observed, desired)
        or (steps.Decline() if observed.is_requested and triggers.rotates_nothing(desired) else None)
        or credentials.next_candidate(observed, desired)
        or credentials.close_credentials_of_former_spec(observed, desired)
    )
    if first:  # before a new revision
        return first
    is_pending = credentials.is_pending(observed, desired)
    reason = None if is_pending else triggers.reason_for_revision(observed, desired)
    _check_policy_unless_rotation_fixes_it(observed, reason)
    problem = observed.pulled.problem
    if reason and _may_renew(observed, reason):
        ownership.refuse_change(observed, desired, reason.message)
        problem = _unread_problem(observed, desired, reason)
        if problem is None:
            return steps.Stage(next_number(observed), reason)
    if (current := observed.current) is None:
        raise copied(problem or being_read())
    return (
        _end_overlap(observed, desired, current)
        or _write(observed, desired, current)
        or credentials.next_current(observed, desired)
        or credentials.next_repair(observed, desired)
        or (steps.Refresh() if observed.pulled.read and observed.asks_to_refresh else None)
        or store_steps.next_push(observed, desired)
        or (steps.Bind() if observed.has_wrong_binder else None)
        or store_steps.next_lease_revocation(observed, desired)
        or credentials.next_revocation(observed, desired)
        or _without_pods(observed, desired, current)
        or _roll_out(observed, desired, current, problem)
    )


def _rest_before_deletion(observed: Observed) -> steps.Rest:
    times = (
        store_steps.pushed_again(observed),
        store_steps.last_lease_revocation_time(observed),
        credentials.account_again(observed),
    )
    problem = store_steps.push_problem(observed)
    if problem is None and observed.account and observed.is_finalized:
        problem = observed.account.problem
    return steps.Rest(min((when for when in times if when), default=None), problem)


def _reported_while_suspended(observed: Observed) -> datetime | None:
    """Return when a rotation becomes overdue, or an overlap that cannot end counts as missed."""
    times = [triggers.overdue_time(observed)]
    if since := completion.kept_since(observed):
        times.append(since + GRACE)
    return min((time for time in times if time and time > observed.now), default=None)


def _end_overlap(observed: Observed, desired: Desired, current: RevisionFacts) -> steps.Expire | None:
    """End the overlap at once in an emergency, also that of a rotation which it has superseded."""
    if not observed.overlaps:
        return None
    kept = completion.kept_items(observed, desired)
    if desired.database and current.supersedes is not None:
        kept |= {desired.database.password}
    is_ended = revokes_at_once(observed, kept) or credentials.needs_slot(observed, desired)
    return steps.Expire(current.number) if is_ended else None


def _unread_problem(observed: Observed, desired: Desired, reason: Reason) -> Wait | Stalled | None:
    """Return why the revision must wait for a read of the stores, or None."""
    pulled = frozenset(item.name for item in desired.pulled)
    # A value that was lost may still be in a store.
    is_first = observed.state is None and bool(desired.pushes)
    if not (is_first or reason.fresh & pulled) or observed.pulled.read:
        return None
    return observed.pulled.problem or being_read()


def _claim(observed: Observed, desired: Desired) -> steps.Claim | steps.Adopt | None:
    if observed.state and observed.state.uid != observed.uid:
        return steps.Claim(observed.state.newest.number)
    if ownership.adopts_first(observed, desired) and not credentials.has_account(observed):
        return steps.Adopt(next_number(observed))
    if observed.state is None and observed.target and observed.owns_target:
        number = observed.target.revision
        return steps.Claim((number if number and number <= HIGHEST_HINT else None) or next_number(observed))
    return None


def _may_renew(observed: Observed, reason: Reason) -> bool:
    """Whether a revision may be generated: the current one is published, or spec or emergency supersede it.

    Therefore no defect and no trigger can pile up unread revisions until those in use are dropped. While a workload
    fails with the current revision, only a request generates the next one.
    """
    supersedes = {RevisionReason.SPEC_CHANGED, RevisionReason.EMERGENCY}
    if observed.state is None or not supersedes.isdisjoint(reason.names):
        return True
    if observed.current and observed.current.abandoned:
        return True  # the server accepts no credential that could be published
    if not observed.is_published:
        return False
    return not reason.is_automatic or not rollout.any_failed(observed)


def refusal(observed: Observed) -> Wait | Stalled | None:
    """Return why the target may not be written, or None."""
    try:
        _allowed(observed)
    except (Wait, Stalled) as error:
        return error.with_traceback(None)
    return None


def _allowed(observed: Observed) -> Desired:
    if observed.spec_error:
        raise copied(observed.spec_error)
    if observed.desired is None:
        raise Stalled(ErrorReason.INVALID_SPEC, "the spec cannot be read")
    if any(one.denied and not one.fixed_by_rotation for one in observed.violations):
        raise _violation(observed)
    if not credentials.has_account(observed):
        ownership.refuse_managed_account(observed, observed.desired)
    ownership.check_ownership(observed, observed.desired)
    if observed.state_is_foreign:
        secret, owner = state_name(observed.name), observed.state_owner
        raise ownership.not_owned(
            secret,
            owner,
            ownership.RENAME if owner else ownership.unlabelled(secret, observed) + ownership.RENAME,
        )
    credential_slots.check_record(observed, observed.desired)
    return observed.desired


def _check_policy_unless_rotation_fixes_it(observed: Observed, reason: Reason | None) -> None:
    """Block all writes while values violate a rule, except the rotation that replaces all of them.

    A candidate in progress is that rotation.
    """
    fresh = reason.fresh if reason else frozenset()
    if all(violation.fixed_by <= fresh for violation in observed.violations if violation.denied):
        return
    if observed.desired is None or not credentials.is_pending(observed, observed.desired):
        raise _violation(observed)


def _violation(observed: Observed) -> Stalled:
    messages = [violation.message for violation in observed.violations if violation.denied]
    return Stalled(ErrorReason.POLICY_VIOLATION, first_of(messages, FEW, "; "))


def _write(observed: Observed, desired: Desired, current: RevisionFacts) -> steps.Step | None:
    """Return the write that the Secret needs, unless drift repair is backing off.

    A revision whose credential the database server has not accepted is published later.
    """
    step = _lacking(observed, desired, current)
    if isinstance(step, steps.Publish) and not credentials.is_publishable(observed, desired):
        return credentials.next_current(observed, desired) or _rest_unproven(observed, desired)
    if step is None or not ownership.is_contested(observed):
        return step
    is_new = isinstance(step, steps.Publish | steps.Settle) and not ownership.was_sent(observed)
    waits = steps.Rest(ownership.next_repair_time(observed), ownership.contest_problem(observed))
    return step if is_new else waits


def _rest_unproven(observed: Observed, desired: Desired) -> steps.Rest:
    """Wait for the database server."""
    credentials.refuse_exhausted(observed, desired)
    return steps.Rest(credentials.account_again(observed), credentials.account_problem(observed, desired))


def _lacking(observed: Observed, desired: Desired, current: RevisionFacts) -> steps.TargetWrite | None:
    target = observed.target
    if publication.was_in_deleted_secret(observed, desired):
        return steps.Repair(current.number, observed.state.every_key if observed.state else frozenset())
    if target is None or target.revision != current.number:
        return steps.Publish(current.number)
    lacks_overlap = current.keeps_previous and not target.overlapping
    if target.differs or lacks_overlap or not target.has_metadata_of_spec:
        return steps.Repair(current.number, target.differs)
    if target.overlapping and not current.keeps_previous:
        return steps.Settle(current.number)
    return None


def _without_pods(
    observed: Observed, desired: Desired, current: RevisionFacts
) -> steps.StateChange | steps.Rest | None:
    """Return the end of an overlap, or why nothing else is done while pods cannot be listed; None if they were."""
    if observed.unread is None:
        return None
    return _overlap(observed, desired, current) or steps.Rest(None, observed.unread)


def _roll_out(
    observed: Observed, desired: Desired, current: RevisionFacts, problem: Wait | Stalled | None
) -> steps.Step:
    if restarts := rollout.next_restarts(observed, desired):
        return steps.RollOut(restarts[0], rollout.next_marker(restarts[0], observed, desired))
    if stuck := pod_to_delete(observed, desired):
        return stuck
    if evicted := pod_to_evict(observed, desired):
        return evicted
    if rollout.any_failed(observed):
        return rollback.return_after_failure(observed, desired, current)
    if step := _overlap(observed, desired, current):
        return step
    _ask_for_action(observed, desired, current)
    problem = (
        problem
        or store_steps.push_problem(observed)
        or credentials.account_problem(observed, desired)
        or ownership.contest_problem(observed)
    )
    return steps.Rest(_wake_up(observed, desired, current), problem)


def _ask_for_action(observed: Observed, desired: Desired, current: RevisionFacts) -> None:
    """Report what needs manual action.

    Raises:
        Stalled: It is checked again when the database server is due, which no action is needed for.
    """
    try:
        rollback.refuse_unknown_return(observed, desired)
        credentials.refuse_exhausted(observed, desired)
        if not rollout.is_under_way(observed):
            rollback.ask_for_help(observed, current)
    except Stalled as stalled:
        times = (stalled.again, credentials.account_again(observed))
        stalled.again = min((when for when in times if when), default=None)
        raise


def _overlap(observed: Observed, desired: Desired, current: RevisionFacts) -> steps.StateChange | None:
    """Begin the overlap when no pod holds earlier values, and end it at its time, or at the limit at the latest."""
    limit = completion.overlap_limit(observed, desired)
    if not observed.overlaps:
        return None
    if limit and observed.now >= limit:
        return steps.Expire(current.number)
    until = current.valid_until
    if rollout.is_under_way(observed) and (until is None or current.began_overlap):
        return None
    if until is not None:
        return steps.Expire(current.number) if observed.now >= until else None
    if completion.is_rollout_complete(observed, desired):
        began = observed.state.overlap_start.fresh if observed.state else frozenset[str]()
        return steps.Overlap(current.number, observed.now + desired.overlap_of(current.fresh | began))
    return None


def _wake_up(observed: Observed, desired: Desired, current: RevisionFacts) -> datetime | None:
    times = rollout.next_changes(observed, desired)
    if observed.overlaps:
        times += (when for when in (current.valid_until, completion.overlap_limit(observed, desired)) if when)
    if limit := credentials.revocation_limit(observed, desired):
        times.append(limit)
    if observed.holders and observed.holders.again:
        times.append(observed.holders.again)
    if (start := triggers.start_time(observed)) and start > observed.now:  # one that waits is no reason
        times.append(start)
    if (due := triggers.due_on_request(observed)) and due > observed.now:
        times.append(due)
    if waits_for_signer(observed, desired):
        times.append(observed.now + _SIGNER_INTERVAL)
    overdue = triggers.overdue_time(observed) if observed.rollback_pause else None
    others = (
        overdue if overdue and overdue > observed.now else None,
        observed.restart_wait.again if observed.restart_wait else None,
        observed.pulled.again,
        store_steps.pushed_again(observed),
        store_steps.next_lease_revocation_time(observed, desired),
        credentials.account_again(observed),
        ownership.next_repair_time(observed),
    )
    times += (when for when in others if when)
    hindered = observed.now + _HINDERED_INTERVAL
    return min((when if when > observed.now else hindered for when in times), default=None)


def next_number(observed: Observed) -> int:
    """Return the number of the next revision.

    The state has it. In case it was lost or an older one was restored, the status and the restart markers are hints.
    Other users can edit them, so hints above HIGHEST_HINT are ignored.
    """
    state, status = observed.state, observed.managed.status
    hints = [status.revision or 0, *(entry.revision for entry in status.history)]
    if observed.desired:
        secret = observed.desired.secret
        hints += (consumer.workload.marked(secret) or 0 for consumer in observed.consumers)
    used = [state.newest.number, state.used] if state else []
    return max([*used, *(hint for hint in hints if hint <= HIGHEST_HINT)], default=0) + 1
