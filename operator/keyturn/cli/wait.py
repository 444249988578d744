"""`--wait` and `status --watch`: print each change of ManagedSecrets, until a request is completed or without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.core.keys import ObjectKey
from keyturn.core.reasons import ErrorReason, WorkloadReason
from keyturn.core.status.summary import AFTER_THE_ROLLOUT, SummaryState, condition, summary_of
from keyturn.core.texts import first_of
from keyturn.core.times import clock, length
from keyturn.kube import errors, paths
from keyturn.kube.wire import Change
from keyturn.runtime.clock import loop_time

from . import cluster as clusters
from . import managed
from .cluster import Cluster
from .managed import FoundManagedSecret, describe_none
from .options import Output, Selection
from .printing import Columns, print_data, print_document, print_lines, print_names, room
from .status import StatusRow, cells_of, document, header_of, rows_of

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus

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
                step = now.status.rotation and now.status.rotation.step
                if taken_up and (step is None or step in AFTER_THE_ROLLOUT):  # a long overlap is not awaited
                    said = condition(now, "WorkloadsCurrent") if now.status.workloads else None
                    outcome = f"revision {now.status.revision} is in the Secret {now.status.secret_name}"
                    outcome += f"; {said.message}" if said else ""
                    tell(f"{seconds:6.1f} s  {waiting.label}done: {outcome}")
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
    name, summary = last.key.name, summary_of(last, now)
    timed_out = f"timed out after {length(waiting.patience or timedelta())} waiting for {name}"
    if start:
        return f"{timed_out}: {start}"
    state = f"now {summary.state}{f': {summary.message}' if summary.message else ''}"
    if not is_taken_up and last.managed.status.rotation is None:
        why = f"the operator has not started the request ({state})"
        return f"{timed_out}: {why}; see `keyturn status {name}` and `keyturn check`"
    if pods := _awaited_pods(last.managed.status):
        state = f"for the end of {pods}, which Keyturn does not restart; delete or restart it, or wait longer"
    return f"{timed_out} ({state}); the operator continues, see `keyturn status {name}`"


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
    return first_of(owners, _MAX_NAMED) if owners else None


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


async def _versions(cluster: Cluster, name: str) -> AsyncGenerator[FoundManagedSecret, None]:
    """Yield the object, then each newer version, across failures of the API server."""
    chosen = Selection((name,))
    while True:
        try:
            found = await managed.one(cluster, name, managed.shown_in)
            yield found
            version = found.managed.metadata.resource_version
            async with aclosing(_changes(cluster, chosen, version, _WATCH_SECONDS)) as changes:
                async for kind, body in changes:
                    if kind == "DELETED":
                        raise click.ClickException(f"ManagedSecret {name!r} was deleted meanwhile")
                    yield managed.shown_in(body)
        except (errors.Gone, errors.Throttled, errors.Unavailable) as error:
            await clusters.pause_after(error, _PAUSE)


# status --watch, as `kubectl get --watch` does it

_STATUS_WATCH_SECONDS: Final = 5
"""Seconds of one watch; afterwards all are listed again: some states change with time alone."""
_WATCH_PAUSE: Final = 1.0
_TIMED_STATES: Final = frozenset({SummaryState.OVERDUE, SummaryState.OVERLAPPING})
"""States whose message contains an elapsed time."""


async def watch(cluster: Cluster, selection: Selection, output: Output) -> None:
    """Print all objects, then each that changes, until Ctrl-C."""
    found, version = await _list(cluster, selection)
    printer = _Printer(cluster, selection, output)
    for name in sorted(set(selection.names) - {one.key.name for one in found}):
        await managed.one(cluster, name, managed.shown_in)  # raises a message with suggestions
    if not found:
        none = await describe_none(cluster, selection)
        if not output.is_document and output is not Output.NAME:
            print_lines(none, err=True)
    printer.print_list(found)
    while True:
        try:
            with suppress(errors.Gone):  # the list has what the watch missed
                watched = _changes(cluster, selection, version, _STATUS_WATCH_SECONDS)
                async with aclosing(watched) as changes:
                    async for kind, body in changes:
                        one = managed.shown_in(body)
                        printer.print_gone([one.key]) if kind == "DELETED" else printer.print_changed([one])
            found, version = await _list(cluster, selection)
            printer.print_list(found)
        except (errors.Throttled, errors.Unavailable) as error:
            trouble = "overload of" if isinstance(error, errors.Throttled) else "no answer from"
            print_lines(f"note: {trouble} {cluster.server} ({error.reason}); retrying", err=True)
            await clusters.pause_after(error, _WATCH_PAUSE)


class _Printer:
    """Prints differences to what it has printed."""

    def __init__(self, cluster: Cluster, selection: Selection, output: Output) -> None:
        self._cluster, self._selection, self._output = cluster, selection, output
        self._printed: dict[ObjectKey, StatusRow] = {}
        self._columns: Columns | None = None

    def print_list(self, found: Sequence[FoundManagedSecret]) -> None:
        """Print what a list shows, in which deleted objects are missing."""
        self.print_gone(sorted(self._printed.keys() - {one.key for one in found}))
        self.print_changed(found)

    def print_gone(self, keys: Iterable[ObjectKey]) -> None:
        for key in keys:
            if last := self._printed.pop(key, None):
                self._print(last, "Deleted")

    def print_changed(self, found: Iterable[FoundManagedSecret]) -> None:
        """Print rows, below a header with the widths of the first ones."""
        rows = [
            row
            for row in rows_of(found, self._cluster.now())
            if (last := self._printed.get(row.found.key)) is None or _signs(last) != _signs(row)
        ]
        if rows and self._output in {Output.TABLE, Output.WIDE} and self._columns is None:
            cells = [cells_of(row, self._output, self._selection) for row in rows]
            self._columns = Columns.of(header_of(self._output, self._selection), cells, room())
            print_lines(*self._columns.header())
        for row in rows:
            self._printed[row.found.key] = row
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
    status, summary = row.status, row.summary
    message = "" if summary.state in _TIMED_STATES else summary.message
    states = tuple((one.kind, one.name, one.state) for one in status.workloads)
    times = status.last_rotation_time, status.next_rotation_time
    return summary.state, message, status.revision, states, times


async def _list(cluster: Cluster, selection: Selection) -> tuple[list[FoundManagedSecret], str]:
    """Return the selected objects, and the version of the list, from which the watch continues."""
    found, version = await managed.list_of(cluster, *_where(cluster, selection), managed.shown_in)
    return [one for one in found if _is_chosen(one.key.name, selection)], version


async def _changes(
    cluster: Cluster, selection: Selection, version: str, seconds: int
) -> AsyncGenerator[Change, None]:
    path, params = _where(cluster, selection)
    async with aclosing(cluster.api.watch(path, version, params, timeout_seconds=seconds)) as changes:
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
