"""Ownership of the target Secret: whether it may be written, adopted or merged into, and how soon it is repaired.

Three repairs of drift are done at once, then after 15 s, doubling to 5 min; that is reset after 10 min. Their history
is in memory only; another process starts with an empty one.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.core.errors import Stalled, Wait, copied
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.observation.observed import DriftHistory, Managed, Observed, Specified, TargetFacts
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.state import StateFacts, state_name
from keyturn.core.texts import few
from keyturn.core.times import backoff

_RETRY_DELAY = timedelta(seconds=5)
RENAME = "write another name"
_RENAME_ONE = "set another target.name in one of the two"
_ADOPT = f"{RENAME}, adopt: IfUnowned"


def check_ownership(observed: Specified) -> None:
    """Check that the target may be written: own, adopted, or foreign with only the spec's keys merged.

    Raises:
        Wait: The Secret to merge into does not exist.
        Stalled: The Secret, or a key to merge, is foreign, or target.name was changed.
    """
    secret = observed.desired.secret
    if had := observed.other_target:
        raise Stalled(
            ErrorReason.INVALID_SPEC,
            f"target.name cannot change from {had!r} to {secret!r}; write {had!r} again and create a second"
            f" ManagedSecret with the new name, or delete the Secret {had!r} if no pod uses it",
        )
    target, policy = observed.target, observed.desired.target_policy
    if target is None:
        if policy.merges:
            raise _absent(secret)
        if observed.deleted_of:
            raise not_owned(secret, observed.deleted_of, _RENAME_ONE)
        return
    if target.owner != observed.name:
        _check_foreign(target, observed)
    if target.taken and not adopts_first(observed):
        raise _key_conflict(observed.desired, target)


def refuse_managed_account(observed: Specified) -> None:
    """Check that no other operator sets the password of the account that the target has.

    Raises:
        Stalled: Its labels name one.
    """
    manager = observed.target.account_manager if observed.target else None
    if manager and observed.desired.account:
        raise Stalled(
            ErrorReason.ACCOUNT_MANAGED_ELSEWHERE,
            f"{manager.operator} sets the password of the Secret {observed.desired.secret!r} (label {manager.label})"
            f" at the database server, so nothing is changed there; {manager.remedy}",
        )


def adopts_first(observed: Specified) -> bool:
    """Whether the values of a Secret without owner must be recorded before the first write."""
    target = observed.target
    return (
        target is not None
        and target.owner is None
        and observed.desired.target_policy.adopts
        and not target.recorded
    )


def refuse_change(observed: Specified, why: str) -> None:
    """Check that no change is due to an immutable Secret, which stays so if the spec has `immutable: false` by now.

    Raises:
        Stalled: The Secret is immutable.
    """
    if observed.target and observed.target.immutable:
        desired, other = observed.desired, "create another ManagedSecret for new values"
        remedy = f"delete it, so that it is created again, or {other}" if is_created_again(desired) else other
        raise Stalled(
            ErrorReason.IMMUTABLE,
            f"the Secret {desired.secret!r} is immutable and keeps its values, but {why};"
            f" {remedy}, or revert that change",
        )


def is_created_again(desired: Desired) -> bool:
    """Whether an immutable Secret that is deleted is created again as one that may change."""
    return not desired.target_policy.immutable and not desired.target_policy.merges


def unlabelled(secret: str, observed: Observed) -> str:
    """Return the remedy for a Secret without label that this ManagedSecret had by its status; empty if it had not.

    On a foreign Secret the label would have its values replaced.
    """
    had = observed.managed.status.secret_name
    is_known = had is not None and secret in {had, state_name(observed.name)}
    return f"restore its label {OWNER_LABEL}: {observed.name} if that was removed, " if is_known else ""


def not_owned(secret: str, owner: str | None, remedy: str = RENAME) -> Stalled:
    """Return the error for a Secret that belongs to another ManagedSecret, or has no known owner.

    An owner that exists creates its Secret again when it is deleted.
    """
    whose = f"belongs to the ManagedSecret {owner!r}" if owner else "is foreign"
    if_gone = f" if {owner!r} no longer exists" if owner else ""
    return Stalled(
        ErrorReason.SECRET_NOT_OWNED,
        f"the Secret {secret!r} {whose} and is not touched; {remedy}, or delete that Secret{if_gone}",
    )


def _check_foreign(target: TargetFacts, observed: Specified) -> None:
    policy, secret = observed.desired.target_policy, observed.desired.secret
    if target.owner or not (policy.merges or policy.adopts):
        remedy = _RENAME_ONE if target.owner else unlabelled(secret, observed) + _ADOPT
        raise not_owned(secret, target.owner, remedy)
    if target.filled_by:
        raise Stalled(
            ErrorReason.SECRET_NOT_OWNED,
            f"the Secret {secret!r} is filled by {target.filled_by} and is not touched; write another name",
        )
    if target.foreign_owner and not policy.merges:
        raise Stalled(
            ErrorReason.SECRET_NOT_OWNED,
            f"the Secret {secret!r} belongs to {target.foreign_owner} and is not touched;"
            " write another name, remove that label or annotation, or delete that Secret",
        )
    if target.immutable and not policy.immutable:
        raise Stalled(
            ErrorReason.IMMUTABLE,
            f"the Secret {secret!r} is immutable and accepts no new keys; write another name,"
            " or delete that Secret",
        )
    if target.other_type:
        raise Stalled(
            ErrorReason.TYPE_DIFFERS,
            f"the Secret {secret!r} is of type {target.other_type} and the spec asks for {observed.desired.type},"
            " which Kubernetes does not let change; write another name, or delete that Secret",
        )
    if target.unadoptable:
        raise copied(target.unadoptable)


def _absent(secret: str) -> Wait:
    return Wait(
        ErrorReason.TARGET_NOT_FOUND,
        f"the Secret {secret!r} does not exist, and creationPolicy: Merge does not create it;"
        " create it, or write Create",
        _RETRY_DELAY,
    )


def _key_conflict(desired: Desired, target: TargetFacts) -> Stalled:
    hint = (
        ", or remove them from it"
        if desired.target_policy.adopts
        else ", or write adopt: IfUnowned to keep them"
    )
    keys = few(target.taken)
    return Stalled(
        ErrorReason.KEY_CONFLICT,
        f"the Secret {desired.secret!r} has already values under {keys}; rename them by keys{hint}",
    )


def binder_of(observed: Specified, state: StateFacts) -> str:
    """Return the UID of the owner reference of the state Secret; empty for none.

    While the state has pushes to delete, leases to revoke or logins to close it must outlive its ManagedSecret:
    foreground deletion would delete the dependents first.
    """
    database, policy = observed.desired.account, observed.desired.target_policy
    closes = database is not None and database.deletes and bool(state.open_credentials)
    is_needed = closes or bool(state.leases) or any(record.deletes for record in state.pushed)
    return observed.uid if policy.deletes and not (observed.is_finalized and is_needed) else ""


# Another writer of the Secret: repairs of drift back off


_IMMEDIATE_REPAIRS = 3
_MIN_DELAY, _MAX_DELAY = timedelta(seconds=15), timedelta(minutes=5)
_RESET_AFTER = timedelta(minutes=10)
"""Longer than the longest back-off: a change after this time starts a new history."""
_MAX_CLOCK_SKEW = timedelta(minutes=1)


def with_repair(observed: Managed) -> DriftHistory:
    """Return the history with a repair that was just done."""
    before, target = _known(observed), observed.target
    continues = before is not None and not before.changed
    by = target.changed_by if target else None
    return DriftHistory(
        generation=observed.managed.metadata.generation,
        number=observed.current.number,
        repairs=before.repairs + 1 if before and continues else 1,
        last=observed.now,
        by=by or (before.by if before else None),
    )


def with_change(observed: Managed, what: str) -> DriftHistory:
    """Return the history with a write that the API server stored differently."""
    before, now = _known(observed), with_repair(observed)
    repairs = before.repairs + 1 if before and before.changed else _IMMEDIATE_REPAIRS + 1
    return DriftHistory(now.generation, now.number, repairs, now.last, now.by, what)


def is_contested(observed: Managed) -> bool:
    """Whether the next repair must still wait."""
    history = _known(observed)
    return history is not None and observed.now < history.last + _delay(history)


def was_sent(observed: Managed) -> bool:
    """Whether the current revision was written and stored differently."""
    history = _known(observed)
    return bool(history and history.changed and history.number == observed.current.number)


def contest_problem(observed: Managed) -> Stalled | None:
    """Return what to do about the other writer; None below four repairs, or 10 min after the last one."""
    history, secret = _known(observed), observed.desired.secret
    if history is None or history.repairs <= _IMMEDIATE_REPAIRS:
        return None
    if history.changed:
        return changed_on_write(secret, history.changed)
    who = f"{history.by} (field manager)" if history.by else "another writer"
    return Stalled(
        ErrorReason.CONTESTED,
        f"{who} keeps changing the Secret {secret!r}; repairs continue with exponential back-off;"
        " stop the other writer",
    )


def next_repair_time(observed: Managed) -> datetime | None:
    """Return when the next repair is due, or when the history is reset."""
    history = _known(observed)
    if history is None or history.repairs <= _IMMEDIATE_REPAIRS:
        return None
    return history.last + (_delay(history) if is_contested(observed) else _RESET_AFTER)


def with_unchanged_write(observed: Observed) -> DriftHistory | None:
    """Return the history after a write that was stored unchanged."""
    history = _known(observed)
    return None if history is None or history.changed else history


def changed_on_write(secret: str, what: str) -> Stalled:
    """Return the error that an admission webhook or policy changes the Secret on write."""
    return Stalled(
        ErrorReason.CHANGED_ON_WRITE,
        f"the API server stores the Secret {secret!r} with changes ({what}): find the mutating"
        " admission webhook or policy, and exclude the Secret from it",
    )


def _known(observed: Observed) -> DriftHistory | None:
    """Return the history if it applies to this generation and is not older than _RESET_AFTER.

    A last repair in the future means that the clock was set back since; by seconds, it counts as one of now.
    """
    history, now = observed.drift_history, observed.now
    if history is None or history.generation != observed.managed.metadata.generation:
        return None
    if not now - _RESET_AFTER < history.last <= now + _MAX_CLOCK_SKEW:
        return None
    return replace(history, last=min(history.last, now))


def _delay(history: DriftHistory) -> timedelta:
    times = history.repairs - _IMMEDIATE_REPAIRS
    return backoff(_MIN_DELAY, times, _MAX_DELAY) if times > 0 else timedelta(0)
