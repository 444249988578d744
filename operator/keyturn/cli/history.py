"""`keyturn history`: the revisions that were made, why, and how each ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.core.standing import AFTER_THE_ROLLOUT

from . import managed
from .options import Output
from .printing import print_json, print_lines
from .text import NOTHING, clock, length, room, table

if TYPE_CHECKING:
    from keyturn.api.status import HistoryEntry, ManagedSecretStatus

    from .cluster import Cluster

__all__ = ["show"]

_RUNNING = "Running"


async def show(cluster: Cluster, name: str, output: Output) -> None:
    """Print the revisions of one ManagedSecret, the newest first."""
    status = (await managed.one(cluster, name)).managed.status
    if output is Output.JSON:
        print_json({"items": _documents(status)})
        return
    header = ("CURRENT", "REVISION", "REASON", "STARTED", "TOOK", "RESULT")
    lines = [_cells(one) for one in _documents(status)]
    print_lines(table(header, lines, room()) if lines else f"{name} has no finished revision yet")


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
        }
    ]


def _document(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "reason": entry.reason,
        "startedAt": entry.started_at,
        "finishedAt": entry.finished_at,
        "result": entry.result,
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
    ]
