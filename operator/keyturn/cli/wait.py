"""`--wait`: prints each change of a ManagedSecret until a request is completed or fails."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from keyturn.core.reasons import ErrorReason, WorkloadReason
from keyturn.core.status.summary import AFTER_THE_ROLLOUT, UNDER_WAY_OUTSIDE, condition, summary_of
from keyturn.core.times import clock, length
from keyturn.kube import errors, paths
from keyturn.runtime.clock import loop_time

from . import cluster as clusters
from . import managed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus

    from .cluster import Cluster
    from .managed import FoundManagedSecret

_TAKE_UP_SECONDS = 3.0
"""Seconds in which the operator takes up a request; earlier problems in the status are no answer to it."""
_WATCH_SECONDS = 2
"""Seconds of one watch; afterwards the object is read again, so that a silent operator is noticed."""
_PAUSE = 0.5
_LOOK = 1.0, 5.0
"""Seconds, at least and at most, for a look at an object whose wait begins when the common timeout is over."""
_CURED = frozenset({ErrorReason.ROLLED_BACK, ErrorReason.ROLLOUT_FAILED, ErrorReason.NO_SUCH_REVISION})
"""Problems that a request ends: before the operator takes it up, which a window may delay, they are no answer."""
_WAIT_FOR_PODS = "WaitForPods"
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """Common deadline of several waits."""

    patience: timedelta | None
    label: str = ""
    """Prefix of each line, if there are several."""
    began: float = field(default_factory=loop_time)

    @property
    def seconds(self) -> float:
        return loop_time() - self.began

    @property
    def left(self) -> float | None:
        """Seconds until the deadline, at least those for one look; None without a deadline."""
        if self.patience is None:
            return None
        least, most = _LOOK
        patience = self.patience.total_seconds()
        return max(patience - self.seconds, min(max(patience, least), most))


async def follow(
    cluster: Cluster,
    asked: FoundManagedSecret,
    is_taken_up: Callable[[ManagedSecret], bool],
    waiting: Waiting,
    tell: Callable[[str], None],
) -> FoundManagedSecret:
    """Print every change after a request, until `is_taken_up` and completion; return the final object.

    A problem that prevents completion is raised.
    """
    last, name, taken_up = asked, asked.key.name, False
    try:
        async with asyncio.timeout(waiting.left), aclosing(_versions(cluster, name)) as versions:
            async for found in versions:
                seconds, now = waiting.seconds, found.managed
                for line in changes_between(last.managed.status, now.status):
                    tell(f"{seconds:6.1f} s  {waiting.label}{line}")
                last, taken_up = found, is_taken_up(now)
                is_answer = taken_up or (seconds > _TAKE_UP_SECONDS and not _may_be_cured(now))
                if is_answer and (trouble := trouble_of(now)):
                    raise click.ClickException(trouble)
                if taken_up and _is_through(now.status):
                    tell(f"{seconds:6.1f} s  {waiting.label}done: {_outcome(now)}")
                    return found
    except asyncio.CancelledError:  # Ctrl-C
        tell(f"{waiting.label}the operator continues, see `keyturn status {name}`")
        raise
    except TimeoutError:
        pass
    start = None if taken_up else _start(asked.managed.status, last.managed.status)
    raise click.ClickException(_timed_out(last, waiting, cluster.now(), start, is_taken_up=taken_up))


def _timed_out(
    last: FoundManagedSecret, waiting: Waiting, now: datetime, start: str | None, *, is_taken_up: bool
) -> str:
    """Return the message of a timeout with the progress: the operator continues."""
    name, summary, after = last.key.name, summary_of(last, now), length(waiting.patience or timedelta())
    if start:
        return f"timed out after {after} waiting for {name}: {start}"
    if not is_taken_up and last.managed.status.rotation is None:
        refreshed = condition(last.managed, "Refreshed")
        if refreshed and refreshed.status == "False" and refreshed.reason not in UNDER_WAY_OUTSIDE:
            return (
                f"timed out after {after} waiting for {name}: the request waits for the values of a store"
                f" ({refreshed.message}); see `keyturn status {name}`"
            )
        return (
            f"timed out after {after} waiting for {name}: the operator has not started the request"
            f" (now {summary.state}); see `keyturn status {name}` and `keyturn check`"
        )
    if pods := _awaited_pods(last.managed.status):
        return (
            f"timed out after {after}: {name} waits for the end of {pods}, which Keyturn does not restart; delete or"
            f" restart it, or wait longer with --timeout. The operator continues, see `keyturn status {name}`"
        )
    state = f"{summary.state}: {summary.message}" if summary.message else summary.state
    return (
        f"timed out after {after} waiting for {name} (now {state});"
        f" the operator continues, see `keyturn status {name}`"
    )


def changes_between(before: ManagedSecretStatus, after: ManagedSecretStatus) -> Iterator[str]:
    """Yield the changes between two statuses."""
    if after.rotation and after.rotation.step == "Stage" and before.rotation is None:
        yield f"revision {after.rotation.id.rpartition('/')[2]} is in progress ({after.rotation.reason})"
    if after.revision != before.revision:
        yield f"revision {after.revision} is in the Secret {after.secret_name}"
    elif start := _start(before, after):
        yield start
    states = {(one.kind, one.name): (one.state, one.message) for one in before.workloads}
    for one in after.workloads:
        if states.get((one.kind, one.name)) != (one.state, one.message):
            detail = f": {one.message}" if one.message else ""
            yield f"{one.kind}/{one.name} is {one.state}{detail}"
    pods = _awaited_pods(after)
    if pods and pods != _awaited_pods(before):
        yield f"waits for the end of {pods}, which Keyturn does not restart and which holds an earlier value"


def _awaited_pods(status: ManagedSecretStatus) -> str | None:
    """Return the owners of pods on which alone a rotation waits; None if it waits for none, or for others first."""
    if status.rotation is None or status.rotation.step != _WAIT_FOR_PODS:
        return None
    reason = WorkloadReason.NOT_RESTARTED
    owners = [f"{one.kind}/{one.name}" for one in status.workloads if one.reason == reason]
    more = f" and {len(owners) - _MAX_NAMED} more" if len(owners) > _MAX_NAMED else ""
    return f"{', '.join(owners[:_MAX_NAMED])}{more}" if owners else None


def _start(before: ManagedSecretStatus, after: ManagedSecretStatus) -> str | None:
    """Return when a requested rotation starts, if the next date is sooner than before the request."""
    then, now = before.next_rotation_time, after.next_rotation_time
    is_sooner = now is not None and (then is None or now < then)
    is_busy = after.rotation is not None and after.rotation.step not in AFTER_THE_ROLLOUT
    if now is None or not is_sooner or is_busy or after.revision != before.revision:
        return None
    return f"it starts at {clock(now)}"


def trouble_of(found: ManagedSecret) -> str | None:
    """Return what prevents a ManagedSecret from continuing without manual action."""
    if found.spec.suspend:
        name = found.metadata.name
        return f"spec.suspend is true, so nothing is written; a request starts after `keyturn resume {name}`"
    stalled = condition(found, "Stalled")
    if stalled and stalled.status == "True":
        return f"stalled by {stalled.reason}: {stalled.message}"
    return None


def _may_be_cured(found: ManagedSecret) -> bool:
    """Whether a request ends the problem of a ManagedSecret, as its message says."""
    stalled = condition(found, "Stalled")
    return stalled is not None and stalled.reason in _CURED and not found.spec.suspend


def _is_through(status: ManagedSecretStatus) -> bool:
    """Whether every workload runs the revision; a long overlap is not awaited."""
    return status.rotation is None or status.rotation.step in AFTER_THE_ROLLOUT


def _outcome(found: ManagedSecret) -> str:
    said = condition(found, "WorkloadsCurrent")
    workloads = f"; {said.message}" if said and found.status.workloads else ""
    return f"revision {found.status.revision} is in the Secret {found.status.secret_name}{workloads}"


async def _versions(cluster: Cluster, name: str) -> AsyncGenerator[FoundManagedSecret, None]:
    """Yield the object, then each newer version, across failures of the API server."""
    while True:
        try:
            found = await managed.one(cluster, name)
            yield found
            async for now in _watch(cluster, name, found.managed.metadata.resource_version):
                yield now
        except (errors.Gone, errors.Throttled, errors.Unavailable) as error:
            await clusters.pause_after(error, _PAUSE)


async def _watch(cluster: Cluster, name: str, version: str) -> AsyncGenerator[FoundManagedSecret, None]:
    only, path = {"fieldSelector": f"metadata.name={name}"}, paths.managed_secrets(cluster.namespace)
    async with aclosing(cluster.api.watch(path, version, only, timeout_seconds=_WATCH_SECONDS)) as changes:
        async for kind, body in changes:
            if kind == "DELETED":
                raise click.ClickException(f"ManagedSecret {name!r} was deleted meanwhile")
            if kind in {"ADDED", "MODIFIED"}:
                yield managed.found_in(body)
