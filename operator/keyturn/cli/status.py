"""`keyturn status`: what is due, overdue, rolling or failed, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from keyturn.api.status import WorkloadState
from keyturn.core.standing import Standing, standing_of
from keyturn.core.wanted import secret_of

from . import managed
from .options import Output
from .printing import print_json, print_lines
from .text import NOTHING, room, since, table, until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.status import WorkloadStatus

    from .cluster import Cluster
    from .managed import Found

__all__ = ["Row", "rows_of", "show_all", "show_one"]

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of one ManagedSecret."""

    found: Found
    standing: Standing
    now: datetime

    @property
    def order(self) -> tuple[int, datetime, str, str]:
        key, due = self.found.key, self.found.managed.status.next_rotation_time
        return self.standing.state.rank, due or _NEVER, key.namespace, key.name


def rows_of(everything: Iterable[Found], now: datetime) -> list[Row]:
    """Judge every ManagedSecret and put the worst first."""
    return sorted((Row(one, standing_of(one, now), now) for one in everything), key=lambda row: row.order)


async def show_all(cluster: Cluster, namespace: str | None, output: Output) -> bool:
    """Print a line for each of a namespace, or of all; say whether one needs a person."""
    everything = await managed.all_of(cluster, namespace)
    rows = rows_of(everything, cluster.now())
    if output is Output.JSON:
        print_json({"items": [_document(row) for row in rows]})
    elif rows:
        print_lines(_table(rows, output, with_namespace=namespace is None))
    else:
        place = f"namespace {namespace!r}" if namespace else "the cluster"
        print_lines(f"there is no ManagedSecret in {place}")
    return any(row.standing.state.needs_a_person for row in rows)


async def show_one(cluster: Cluster, name: str, output: Output) -> bool:
    """Print one with its workloads; say whether it needs a person."""
    found = await managed.one(cluster, name)
    (row,) = rows_of([found], cluster.now())
    if output is Output.JSON:
        print_json(_document(row) | {"workloads": _workloads_document(found)})
    else:
        print_lines(*_details(row, output))
    return row.standing.state.needs_a_person


# For people


def _table(rows: list[Row], output: Output, *, with_namespace: bool) -> str:
    is_wide = output is Output.WIDE
    header = ["NAME", "STATE", "REVISION", "WORKLOADS", "ROTATED", "NEXT"]
    header = [*(["NAMESPACE"] if with_namespace else []), *header]
    header += [*(["CLASS", "OWNER", "SECRET"] if is_wide else []), "MESSAGE"]
    lines = [
        [
            *([row.found.key.namespace] if with_namespace else []),
            *_cells(row),
            *(_more_cells(row) if is_wide else []),
            row.standing.message,
        ]
        for row in rows
    ]
    return table(header, lines, room())


def _cells(row: Row) -> list[str]:
    status = row.found.managed.status
    return [
        row.found.key.name,
        row.standing.state,
        str(status.revision or NOTHING),
        _count(status.workloads),
        f"{since(status.last_rotation_time, row.now)} ago" if status.last_rotation_time else NOTHING,
        until(status.next_rotation_time, row.now),
    ]


def _more_cells(row: Row) -> list[str]:
    spec = row.found.managed.spec
    return [spec.class_name or "", spec.owner or "", row.found.managed.status.secret_name or ""]


def _count(workloads: list[WorkloadStatus]) -> str:
    return f"{_current(workloads)}/{len(workloads)}" if workloads else NOTHING


def _current(workloads: list[WorkloadStatus]) -> int:
    return sum(one.state is WorkloadState.CURRENT for one in workloads)


def _details(row: Row, output: Output) -> list[str]:
    lines = [_table([row], output, with_namespace=False)]
    if workloads := row.found.managed.status.workloads:
        header = ("KIND", "NAME", "USES IT BY", "STATE", "REVISION", "MESSAGE")
        lines += ["", table(header, [_workload_cells(one) for one in workloads], room())]
    return lines


def _workload_cells(one: WorkloadStatus) -> list[str]:
    via = ", ".join(one.via)
    return [one.kind, one.name, via, one.state, str(one.revision or NOTHING), one.message or ""]


# For programs


def _document(row: Row) -> dict[str, Any]:
    metadata, spec, status = row.found.managed.metadata, row.found.managed.spec, row.found.managed.status
    return {
        "namespace": metadata.namespace,
        "name": metadata.name,
        "state": row.standing.state,
        "message": row.standing.message,
        "revision": status.revision,
        "step": status.rotation.step if status.rotation else None,
        "workloadsCurrent": _current(status.workloads),
        "workloadsTotal": len(status.workloads),
        "lastRotationTime": status.last_rotation_time,
        "nextRotationTime": status.next_rotation_time,
        "suspended": bool(spec.suspend),
        "secretName": status.secret_name or secret_of(row.found.managed),
        "className": spec.class_name,
        "owner": spec.owner,
    }


def _workloads_document(found: Found) -> list[dict[str, Any]]:
    return [
        {
            "kind": one.kind,
            "name": one.name,
            "via": list(one.via),
            "state": one.state,
            "revision": one.revision,
            "reason": one.reason,
            "message": one.message,
        }
        for one in found.managed.status.workloads
    ]
