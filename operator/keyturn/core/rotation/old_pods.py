"""Pods and pod templates with earlier values: which keys differ, which pods a rollout waits for, and for how long.

For its controller a rollout is complete when every new pod is available; terminating pods serve with earlier values
until they have ended. There is no deadline for them, because no revision causes that wait.

Keys that differ between two revisions follow from their base revisions. Example: revision 3, made from 2, was rolled
back, and 4 was made from 2. A pod with 3 differs from 4 in the keys that changed in 3 and those that changed in 4.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from keyturn.api.status import WorkloadStatus
from keyturn.api.workloads import Via, WorkloadState
from keyturn.core.observation.observed import Consumer, Managed, Observed
from keyturn.core.observation.workload import FILES, KUBELET_SYNC, Owner, Pod, Use, Workload, owners_of
from keyturn.core.reasons import RevisionReason
from keyturn.core.state.records import RevisionFacts
from keyturn.core.state.state import MAX_FACTS, StateFacts
from keyturn.core.texts import and_more, first_of
from keyturn.core.times import may_precede, to_second

from . import steps

BEFORE_FIRST_KEYS = (
    "its pods were created before the Secret had the keys, and the first revision restarts no workload; restart it,"
    " unless its containers have restarted since"
)
UNPROVEN = "reads its files again by keyturn.dev/reload: wait; whether it has done so is not proven"
UNREAD_INTERVAL = timedelta(minutes=1)
"""Time after which pods are asked for again that could not be listed."""
_MIN_INTERVAL, _MAX_END_INTERVAL, _MAX_INTERVAL = (
    timedelta(seconds=2),
    timedelta(minutes=1),
    timedelta(minutes=5),
)
_MAX_NAMED = 3
_BEFORE_ALL = 0
"""Number of a pod from before the first publication."""
_WAIT = "wait"


def was_blocked_before(workload: Workload, observed: Observed) -> bool:
    """Whether an earlier process reported terminating pods that occupy the places of new ones.

    Other users can edit the status; the only consequence is that the deadline counts from now.
    """
    status = observed.reported(workload)
    return status is not None and status.state is WorkloadState.ROLLING and bool(status.terminating)


def terminating(consumer: Consumer, observed: Managed) -> int:
    """Return how many pods with earlier values are terminating."""
    return sum(pod.leaves is not None for pod in older_pods(consumer, observed))


def waiting_for_pods(consumer: Consumer, observed: Managed) -> str | None:
    """Return a message with the pods that the rollout waits for, once new ones are ready; None if there are none."""
    if consumer.pods and consumer.pods.forbidden:
        return unread(observed)
    older = older_pods(consumer, observed)
    ending = [pod for pod in older if pod.leaves]
    running = [pod for pod in older if not pod.leaves]
    messages = [_pods_message(running, "still runs", "still run", observed)] if running else []
    messages += (
        [_pods_message(ending, "is still terminating", "are still terminating", observed)] if ending else []
    )
    return "; ".join(messages) or None


def unread(observed: Observed) -> str:
    """Return a message that pods cannot be listed, and why."""
    why = observed.unread.message if observed.unread else "the operator may not list pods; restore its rights"
    return f"whether pods with earlier values still run is unknown: {why}"


def terminating_pods_block(consumer: Consumer, observed: Managed) -> bool:
    """Whether terminating pods in the places of new ones are the only reason why a rollout is overdue."""
    workload, older = consumer.workload, older_pods(consumer, observed)
    if not workload.in_place or workload.complaint or not any(pod.leaves for pod in older):
        return False
    new = (pod for pod in consumer.known_pods if pod not in older and not pod.leaves)
    return all(pod.ready for pod in new)


def is_rolling_back(consumer: Consumer, observed: Managed) -> bool:
    """Whether an incomplete rollout restores an earlier template.

    Its marker is no evidence, because it is the earlier one. Pods of the rolled back revision are; after the last of
    them has ended, the status is used, whose only consequence is to wait for the end of the rollout.
    """
    if any(pod.leaves is None for pod in older_pods(consumer, observed)):
        return True
    workload = consumer.workload
    status = observed.reported(workload)
    return status is not None and had_rolled_back_revision(status, observed)


def had_rolled_back_revision(status: WorkloadStatus, observed: Observed) -> bool:
    """Whether the status has the workload with the rolled back revision, or on its way back from it."""
    if observed.rollback_pause is None:
        return False
    return status.revision == observed.rollback_pause.number or status.state in {
        WorkloadState.ROLLING,
        WorkloadState.FAILED,
    }


def look_again(consumer: Consumer, observed: Managed) -> datetime:
    """Return when to read the pods again whose end is waited for.

    Only a Deployment's status changes when a pod has ended, and an Argo Rollout's when it ends pods that it has kept.
    """
    latest = observed.now + _MAX_END_INTERVAL
    since = [pod.leaves for pod in older_pods(consumer, observed) if pod.leaves]
    return min(next_read(min(since), observed.now), latest) if since else latest


def next_read(since: datetime, now: datetime, shortest: timedelta = _MIN_INTERVAL) -> datetime:
    """Return when pods are read again that are waited for since a time: after a quarter of it, 5 minutes at most."""
    return now + min(max((now - since) / 4, shortest), _MAX_INTERVAL)


def _pods_message(pods: list[Pod], one_is: str, more_are: str, observed: Managed) -> str:
    count = f"1 pod{_values(pods, observed)} {one_is}"
    if len(pods) > 1:
        count = f"{len(pods)} pods{_values(pods, observed)} {more_are}"
    return f"{count}: {first_of([pod.name for pod in pods], _MAX_NAMED)}"


def _values(pods: Iterable[Pod], observed: Managed) -> str:
    numbers = {pod_revision(pod, observed) for pod in pods}
    known = sorted(number for number in numbers if number is not None)
    if len(known) < len(numbers):
        return " with earlier values"
    listed = " and ".join(str(number) for number in known)
    return f" with revision {listed}" if len(known) == 1 else f" with revisions {listed}"


def runs_other_values(consumer: Consumer, observed: Managed) -> bool:
    """Whether its pod template, by marker and age, has other values of the keys that it consumes."""
    workload = consumer.workload
    return _lacks_current_values(
        workload.marked(observed.desired.secret), workload.created, consumer.use, observed
    )


def lacks_first_keys(consumer: Consumer, observed: Managed) -> bool:
    """Whether its containers may have started without the keys of the first revision, which restarts no workload.

    A container waits for a missing Secret, or for a key that its environment names, unless they are optional; not for
    keys that are merged into a Secret of which it reads every key. Files get them from the kubelet.
    """
    newest, use = observed.state.newest, consumer.use
    if (newest.number, newest.reason) != (1, RevisionReason.CREATED) or use is None:
        return False
    workload, is_merged = consumer.workload, observed.desired.target_policy.merges and Via.ENV_FROM in use.via
    if consumer.renewed or workload.marked(observed.desired.secret) is not None:
        return False
    return (use.optional or is_merged) and may_precede(workload.created, observed.published)


def older_pods(consumer: Consumer, observed: Managed) -> tuple[Pod, ...]:
    """Return its pods with other values, sorted by name; none if pods were not read."""
    older = (pod for pod in consumer.known_pods if _is_older(pod, consumer, observed))
    return tuple(sorted(older, key=lambda pod: pod.name))


def are_newer(pods: Iterable[Pod], published: datetime) -> bool:
    """Whether each pod was created after `published`, terminating ones excepted; true for no pods."""
    return all(pod.leaves or not may_precede(pod.created, published) for pod in pods)


def pod_revision(pod: Pod, observed: Managed) -> int | None:
    """Return the revision that a pod was started with, if known."""
    marked = pod.marked(observed.desired.secret)
    return _number_run(observed.state, marked, pod.created, observed.published) or None


def template_is_outdated(pod: Pod, consumer: Consumer, observed: Managed) -> bool:
    """Whether the template of a pod, by marker and age, has other values."""
    return _lacks_current_values(pod.marked(observed.desired.secret), pod.created, consumer.use, observed)


def _is_older(pod: Pod, consumer: Consumer, observed: Managed) -> bool:
    if not may_precede(pod.created, observed.published):
        return False
    # The age alone is too weak a reason to wait for the end of a running pod without marker. Its template is an
    # earlier one if the workload was restarted: a Rollout keeps such pods for a while after its rollout.
    has_ground = (
        pod.leaves is not None
        or pod.marked(observed.desired.secret) is not None
        or observed.has_current_marker(consumer.workload)
    )
    return has_ground and template_is_outdated(pod, consumer, observed)


def revision_at(began: datetime, observed: Managed) -> int | None:
    """Return the revision that was published at `began`, if known."""
    return _published_at(observed.state, began, observed.published) or None


def _lacks_current_values(marked: int | None, created: datetime, use: Use | None, observed: Managed) -> bool:
    missed = _missed_keys(observed.state, marked, created, observed.published)
    if missed is None:
        return True
    if use is None or use.keys is None:
        return bool(missed)
    return bool(missed & use.keys)


def _missed_keys(
    state: StateFacts, marked: int | None, created: datetime, published: datetime
) -> frozenset[str] | None:
    """Return the keys in which the current revision differs from the one that a workload runs.

    It runs the revision of its marker; without marker, the one that was published when it was created. None if its
    revision is no longer known.
    """
    number = _number_run(state, marked, created, published)
    if number == state.current_number:
        return frozenset()
    current, run = _ancestors(state, state.current_number), _ancestors(state, number)
    if number == _BEFORE_ALL:
        apart = {number for number in current if current[number].reason != RevisionReason.CREATED}
    elif current.keys().isdisjoint(run):
        return None
    else:
        apart = current.keys() ^ run.keys()
    return frozenset[str]().union(*((current | run)[number].changed for number in apart))


def _number_run(state: StateFacts, marked: int | None, created: datetime, published: datetime) -> int:
    """Return the revision of this marker or, without marker, of this creation time; 0 if unknown."""
    return _published_at(state, created, published) if marked is None else marked


def _published_at(state: StateFacts, created: datetime, published: datetime) -> int:
    """Return the number published at `created`; pods from before the first publication waited for it."""
    if not may_precede(created, published):
        return state.current_number
    for publication in state.publications:
        if not may_precede(created, publication.time):
            return publication.number
    is_cut = len(state.publications) >= MAX_FACTS  # the first one may be forgotten
    if is_cut or state.revisions[-1].reason != RevisionReason.CREATED:
        return _BEFORE_ALL
    return state.publications[-1].number if state.publications else state.current_number


def _ancestors(state: StateFacts, number: int | None) -> dict[int, RevisionFacts]:
    """Return a revision and its ancestors by number."""
    ancestors: dict[int, RevisionFacts] = {}
    while (revision := state.revision(number)) and revision.number not in ancestors:
        ancestors[revision.number] = revision
        number = revision.base
    return ancestors


# Workloads that read changed files without a restart


def reloads(consumer: Consumer) -> bool:
    """Whether a workload reads the Secret as files only, and its annotation says that it reads them again."""
    use, text = consumer.use, consumer.workload.reload or ""
    return text.lower() == _WAIT and use is not None and set(use.via) <= FILES


def reloaded_at(observed: Managed) -> datetime:
    """Return from when on the files of every pod have the current revision."""
    return observed.published + KUBELET_SYNC


# Pods with earlier values that no consumer controls
#
# They are judged by their age alone, because a marker on a pod that Keyturn does not restart proves nothing.


def pods_behind(observed: Managed) -> tuple[Pod, ...]:
    """Return the pods with earlier values that no consumer controls, sorted by name."""
    secret, published, pods = observed.desired.secret, observed.published, observed.holders
    older = (
        pod
        for pod in (pods.pods if pods else ())
        if may_precede(pod.began, published)
        and _lacks_current_values(None, pod.began, pod.use_of(secret), observed)
    )
    return tuple(sorted(older, key=lambda pod: pod.name))


def owners_behind(observed: Managed) -> tuple[Owner, ...]:
    """Return the topmost owners of the pods with earlier values, sorted by kind and name."""
    return owners_of(pods_behind(observed), observed.desired.secret)


def behind_message(owner: Owner, observed: Managed) -> str:
    """Return since when an owner's oldest pod runs, and what ends that."""
    number = revision_at(owner.since, observed)
    which = "an earlier revision" if number is None else f"revision {number}"
    runs = f"runs since {to_second(owner.since):%Y-%m-%d %H:%M} UTC with {which}"
    if owner.kind in {"Pod", "Job"}:
        return f"{runs}; delete it or wait for its end"
    pods = "1 pod" if len(owner.pods) == 1 else f"{len(owner.pods)} pods"
    return f"{runs} ({pods}); restart it yourself or wait for its end"


def evicts(observed: Observed) -> bool:
    """Whether an emergency in progress has pods with exposed values evicted."""
    return any(emergency.is_unfinished_here and emergency.evict for emergency in observed.emergencies)


def pod_to_evict(observed: Managed) -> steps.EvictPod | None:
    """Return the next eviction: of a pod of a Job, or of one without an owner."""
    if observed.holders is None or not evicts(observed):
        return None
    for pod in pods_behind(observed):
        is_evictable = pod.controller is None or pod.controller.kind == "Job"
        if is_evictable and pod.leaves is None and pod.uid not in observed.holders.tried:
            return steps.EvictPod(pod)
    return None


def are_unread(observed: Observed) -> bool:
    """Whether the list on which an assertion depends is forbidden, or failed."""
    return observed.holders is not None and observed.holders.forbidden


def holds_back(observed: Managed) -> bool:
    """Whether pods that no consumer controls keep a rollout from being complete, or may do so."""
    return are_unread(observed) or bool(pods_behind(observed))


def waiting_message(observed: Managed) -> str | None:
    """Return a message with the first owner that is waited for; None if there is none."""
    if are_unread(observed):
        return unread(observed)
    owners = owners_behind(observed)
    if not owners:
        return None
    return f"{owners[0]} {behind_message(owners[0], observed)}{and_more(len(owners) - 1)}"


def next_read_of_all(observed: Managed) -> datetime | None:
    """Return when all pods of the namespace are read again, of whose end no event tells; None without a reason."""
    if are_unread(observed):
        return observed.now + UNREAD_INTERVAL
    return next_read(observed.published, observed.now) if pods_behind(observed) else None
