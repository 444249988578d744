"""`keyturn status --watch`: prints each change of the selected objects, as `kubectl get --watch` does."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from keyturn.core.status.summary import SummaryState
from keyturn.kube import errors, paths

from . import cluster as clusters
from . import managed
from .options import Output
from .printing import print_data, print_document, print_lines, print_names
from .status import StatusRow, cells_of, describe_none, document, header_of, rows_of
from .text import Columns, room

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from keyturn.core.keys import ObjectKey
    from keyturn.kube.wire import Change

    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .options import Selection

_WATCH_SECONDS: Final = 5
"""Seconds of one watch; afterwards all are listed again: some states change with time alone."""
_PAUSE: Final = 1.0
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
            await clusters.pause_after(error, _PAUSE)


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
    async with aclosing(cluster.api.watch(path, version, params, timeout_seconds=_WATCH_SECONDS)) as changes:
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
