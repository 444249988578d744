"""`keyturn history`: revisions with reason and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.core.status.summary import AFTER_THE_ROLLOUT
from keyturn.core.times import NOTHING, clock, length

from . import managed
from .printing import print_data, print_lines
from .selection import find
from .status import describe_none
from .text import room, table

if TYPE_CHECKING:
    from keyturn.api.status import HistoryEntry, ManagedSecretStatus

    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .options import Output, Selection

_RUNNING = "Running"
_HEADER = ("CURRENT", "REVISION", "REASON", "STARTED", "TOOK", "RESULT", "MESSAGE")


async def show(cluster: Cluster, selection: Selection, output: Output) -> bool:
    """Print the revisions of each ManagedSecret, the newest first; return whether an object is missing."""
    if selection.name:
        _print(await managed.one(cluster, selection.name), output)
        return False
    there = await find(cluster, selection)
    none = "" if there.found or there.failures else await describe_none(cluster, selection)
    if output.is_document:
        print_data({"items": [_named(one) for one in there.found]}, output)
    elif there.found:
        header = (*(("NAMESPACE",) if selection.everywhere else ()), "NAME", *_HEADER)
        lines = [[*_place(one, selection), *cells] for one in there.found for cells in _rows(one)]
        print_lines(table(header, lines, room()))
    elif none:
        print_lines(none)
    for failure in there.failures:
        print_lines(f"Error: {failure.message}", err=True)
    return bool(there.failures)


def _print(found: FoundManagedSecret, output: Output) -> None:
    if output.is_document:
        print_data({"items": _documents(found.managed.status)}, output)
        return
    rows = _rows(found)
    print_lines(table(_HEADER, rows, room()) if rows else f"{found.key.name} has no finished revision yet")


def _named(found: FoundManagedSecret) -> dict[str, Any]:
    revisions = _documents(found.managed.status)
    return {"namespace": found.key.namespace, "name": found.key.name, "revisions": revisions}


def _place(found: FoundManagedSecret, selection: Selection) -> list[str]:
    return [found.key.namespace, found.key.name] if selection.everywhere else [found.key.name]


def _rows(found: FoundManagedSecret) -> list[list[str]]:
    return [_cells(one) for one in _documents(found.managed.status)]


def _documents(status: ManagedSecretStatus) -> list[dict[str, Any]]:
    documents = [*_running(status), *(_document(one) for one in status.history)]
    current = next((one for one in documents if one["revision"] == status.revision), None)
    return [one | {"current": one is current} for one in documents]


def _running(status: ManagedSecretStatus) -> list[dict[str, Any]]:
    rotation = status.rotation
    if rotation is None or rotation.step in AFTER_THE_ROLLOUT:
        return []
    number = int(rotation.id.rpartition("/")[2])
    return [
        {
            "revision": number,
            "reason": rotation.reason,
            "startedAt": rotation.started_at,
            "finishedAt": None,
            "result": _RUNNING,
            "message": rotation.message,
        }
    ]


def _document(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "reason": entry.reason,
        "startedAt": entry.started_at,
        "finishedAt": entry.finished_at,
        "result": entry.result,
        "message": entry.message,
    }


def _cells(document: dict[str, Any]) -> list[str]:
    started, finished = document["startedAt"], document["finishedAt"]
    return [
        "*" if document["current"] else "",
        str(document["revision"]),
        document["reason"],
        clock(started),
        length(finished - started) if finished else NOTHING,
        document["result"],
        document["message"] or "",
    ]
