"""Progress of each workload with the current revision, and which ones are restarted next, with which marker.

For some of them it depends on their pods (`completion.depends_on_pods`).

The restart marker of a pod template has the revisions of all managed Secrets that new pods read, or is the previous
marker.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keyturn.api.workloads import WorkloadState
from keyturn.core.keys import WorkloadKey
from keyturn.core.observation.observed import Consumer, Managed, Observed, Sibling, once
from keyturn.core.observation.workload import Pod, Workload, read_marker, write_marker
from keyturn.core.reasons import WorkloadReason
from keyturn.core.spec.desired import Desired
from keyturn.core.times import may_precede

from . import old_pods, publication, rollout_obstacles
from .rollout_obstacles import Obstacle

_MAX_CLOCK_SKEW = timedelta(minutes=1)
_MIN_RESTART_INTERVAL = timedelta(seconds=10)
"""Minimum time between two restarts of a workload."""
_RECHECK_INTERVAL = timedelta(minutes=1)


class Turn(enum.Enum):
    """Whether a workload still needs a restart, and what it waits for."""

    DONE = enum.auto()
    """It runs the current revision."""
    NEXT = enum.auto()
    """It waits only for its turn and the debounce."""
    HINDERED = enum.auto()
    """It waits for something that normally passes."""
    REFUSED = enum.auto()
    """A setting forbids its restart."""


@dataclass(frozen=True, slots=True)
class WorkloadProgress:
    """Progress of one workload."""

    consumer: Consumer
    state: WorkloadState
    turn: Turn
    message: str | None = None
    reason: str | None = None
    """Why it is not current, as a code for programs."""
    denied: bool = False
    """The API server rejects its restart, or did according to the status."""
    leaving: bool = False
    """It waits only for the end of pods with earlier values, which cannot fail."""

    def described(self, others: int = 0) -> str:
        """Return its state and message, and the number of the others that are behind."""
        detail = f": {self.message}" if self.message else ""
        more = f"; {others} more {'is' if others == 1 else 'are'} behind" if others > 0 else ""
        return f"{self.consumer.workload.key} is {self.state.lower()}{detail}{more}"

    @property
    def under_way(self) -> bool:
        """Whether a rotation waits for it."""
        return self.turn in (Turn.NEXT, Turn.HINDERED)

    @property
    def is_read_at_intervals(self) -> bool:
        """Whether its pods show what it waits for."""
        workload = self.consumer.workload
        return self.turn is Turn.HINDERED and not workload.settled and not workload.paused

    @property
    def takes_a_slot(self) -> bool:
        """Whether it counts against maxConcurrent: not if its rollout requires manual steps or is paused."""
        is_waiting = self.leaving or self.consumer.workload.paused or self.consumer.workload.hint is not None
        return self.state is WorkloadState.ROLLING and not is_waiting

    @property
    def holds_up_later_waves(self) -> bool:
        if self.leaving:
            return False
        return self.turn is Turn.NEXT or (self.turn is Turn.HINDERED and self.consumer.workload.hint is None)


@once
def progress_of_workloads(observed: Observed) -> tuple[WorkloadProgress, ...]:
    """Return the progress of each consumer in restart order; nothing without a spec to follow and a revision."""
    if not isinstance(observed, Managed):
        return ()
    ordered = sorted(observed.consumers, key=_restart_order(observed.desired))
    return tuple(progress_of(observed, consumer) for consumer in ordered)


def is_under_way(observed: Observed) -> bool:
    """Whether a rotation waits for a workload."""
    return any(progress.under_way for progress in progress_of_workloads(observed))


def any_failed(observed: Observed) -> bool:
    return any(progress.state is WorkloadState.FAILED for progress in progress_of_workloads(observed))


def next_restarts(observed: Managed) -> tuple[Consumer, ...]:
    """Return the consumers to restart now: of the first incomplete wave, within maxConcurrent."""
    everyone = progress_of_workloads(observed)
    has_failed = any_failed(observed) and not observed.has_open_emergency
    if has_failed and not all(
        progress.denied for progress in everyone if progress.state is WorkloadState.FAILED
    ):
        return ()  # the revision may be the cause: no further workload gets it
    wave = _wave_now(observed, everyone)
    rolling = sum(progress.takes_a_slot for progress in everyone)
    ready = (
        progress.consumer
        for progress in everyone
        if progress.turn is Turn.NEXT
        and (progress.state is WorkloadState.FAILED or not has_failed)
        and _wave_of(progress.consumer, observed.desired) <= wave
        and observed.now >= restart_due(observed, progress)
    )
    return tuple(ready)[: max(0, observed.desired.max_concurrent - rolling)]


def restart_due(observed: Managed, progress: WorkloadProgress) -> datetime:
    """Return when its restart is due: after the debounce of its Secrets and the minimum time since its last one."""
    consumer, restarted = progress.consumer, progress.consumer.workload.restarted
    earliest = _after(restarted, _MIN_RESTART_INTERVAL, observed) if restarted else observed.now
    if observed.rollback_pause:
        return max(observed.now, earliest)  # a rollback does not wait for other changes
    # A new leader reconciles every object first: a sibling may be about to change, too.
    changes = [observed.published, *([observed.since] if observed.since else [])]
    changes += (
        sibling.published
        for sibling in consumer.siblings
        if sibling.published and consumer.workload.marked(sibling.secret) != sibling.revision
    )
    due = _after(max(changes), observed.desired.debounce, observed)
    return max(due, earliest) if restarted else due


def _after(last: datetime, pause: timedelta, observed: Observed) -> datetime:
    """Return when a pause ends: now if it began in the future, which means the clock was set back."""
    return observed.now if last > observed.now + _MAX_CLOCK_SKEW else last + pause


def _watched_until(observed: Managed, progress: WorkloadProgress) -> datetime | None:
    """Return when a rolling workload counts as failed unless it completes before, or one counts as reloaded."""
    workload = progress.consumer.workload
    if progress.reason == WorkloadReason.RELOADING:
        return old_pods.reloaded_at(observed)
    is_watched = progress.state is WorkloadState.ROLLING and not progress.leaving
    if not is_watched or workload.hint or workload.paused:
        return None
    restarted = workload.restarted or _returned(workload, observed)
    interrupted = (progress.consumer.blocked_since, progress.consumer.resumed, workload.progressing)
    began = (restarted, observed.published, *interrupted)
    return max(when for when in began if when) + observed.desired.progress_deadline if restarted else None


def _returned(workload: Workload, observed: Observed) -> datetime | None:
    """Return when a rollback restarted a workload; for another process, when it was recorded. None without one.

    A removed marker leaves no time, and its removal waits for earlier restarts, also for those of other workloads.
    """
    if observed.rollback_pause is None:
        return None
    known = observed.restarted.get(workload.key)
    return known.at if known else observed.rollback_pause.at


def next_changes(observed: Managed) -> list[datetime]:
    """Return when restarts are due, and when the progress of workloads is to be determined again."""
    times = (when for one in progress_of_workloads(observed) for when in _changes_of(one, observed))
    return [when for when in times if when]


def _changes_of(progress: WorkloadProgress, observed: Managed) -> Iterator[datetime | None]:
    if progress.turn is Turn.NEXT:
        due = restart_due(observed, progress)
        yield due if due > observed.now else observed.now + _RECHECK_INTERVAL
    yield _watched_until(observed, progress)
    yield old_pods.look_again(progress.consumer, observed) if progress.leaving else None
    yield rollout_obstacles.denied_until(progress.consumer.workload, observed)
    pods = progress.consumer.pods
    yield pods.again if pods and progress.is_read_at_intervals else None


def progress_of(observed: Managed, consumer: Consumer) -> WorkloadProgress:
    """Return the progress of one consumer."""
    marked = consumer.workload.marked(observed.desired.secret)
    if marked == observed.current.number:
        return _after_restart(consumer, observed)
    if consumer.renewed or not old_pods.runs_other_values(consumer, observed):
        return _while_pods_leave(consumer, observed)
    if old_pods.reloads(consumer):
        return _reloading(consumer, observed)
    if refused := rollout_obstacles.refusal(consumer, observed):
        return _pending(consumer, Turn.REFUSED, refused)
    if hindrance := _hindrance(consumer, observed, marked):
        return _pending(consumer, Turn.HINDERED, hindrance)
    return _in_turn(consumer, observed)


def _pending(consumer: Consumer, turn: Turn, waits: Obstacle) -> WorkloadProgress:
    return WorkloadProgress(consumer, WorkloadState.PENDING, turn, waits.message, waits.reason)


def _reloading(consumer: Consumer, observed: Managed) -> WorkloadProgress:
    """Return the progress of a consumer that reads changed files without a restart."""
    due = old_pods.reloaded_at(observed)
    if observed.now < due:
        message = "waits until the Secret has the revision"
        if observed.is_published:
            message = f"its files are updated by {due:%H:%M:%S} UTC"
        return _pending(consumer, Turn.HINDERED, Obstacle(WorkloadReason.RELOADING, message))
    return WorkloadProgress(
        consumer, WorkloadState.RELOADED, Turn.DONE, old_pods.UNPROVEN, WorkloadReason.RELOADED
    )


def _in_turn(consumer: Consumer, observed: Managed) -> WorkloadProgress:
    """Return the progress of a consumer that waits for its turn, or whose restart the API server rejects."""
    denial = rollout_obstacles.denial_of(consumer.workload, observed)
    if observed.restart_wait and not observed.is_urgent:
        limits = f"the limits of the cluster are reached ({observed.restart_wait.limits})"
        queued = Obstacle(WorkloadReason.RESTART_BUDGET, f"queued for restart: {limits}")
        return _pending(consumer, Turn.HINDERED, queued)
    if denial is None:
        if rejection := rollout_obstacles.reported_rejection(consumer.workload, observed):
            return WorkloadProgress(
                consumer, rejection.state, Turn.NEXT, rejection.message, rejection.reason, denied=True
            )
        return _pending(consumer, Turn.NEXT, Obstacle(WorkloadReason.WAITING_FOR_TURN, "queued for restart"))
    turn = Turn.NEXT if observed.now >= denial.attempts.again else Turn.HINDERED
    is_late = observed.now >= denial.since + observed.desired.progress_deadline
    state = WorkloadState.FAILED if is_late else WorkloadState.PENDING
    error = denial.attempts.error
    return WorkloadProgress(consumer, state, turn, error.message, error.reason, denied=True)


def _after_restart(consumer: Consumer, observed: Managed) -> WorkloadProgress:
    if consumer.workload.settled or publication.was_complete(consumer.workload, observed):
        return _while_pods_leave(consumer, observed)
    rolling = WorkloadProgress(consumer, WorkloadState.ROLLING, Turn.HINDERED)
    deadline = _watched_until(observed, rolling)
    if publication.was_overdue_at_first(observed, deadline):
        return _until_pods_end(consumer, _old_pods(consumer, observed))
    if crash := rollout_obstacles.crash_of(consumer, observed.current.number, observed):
        return replace(rolling, state=WorkloadState.FAILED, message=crash, reason=WorkloadReason.CRASH_LOOP)
    if publication.was_reported_complete(consumer, observed, deadline):
        return _until_pods_end(consumer, _old_pods(consumer, observed))
    blocking = _old_pods(consumer, observed) if consumer.blocked_since else None
    return _watched(consumer, observed, blocking)


def _watched(consumer: Consumer, observed: Managed, pods: Obstacle | None) -> WorkloadProgress:
    """Return the progress of a rollout, which fails at its deadline unless old pods occupy the places of new ones."""
    reason, message = (
        rollout_obstacles.rollout_obstacle(consumer) or pods or (WorkloadReason.ROLLING_OUT, None)
    )
    rolling = WorkloadProgress(consumer, WorkloadState.ROLLING, Turn.HINDERED, message, reason)
    deadline = _watched_until(observed, rolling)
    is_late = deadline is not None and observed.now >= deadline
    has_failed = is_late or (_has_failed(consumer.workload, observed) and not consumer.blocked_since)
    is_blocked = (has_failed or consumer.blocked_since) and old_pods.terminating_pods_block(
        consumer, observed
    )
    if is_blocked and (
        waits := rollout_obstacles.manual_update_obstacle(consumer) or _old_pods(consumer, observed)
    ):
        return replace(rolling, message=waits.message, reason=waits.reason, leaving=True)
    if has_failed and observed.unread and consumer.workload.in_place:
        # Earlier pods may hold the places of new ones.
        return replace(rolling, message=old_pods.unread(observed))
    if has_failed:
        late = rollout_obstacles.deadline_obstacle(consumer)
        return replace(rolling, state=WorkloadState.FAILED, message=late.message, reason=late.reason)
    return rolling


def _has_failed(workload: Workload, observed: Observed) -> bool:
    """Whether its controller reports a failure of its last restart, and not of a template before it.

    After a change of the template the status has the earlier failure for a moment, such as on the way back to pods
    that stay.
    """
    times = (workload.restarted, _returned(workload, observed))
    return workload.has_failed_since(max((time for time in times if time), default=None))


def _while_pods_leave(consumer: Consumer, observed: Managed) -> WorkloadProgress:
    """Return the progress of a consumer that needs no restart: current, or waiting for the end of old pods.

    One that has to be restarted by its users counts as behind.
    """
    if old_pods.lacks_first_keys(consumer, observed):
        return _pending(
            consumer, Turn.REFUSED, Obstacle(WorkloadReason.EARLIER_PODS, old_pods.BEFORE_FIRST_KEYS)
        )
    pods = _old_pods(consumer, observed)
    if not consumer.workload.settled and old_pods.is_rolling_back(consumer, observed):
        return _watched(consumer, observed, pods)
    return _until_pods_end(consumer, pods)


def _until_pods_end(consumer: Consumer, pods: Obstacle | None) -> WorkloadProgress:
    if pods is None:
        return WorkloadProgress(consumer, WorkloadState.CURRENT, Turn.DONE)
    return WorkloadProgress(
        consumer, WorkloadState.ROLLING, Turn.HINDERED, pods.message, pods.reason, leaving=True
    )


def _old_pods(consumer: Consumer, observed: Managed) -> Obstacle | None:
    message = old_pods.waiting_for_pods(consumer, observed)
    if message is None:
        return None
    is_unknown = consumer.pods is not None and consumer.pods.forbidden
    return Obstacle(WorkloadReason.PODS_UNKNOWN if is_unknown else WorkloadReason.EARLIER_PODS, message)


def _hindrance(consumer: Consumer, observed: Managed, marked: int | None) -> Obstacle | None:
    workload = consumer.workload
    if pause := rollout_obstacles.pause_of(consumer):
        return pause
    if workload.settled or _hangs_in_rolled_back_revision(consumer, observed, marked):
        return None
    if workload.is_updated and observed.has_open_emergency:
        return None  # no pod can have other values without a restart
    return rollout_obstacles.earlier_rollout_obstacle(consumer)


def _hangs_in_rolled_back_revision(consumer: Consumer, observed: Managed, marked: int | None) -> bool:
    """Whether its last rollout was the operator's and has failed or is overdue, so it is not waited for."""
    if marked is None:
        return False
    if observed.rollback_pause and marked == observed.rollback_pause.number:
        return True
    workload, deadline = consumer.workload, observed.desired.progress_deadline
    is_late = workload.restarted is not None and observed.now >= workload.restarted + deadline
    has_failed = workload.has_failed_since(workload.restarted) or is_late
    has_failed = has_failed or rollout_obstacles.crash_of(consumer, marked, observed) is not None
    return marked > (observed.current.fallback or 0) and has_failed


def _wave_of(consumer: Consumer, desired: Desired) -> int:
    return desired.waves.get(consumer.workload.key, 0)


def _wave_now(observed: Managed, everyone: tuple[WorkloadProgress, ...]) -> int:
    passed = WorkloadState.FAILED if observed.has_open_emergency else None
    unfinished = (
        _wave_of(progress.consumer, observed.desired)
        for progress in everyone
        if progress.holds_up_later_waves and progress.state is not passed
    )
    return min(unfinished, default=0)


def _restart_order(desired: Desired) -> Callable[[Consumer], tuple[int, int, WorkloadKey]]:
    places = {key: place for place, key in enumerate(desired.targets)}
    return lambda consumer: (
        _wave_of(consumer, desired),
        places.get(consumer.workload.key, len(places)),
        consumer.workload.key,
    )


def goes_back(consumer: Consumer, observed: Managed) -> bool:
    """Whether the pod template has a later revision than the current one, which means a rollback."""
    marked = consumer.workload.marked(observed.desired.secret)
    return marked is not None and marked > observed.current.number


def next_marker(consumer: Consumer, observed: Managed) -> str:
    """Return the marker for a restart; empty to remove it."""
    plain = marker_for(consumer, observed.desired.secret, observed.current.number)
    if not goes_back(consumer, observed):
        return plain
    # With exactly the marker of pods that already run the wanted values the template equals theirs, so their
    # controller keeps them. Only pods are evidence: a recorded marker could be lost or edited.
    staying = [
        pod for pod in consumer.known_pods if pod.leaves is None and pod.marker != consumer.workload.marker
    ]
    # A pod that started while the failed revision was published has read it, whatever its template says.
    spoilt = {pod.marker for pod in staying if not _has_all(pod, consumer, observed)}
    counted = Counter(pod.marker for pod in staying if pod.marker not in spoilt)
    before = min(counted, key=lambda marker: (-counted[marker], marker), default=None)
    return plain if before is None else before


def marker_for(consumer: Consumer, secret: str, revision: int) -> str:
    """Return the marker with the current revision of every managed Secret that the workload uses."""
    marked = read_marker(consumer.workload.marker)
    used = {use.secret for use in consumer.workload.uses}
    still_used = {name: number for name, number in marked.items() if name in used}
    siblings = {sibling.secret: sibling.revision for sibling in consumer.siblings}
    return write_marker(still_used | siblings | {secret: revision})


def _has_all(pod: Pod, consumer: Consumer, observed: Managed) -> bool:
    """Whether a pod runs the current revision of every managed Secret of its workload."""
    if old_pods.template_is_outdated(pod, consumer, observed):
        return False
    return all(_runs(sibling, pod, pod.marked(sibling.secret)) for sibling in consumer.siblings)


def _runs(sibling: Sibling, pod: Pod, marked: int | None) -> bool:
    if marked is not None:
        return marked == sibling.revision
    # Pods that are older than a first revision waited for it.
    is_first = sibling.revision == 1
    return is_first or (sibling.published is not None and not may_precede(pod.created, sibling.published))
