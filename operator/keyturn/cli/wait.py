"""`--wait` and `status --watch`: print each change of ManagedSecrets, until a request is completed or without end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.core.reasons import ErrorReason, WorkloadReason
from keyturn.core.status.summary import (
    AFTER_THE_ROLLOUT,
    UNDER_WAY_OUTSIDE,
    SummaryState,
    condition,
    summary_of,
)
from keyturn.core.times import clock, length
from keyturn.kube import errors, paths
from keyturn.runtime.clock import loop_time

from . import cluster as clusters
from . import managed
from .options import Output
from .printing import Columns, print_data, print_document, print_lines, print_names, room
from .status import StatusRow, cells_of, describe_none, document, header_of, rows_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus
    from keyturn.core.keys import ObjectKey
    from keyturn.kube.wire import Change

    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .options import Selection

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


# status --watch, as `kubectl get --watch` does it

_STATUS_WATCH_SECONDS: Final = 5
"""Seconds of one watch; afterwards all are listed again: some states change with time alone."""
_WATCH_PAUSE: Final = 1.0
_TIMED_STATES: Final = frozenset({SummaryState.OVERDUE, SummaryState.OVERLAPPING})
"""States whose message contains an elapsed time."""


async def watch(cluster: Cluster, selection: Selection, output: Output) -> None:
    """Print all objects, then each that changes, until Ctrl-C."""
    found, version = await _list(cluster, selection)
    teller = _Teller(cluster, selection, output)
    for name in sorted(set(selection.names) - {one.key.name for one in found}):
        await managed.one(cluster, name)  # raises a message with suggestions
    if found:
        teller.begin(found)
    else:
        none = await describe_none(cluster, selection)
        if not output.is_document and output is not Output.NAME:
            print_lines(none, err=True)
    while True:
        try:
            with suppress(errors.Gone):  # the list has what the watch missed
                async with aclosing(_changes(cluster, selection, version)) as changes:
                    async for change in changes:
                        teller.take(change)
            found, version = await _list(cluster, selection)
            teller.take_all(found)
        except (errors.Throttled, errors.Unavailable) as error:
            trouble = "overload of" if isinstance(error, errors.Throttled) else "no answer from"
            print_lines(f"note: {trouble} {cluster.server} ({error.reason}); retrying", err=True)
            await clusters.pause_after(error, _WATCH_PAUSE)


class _Teller:
    """The last printed state of each object, so that only differences are printed."""

    def __init__(self, cluster: Cluster, selection: Selection, output: Output) -> None:
        self._cluster, self._selection, self._output = cluster, selection, output
        self._told: dict[ObjectKey, tuple[Any, ...]] = {}
        self._last: dict[ObjectKey, FoundManagedSecret] = {}
        self._columns: Columns | None = None

    def begin(self, found: list[FoundManagedSecret]) -> None:
        """Print the first list in the order of `keyturn status`."""
        self._tell(rows_of(found, self._cluster.now()))

    def take(self, change: Change) -> None:
        """Process an event of a watch."""
        if change.kind == "DELETED":
            self._gone(managed.found_in(change.body).key)
        else:
            self._look([managed.found_in(change.body)])

    def take_all(self, found: list[FoundManagedSecret]) -> None:
        """Process a list, in which deleted objects are missing."""
        for key in sorted(self._told.keys() - {one.key for one in found}):
            self._gone(key)
        self._look(found)

    def _look(self, found: list[FoundManagedSecret]) -> None:
        rows = [
            row for row in rows_of(found, self._cluster.now()) if self._told.get(row.found.key) != _signs(row)
        ]
        self._tell(rows)

    def _gone(self, key: ObjectKey) -> None:
        self._told.pop(key, None)
        if (last := self._last.pop(key, None)) is None:
            return
        (row,) = rows_of([last], self._cluster.now())
        self._print(row, "Deleted")

    def _tell(self, rows: list[StatusRow]) -> None:
        """Print rows, below a header with the widths of the first ones."""
        is_table = self._output in {Output.TABLE, Output.WIDE}
        if rows and is_table and self._columns is None:
            cells = [cells_of(row, self._output, self._selection) for row in rows]
            self._columns = Columns.of(header_of(self._output, self._selection), cells, room())
            print_lines(*self._columns.header())
        for row in rows:
            key = row.found.key
            self._told[key], self._last[key] = _signs(row), row.found
            self._print(row)

    def _print(self, row: StatusRow, state: str | None = None) -> None:
        if self._output is Output.NAME:
            print_names([row.found.key.name])
        elif self._columns is None:
            if self._output is Output.YAML:
                print_document("---\n")
            print_data(document(row) | ({"state": state, "message": ""} if state else {}), self._output)
        else:
            cells = cells_of(row, self._output, self._selection)
            if state:
                cells[1 + self._selection.everywhere], cells[-1] = state, ""
            print_lines(*self._columns.row(cells))


def _signs(row: StatusRow) -> tuple[Any, ...]:
    """Return what makes a row different; no elapsed time."""
    status, summary = row.found.managed.status, row.summary
    message = "" if summary.state in _TIMED_STATES else summary.message
    states = tuple((one.kind, one.name, one.state) for one in status.workloads)
    times = status.last_rotation_time, status.next_rotation_time
    return summary.state, message, status.revision, states, times


async def _list(cluster: Cluster, selection: Selection) -> tuple[list[FoundManagedSecret], str]:
    """Return the selected objects, and the version of the list, from which the watch continues."""
    found, version = await managed.list_of(cluster, *_where(cluster, selection))
    return [one for one in found if _is_chosen(one.key.name, selection)], version


async def _changes(cluster: Cluster, selection: Selection, version: str) -> AsyncGenerator[Change, None]:
    path, params = _where(cluster, selection)
    async with aclosing(
        cluster.api.watch(path, version, params, timeout_seconds=_STATUS_WATCH_SECONDS)
    ) as changes:
        async for change in changes:
            is_of_object = change.kind in {"ADDED", "MODIFIED", "DELETED"}
            if is_of_object and _is_chosen(change.body["metadata"]["name"], selection):
                yield change


def _where(cluster: Cluster, selection: Selection) -> tuple[str, dict[str, str]]:
    path = paths.managed_secrets(None if selection.everywhere else cluster.namespace)
    if selection.name:
        return path, {"fieldSelector": f"metadata.name={selection.name}"}
    return path, {"labelSelector": selection.labels} if selection.labels else {}


def _is_chosen(name: str, selection: Selection) -> bool:
    return not selection.names or name in selection.names
