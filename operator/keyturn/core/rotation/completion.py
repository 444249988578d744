"""When a rollout is complete, which pods are read for that, and the overlap of previous values that follows.

Every workload is done, and no pod that Keyturn does not restart has earlier values. A workload whose restart a
setting forbids is not waited for, except while it may log in with a previous password.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from keyturn.api.workloads import WorkloadState
from keyturn.core.observation.observed import Consumer, Managed, Observed
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import is_spread, previous_key
from keyturn.core.state.records import ItemValues, RevisionFacts, is_found, last_good
from keyturn.core.state.state import State, StateFacts
from keyturn.core.texts import first_of

from .old_pods import holds_back
from .publication import is_current_published, published_at
from .rollout import (
    Turn,
    WorkloadProgress,
    any_failed,
    is_under_way,
    next_restarts,
    progress_of_workloads,
)
from .steps import Reason

_MAX_NAMED = 3


def is_rollout_complete(observed: Managed) -> bool:
    waits = observed.unread or is_under_way(observed) or holds_back(observed)
    return not waits and not users_of_previous_login(observed)


def users_of_previous_login(observed: Managed) -> tuple[WorkloadProgress, ...]:
    """Return the workloads that a setting keeps on earlier values, while the server accepts the login of these.

    None in an overlap that has begun; a login that a rollback gave up has no overlap.
    """
    state, database = observed.state, observed.desired.account
    if database is None or not database.capacity.overlaps:
        return ()
    current = state.current_credential
    is_open = current is not None and any(one.revision < current.revision for one in state.open_credentials)
    is_awaited = is_open and not state.overlap_start.began_overlap
    if not is_awaited and not state.gives_up_credential:
        return ()
    return _refused(observed)


def refused_message(observed: Observed) -> str | None:
    """Return a message with the workloads that a setting keeps on earlier values; None if there are none."""
    refused = _refused(observed)
    if not refused:
        return None
    names = first_of([str(progress.consumer.workload.key) for progress in refused], _MAX_NAMED)
    count = "1 workload is" if len(refused) == 1 else f"{len(refused)} workloads are"
    return f"{count} not restarted by Keyturn: {names}"


def _refused(observed: Observed) -> tuple[WorkloadProgress, ...]:
    refused = (progress for progress in progress_of_workloads(observed) if progress.turn is Turn.REFUSED)
    return tuple(progress for progress in refused if progress.consumer.use is not None)


def is_known_complete(observed: Managed) -> bool:
    """Whether the status has the rollout as complete, and no decision depends on that any more.

    Other users can edit the status, so an overlap never begins because of it.
    """
    current, state = observed.current, observed.state
    if all(revision.reason == RevisionReason.CREATED for revision in state.revisions):
        return True  # there is no earlier revision
    if current.overlaps and current.valid_until is None:
        return False
    if observed.desired.account and state.gives_up_credential:
        return False
    return observed.is_recorded_complete


def overlap_limit(observed: Managed) -> datetime | None:
    """Return when the previous values end although pods may still hold them, by rotation.maxOverlap; None without.

    Revisions since then that keep the previous values do not prolong it.
    """
    state, longest, limit = observed.state, observed.desired.max_overlap, publication_limit(observed)
    if limit is None or longest is None or observed.current.overlap_from is None:
        return limit
    start = state.overlap_start.number
    of_overlap = (one for one in state.revisions if start in {one.number, one.overlap_from})
    times = (published_at(one, observed) for one in of_overlap)
    first = min((time for time in times if time), default=None)
    return first + longest if first else limit


def publication_limit(observed: Managed) -> datetime | None:
    """Return when rotation.maxOverlap since the publication of the current revision is over; None without."""
    published, longest = observed.target_published, observed.desired.max_overlap
    return published + longest if published and longest is not None and observed.is_published else None


def is_to_be_settled(observed: Observed) -> bool:
    """Whether the overlap is over while the Secret still has the previous values."""
    current, target = observed.current, observed.target
    return bool(
        observed.is_published and target and target.overlapping and current and not current.keeps_previous
    )


def ended_at(current: RevisionFacts, observed: Observed) -> datetime:
    """Return since when the previous values should be gone.

    In an emergency, since their successors were published.
    """
    until, published = current.valid_until, observed.target_published
    return until if until and until <= observed.now else published or current.made


def kept_since(observed: Observed) -> datetime | None:
    """Return since when the previous values should be gone from the Secret; None while they may be in it."""
    current = observed.current
    if current is None:
        return None
    if is_to_be_settled(observed):
        return ended_at(current, observed)
    return current.valid_until if current.overlaps else None


# Pods that are read now, because a decision or a message depends on them


def depends_on_pods(progress: WorkloadProgress, observed: Managed) -> bool:
    """Whether its pods decide if a workload is current, or if it has failed."""
    return waits_for_old_pods(progress, observed) or may_be_blocked(progress)


def restarts_in_question(observed: Managed) -> tuple[Consumer, ...]:
    """Return the consumers to restart now, and those that are kept from it.

    The restart marker does not show whether another client has restarted the pods since; their age does.
    """
    kept = (
        one.consumer
        for one in progress_of_workloads(observed)
        if one.state is WorkloadState.PENDING and one.turn in {Turn.REFUSED, Turn.HINDERED}
    )
    return *kept, *next_restarts(observed)


def waits_for_old_pods(progress: WorkloadProgress, observed: Managed) -> bool:
    """Whether its pods decide if it is current; never again once that was recorded for the revision."""
    consumer, workload = progress.consumer, progress.consumer.workload
    if progress.state is not WorkloadState.CURRENT or is_known_complete(observed):
        return False
    if workload.settled and workload.terminates is False:
        return False  # its controller's own count is sufficient
    if consumer.renewed or observed.rollback_pause:
        return True
    return observed.has_current_marker(workload)


def may_be_blocked(progress: WorkloadProgress) -> bool:
    """Whether its pods decide if it has failed, because old ones may occupy the places of new ones."""
    consumer, workload = progress.consumer, progress.consumer.workload
    if not workload.in_place or workload.terminates is False or progress.denied:
        return False
    is_blocked = progress.state is WorkloadState.ROLLING and consumer.blocked_since is not None
    return progress.state is WorkloadState.FAILED or is_blocked


def needs_holders(observed: Managed) -> bool:
    """Whether something is asserted now that depends on every pod of the namespace.

    Nothing is while a workload is behind: its rollout is waited for first, except in an emergency.
    """
    was_known_complete = is_known_complete(observed)
    is_settled = was_known_complete and not observed.idle_leases
    if not observed.is_published or is_settled:
        return False
    if is_under_way(observed):
        return observed.has_open_emergency and not was_known_complete
    return True


# Previous values of an overlap: which ones a revision keeps, and which reasons wait so as not to drop one
#
# Changes of the spec wait for reads of stores as well, so that no key is lost until they answer.


_ROUTINE = frozenset({RevisionReason.TRIGGERED, RevisionReason.ROTATION_DUE})


def kept_items(observed: Managed) -> frozenset[str]:
    """Return the items whose previous value the Secret has, or a template of it, in a place that has room for one."""
    current, desired = observed.current, observed.desired
    if not current.keeps_previous:
        return frozenset()
    kept = {
        item.name
        for item in desired.items
        for key in observed.state.keys.get(item.name, item.keys).values()
        if item.keep_previous and previous_key(key) in current.previous
    }
    if desired.reads_previous and not current.previous.isdisjoint(desired.templates):
        kept |= {item.name for item in desired.items if item.recipe}
    return frozenset(kept)


def drops_kept_value(reason: Reason, observed: Managed) -> bool:
    """Whether a revision for this reason would drop a previous value too soon, so that it waits.

    A rotation waits until the overlap of that value is over, and a change of the spec until it has begun, when no pod
    holds it any more. A revision that no pod can have, or that workloads fail with, is superseded at once.
    """
    if reason.fresh.isdisjoint(kept_items(observed)):
        return False
    if reason.name in _ROUTINE:
        return True
    if reason.name != RevisionReason.SPEC_CHANGED or observed.current.valid_until:
        return False
    return is_current_published(observed) and not any_failed(observed)


def precedes_announced_keys(reason: Reason, observed: Managed) -> bool:
    """Whether a rotation waits until every pod holds the key that it would promote, which the last one announced."""
    announced = {item.name for item in observed.desired.items if item.announces}
    if reason.name not in _ROUTINE or reason.fresh.isdisjoint(announced):
        return False
    return not (is_known_complete(observed) or is_rollout_complete(observed))


def overlap_end(values: frozenset[str], observed: Managed) -> datetime | None:
    """Return when the overlap ends that a rotation of these values waits for; None before it has begun."""
    return None if values.isdisjoint(kept_items(observed)) else observed.current.valid_until


def held_values(state: State, observed: Managed) -> Mapping[str, ItemValues]:
    """Return the values that pods hold and that stay readable next to new ones.

    Before the overlap of the current revision begins, and if it was never published, those are the values of the last
    revision on which every workload ran; without a record of these, what the current one keeps of them.
    """
    current, before = state.facts.current, carried_values(state)
    is_published = is_current_published(observed)
    if is_published and (current.valid_until or not current.keeps_previous):
        return before
    good = state.revisions.get(last_good(current, state.facts.revisions) or 0)
    kept = {name: replace(one, outputs=one.previous or one.earlier) for name, one in before.items()}
    held = {name: one.settled() for name, one in (good.values if good else kept).items() if one.outputs}
    return {**before, **held} if is_published else held


def carried_values(state: State | None) -> Mapping[str, ItemValues]:
    """Return the current values without those that an ended overlap kept readable."""
    if state is None:
        return {}
    values, ended = state.current.values, state.facts.current.ended
    return {name: kept.settled() if ended else kept for name, kept in values.items()}


_PRESSING = frozenset({RevisionReason.EMERGENCY, RevisionReason.ENDING})
"""Reasons that do not wait for a store that cannot be read: the present values are exposed, or expire."""
_ROTATIONS = frozenset({RevisionReason.TRIGGERED, RevisionReason.ROTATION_DUE})
"""Reasons that do not wait either if a removed item alone makes entries of dataFrom awaited: its values stay."""


def freed_keys(desired: Desired, state: StateFacts) -> frozenset[str]:
    """Return the keys of recorded items of `data` that no item of the spec has; entries of dataFrom may have them."""
    before = {
        key
        for name, keys in state.keys.items()
        if not (is_spread(name) or is_found(name))
        for key in keys.values()
    }
    return frozenset(before - desired.item_keys)


def entries_to_read(observed: Managed) -> frozenset[str]:
    """Return the entries of dataFrom whose recorded values are not those of the changed spec.

    Their names have their places, so that an entry may have the values of another one. Keys of `data` take precedence
    over those of dataFrom, so a key that `data` no longer has may be one of any entry.
    """
    desired, state = observed.desired, observed.state
    known = frozenset(item.name for item in desired.items if item.spreads and item.name in state.names)
    return known if freed_keys(desired, state) else known & observed.mismatched_items


def without_awaited(reasons: list[Reason], observed: Managed) -> list[Reason]:
    """Return the pressing reasons alone if the others wait for stores that cannot be read.

    A rotation is pressing as well if a revision before the read keeps all that is awaited. The rest of the change,
    such as an added item, follows when they are read. A first read, which is in progress, is awaited.
    """
    problem = observed.pulled.problem
    if problem is None or problem.reason == ErrorReason.READING_STORES:
        return reasons
    pulled = frozenset(item.name for item in observed.desired.pulled)
    awaited = frozenset(name for reason in reasons for name in reason.fresh & pulled)
    names = _PRESSING | _ROTATIONS if _are_kept(awaited, observed) else _PRESSING
    pressing = [replace(reason, awaited=awaited) for reason in reasons if reason.name in names]
    return pressing if awaited and pressing else reasons


def _are_kept(awaited: frozenset[str], observed: Managed) -> bool:
    """Whether a revision before the read keeps every awaited key: none is of an added item, or of a renamed one."""
    now, then = observed.desired.keys, observed.state.keys
    is_renamed = any(now.get(name, keys) != keys for name, keys in then.items())
    return not is_renamed and awaited <= entries_to_read(observed)
