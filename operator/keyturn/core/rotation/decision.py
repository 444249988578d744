"""Decision of a reconcile: the next step of a ManagedSecret, from one observation."""

from datetime import datetime, timedelta

from keyturn.core.errors import Stalled, Wait, copied
from keyturn.core.labels import HIGHEST_HINT
from keyturn.core.observation.external import being_read
from keyturn.core.observation.observed import Managed, Observed, Specified, WithAccount
from keyturn.core.policy.checklist import GRACE
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.state.state import state_name
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
    if observed.has_externals and (lent := store_steps.next_leases(observed)):
        return lent
    followed = _allowed(observed)
    return _next(followed) if isinstance(followed, Managed) else _first(followed)


def _first(observed: Specified) -> steps.Step:
    """Return the step that records the first revision."""
    if found := _adopt(observed):
        return found
    if observed.target and observed.owns_target:
        number = observed.target.revision
        return steps.Claim((number if number and number <= HIGHEST_HINT else None) or next_number(observed))
    reason = triggers.first_reason(observed)
    _refuse_violation(observed, reason.fresh)
    ownership.refuse_change(observed, reason.message)
    # A value that was lost may still be in a store.
    if problem := _unread_problem(observed, reason, is_needed=bool(observed.desired.pushes)):
        raise copied(problem)
    return steps.Stage(next_number(observed), reason)


def _next(observed: Managed) -> steps.Step:
    account = observed if isinstance(observed, WithAccount) else None
    first = (
        (steps.Claim(observed.state.newest.number) if observed.state.uid != observed.uid else None)
        or _adopt(observed)
        or (rollback.requested_return(observed) if observed.requested.rollback else None)
        or (steps.Decline() if observed.is_requested and observed.desired.rotates_nothing else None)
        or (
            credentials.next_candidate(account) or credentials.close_credentials_of_former_spec(account)
            if account
            else None
        )
    )
    if first:  # before a new revision
        return first
    reason, problem = None, observed.pulled.problem
    if account is None or account.state.candidate is None:  # else other steps wait for it
        reason = triggers.reason_for_revision(observed)
        _refuse_violation(observed, reason.fresh if reason else frozenset())
    if reason and _may_renew(observed, reason):
        ownership.refuse_change(observed, reason.message)
        problem = _unread_problem(observed, reason)
        if problem is None:
            return steps.Stage(next_number(observed), reason)
    return (
        _end_overlap(observed)
        or _write(observed)
        or (credentials.next_current(account) or credentials.next_repair(account) if account else None)
        or (steps.Refresh() if observed.pulled.read and observed.asks_to_refresh else None)
        or (store_steps.next_push(observed) if observed.has_externals else None)
        or (steps.Bind() if observed.has_wrong_binder else None)
        or (store_steps.next_lease_revocation(observed) if observed.has_externals else None)
        or (credentials.next_revocation(account) if account else None)
        or _without_pods(observed)
        or _roll_out(observed, problem)
    )


def _rest_before_deletion(observed: Observed) -> steps.Rest:
    times = (
        store_steps.pushed_again(observed),
        store_steps.last_lease_revocation_time(observed),
        credentials.account_again(observed),
    )
    problem = store_steps.push_problem(observed)
    if problem is None and observed.is_finalized:
        problem = observed.account.problem
    return steps.Rest(min((when for when in times if when), default=None), problem)


def _reported_while_suspended(observed: Observed) -> datetime | None:
    """Return when a rotation becomes overdue, or an overlap that cannot end counts as missed."""
    times = [triggers.overdue_time(observed)]
    if since := completion.kept_since(observed):
        times.append(since + GRACE)
    return min((time for time in times if time and time > observed.now), default=None)


def _end_overlap(observed: Managed) -> steps.Expire | None:
    """End the overlap at once in an emergency, also that of a rotation which it has superseded."""
    current = observed.current
    if not current.overlaps:
        return None
    kept = completion.kept_items(observed)
    if isinstance(observed, WithAccount) and current.supersedes is not None:
        if credentials.needs_slot(observed):
            return steps.Expire(current.number)
        kept |= {observed.account_desired.password}
    return steps.Expire(current.number) if revokes_at_once(observed, kept) else None


def _unread_problem(observed: Specified, reason: Reason, *, is_needed: bool = False) -> Wait | Stalled | None:
    """Return why the revision must wait for a read of the stores, or None."""
    pulled = frozenset(item.name for item in observed.desired.pulled)
    if not (is_needed or reason.fresh & pulled) or observed.pulled.read:
        return None
    return observed.pulled.problem or being_read()


def _adopt(observed: Specified) -> steps.Adopt | None:
    if ownership.adopts_first(observed) and not _has_account(observed):
        return steps.Adopt(next_number(observed))
    return None


def _may_renew(observed: Managed, reason: Reason) -> bool:
    """Whether a revision may be generated: the current one is published, or spec or emergency supersede it.

    Therefore no defect and no trigger can pile up unread revisions until those in use are dropped. While a workload
    fails with the current revision, only a request generates the next one.
    """
    supersedes = {RevisionReason.SPEC_CHANGED, RevisionReason.EMERGENCY}
    if not supersedes.isdisjoint(reason.names):
        return True
    if observed.current.abandoned:
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


def _allowed(observed: Observed) -> Specified:
    if observed.spec_error:
        raise copied(observed.spec_error)
    if not isinstance(observed, Specified):
        raise Stalled(ErrorReason.INVALID_SPEC, "the spec cannot be read")
    if any(one.denied and not one.fixed_by_rotation for one in observed.violations):
        raise _violation(observed)
    if not _has_account(observed):
        ownership.refuse_managed_account(observed)
    ownership.check_ownership(observed)
    if observed.state_is_foreign:
        secret, owner = state_name(observed.name), observed.state_owner
        raise ownership.not_owned(
            secret,
            owner,
            ownership.RENAME if owner else ownership.unlabelled(secret, observed) + ownership.RENAME,
        )
    if observed.has_externals and (problem := credential_slots.record_problem(observed)):
        raise problem
    return observed


def _has_account(observed: Specified) -> bool:
    return observed.has_externals and credentials.has_account(observed)


def _refuse_violation(observed: Specified, fresh: frozenset[str]) -> None:
    """Block all writes while values violate a rule, except the rotation that replaces all of them."""
    if any(one.denied and not one.fixed_by <= fresh for one in observed.violations):
        raise _violation(observed)


def _violation(observed: Observed) -> Stalled:
    messages = [violation.message for violation in observed.violations if violation.denied]
    return Stalled(ErrorReason.POLICY_VIOLATION, first_of(messages, FEW, "; "))


def _write(observed: Managed) -> steps.Step | None:
    """Return the write that the Secret needs, unless drift repair is backing off.

    A revision whose credential the database server has not accepted is published later.
    """
    step = _lacking(observed)
    if (
        isinstance(observed, WithAccount)
        and isinstance(step, steps.Publish)
        and not credentials.is_publishable(observed)
    ):
        return credentials.next_current(observed) or _rest_unproven(observed)
    if step is None or not ownership.is_contested(observed):
        return step
    is_new = isinstance(step, steps.Publish | steps.Settle) and not ownership.was_sent(observed)
    waits = steps.Rest(ownership.next_repair_time(observed), ownership.contest_problem(observed))
    return step if is_new else waits


def _rest_unproven(observed: WithAccount) -> steps.Rest:
    """Wait for the database server."""
    credentials.refuse_exhausted(observed)
    return steps.Rest(credentials.account_again(observed), credentials.account_problem(observed))


def _lacking(observed: Managed) -> steps.TargetWrite | None:
    target, current = observed.target, observed.current
    if publication.was_in_deleted_secret(observed):
        return steps.Repair(current.number, observed.state.every_key)
    if target is None or target.revision != current.number:
        return steps.Publish(current.number)
    lacks_overlap = current.keeps_previous and not target.overlapping
    if target.differs or lacks_overlap or not target.has_metadata_of_spec:
        return steps.Repair(current.number, target.differs)
    if target.overlapping and not current.keeps_previous:
        return steps.Settle(current.number)
    return None


def _without_pods(observed: Managed) -> steps.StateChange | steps.Rest | None:
    """Return the end of an overlap, or why nothing else is done while pods cannot be listed; None if they were."""
    if observed.unread is None:
        return None
    return _overlap(observed) or steps.Rest(None, observed.unread)


def _roll_out(observed: Managed, problem: Wait | Stalled | None) -> steps.Step:
    if restarts := rollout.next_restarts(observed):
        return steps.RollOut(restarts[0], rollout.next_marker(restarts[0], observed))
    if stuck := pod_to_delete(observed):
        return stuck
    if evicted := pod_to_evict(observed):
        return evicted
    if rollout.any_failed(observed):
        return rollback.return_after_failure(observed)
    if step := _overlap(observed):
        return step
    _ask_for_action(observed)
    problem = (
        problem
        or (store_steps.push_problem(observed) if observed.has_externals else None)
        or (credentials.account_problem(observed) if isinstance(observed, WithAccount) else None)
        or ownership.contest_problem(observed)
    )
    return steps.Rest(_wake_up(observed), problem)


def _ask_for_action(observed: Managed) -> None:
    """Report what needs manual action.

    Raises:
        Stalled: It is checked again when the database server is due, which no action is needed for.
    """
    try:
        if observed.requested.rollback:
            rollback.refuse_unknown_return(observed)
        if isinstance(observed, WithAccount):
            credentials.refuse_exhausted(observed)
        if observed.rollback_pause and not rollout.is_under_way(observed):
            rollback.ask_for_help(observed)
    except Stalled as stalled:
        times = (stalled.again, credentials.account_again(observed))
        stalled.again = min((when for when in times if when), default=None)
        raise


def _overlap(observed: Managed) -> steps.StateChange | None:
    """Begin the overlap when no pod holds earlier values, and end it at its time, or at the limit at the latest."""
    current = observed.current
    if not current.overlaps:
        return None
    limit, until = completion.overlap_limit(observed), current.valid_until
    if limit and observed.now >= limit:
        return steps.Expire(current.number)
    if rollout.is_under_way(observed) and (until is None or current.began_overlap):
        return None
    if until is not None:
        return steps.Expire(current.number) if observed.now >= until else None
    if completion.is_rollout_complete(observed):
        replaced = current.fresh | observed.state.overlap_start.fresh
        return steps.Overlap(current.number, observed.now + observed.desired.overlap_of(replaced))
    return None


def _wake_up(observed: Managed) -> datetime | None:
    times = rollout.next_changes(observed)
    if observed.current.overlaps:
        times += (when for when in (observed.current.valid_until, completion.overlap_limit(observed)) if when)
    if isinstance(observed, WithAccount) and (limit := credentials.revocation_limit(observed)):
        times.append(limit)
    if observed.holders and observed.holders.again:
        times.append(observed.holders.again)
    if (start := triggers.start_time(observed)) and start > observed.now:  # one that waits is no reason
        times.append(start)
    if (due := triggers.due_on_request(observed)) and due > observed.now:
        times.append(due)
    if observed.emergencies and waits_for_signer(observed):
        times.append(observed.now + _SIGNER_INTERVAL)
    overdue = triggers.overdue_time(observed) if observed.rollback_pause else None
    others = [
        overdue if overdue and overdue > observed.now else None,
        observed.restart_wait.again if observed.restart_wait else None,
        ownership.next_repair_time(observed),
    ]
    if observed.has_externals:
        others += (
            observed.pulled.again,
            store_steps.pushed_again(observed),
            store_steps.next_lease_revocation_time(observed),
            credentials.account_again(observed),
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
