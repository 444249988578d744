"""`keyturn status`: due, overdue, rolling and failed ManagedSecrets, the most urgent first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from keyturn.core.spec.desired import secret_of
from keyturn.core.status.summary import Summary, describe_phase, done_of, summary_of

from . import managed
from .options import Output, Selection
from .printing import print_data, print_lines, print_names
from .selection import find
from .text import NOTHING, clock, room, since, table, until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.status import CredentialStatus, UnrevokedLeases, WorkloadStatus

    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .selection import Failure

__all__ = [
    "Shown",
    "StatusRow",
    "cells_of",
    "describe_none",
    "document",
    "header_of",
    "rows_of",
    "show",
]

_NEVER = datetime.max.replace(tzinfo=UTC)


class Shown(NamedTuple):
    """Result of the command."""

    needs_a_person: bool
    has_failed: bool


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A row for one ManagedSecret."""

    found: FoundManagedSecret
    summary: Summary
    now: datetime

    @property
    def order(self) -> tuple[int, datetime, str, str]:
        key, due = self.found.key, self.found.managed.status.next_rotation_time
        return self.summary.state.rank, due or _NEVER, key.namespace, key.name


def rows_of(everything: Iterable[FoundManagedSecret], now: datetime) -> list[StatusRow]:
    """Return the rows, the most urgent first."""
    return sorted(
        (StatusRow(one, summary_of(one, now), now) for one in everything), key=lambda row: row.order
    )


async def show(cluster: Cluster, selection: Selection, output: Output) -> Shown:
    """Print one object with its workloads, or a line for each of several; return the result."""
    if selection.name:
        found = [await managed.one(cluster, selection.name)]
        failures: tuple[Failure, ...] = ()
    else:
        there = await find(cluster, selection)
        found, failures = list(there.found), there.failures
    rows = rows_of(found, cluster.now())
    none = "" if rows or failures else await describe_none(cluster, selection)
    if output is Output.NAME:
        print_names(row.found.key.name for row in rows)
    elif output.is_document:
        print_data(_whole(rows, selection), output)
    elif none:
        print_lines(none)
    elif rows:
        print_lines(*_text(rows, selection, output))
    for failure in failures:
        print_lines(f"Error: {failure.message}", err=True)
    return Shown(any(row.summary.state.needs_a_person for row in rows), bool(failures))


async def describe_none(cluster: Cluster, selection: Selection) -> str:
    """Return the message for no objects; the namespace may be missing.

    Raises:
        click.ClickException: The namespace does not exist.
    """
    if selection.everywhere:
        return f"there is no ManagedSecret{selection} in the cluster"
    unknown = await managed.describe_empty(cluster)
    return f"there is no ManagedSecret{selection} in namespace {cluster.namespace!r}{unknown}"


def _whole(rows: list[StatusRow], selection: Selection) -> dict[str, Any]:
    if not selection.name:
        return {"items": [document(row) for row in rows]}
    (row,) = rows
    return document(row) | {"workloads": _workloads_document(row.found)}


def _text(rows: list[StatusRow], selection: Selection, output: Output) -> list[str]:
    if selection.name:
        return _details(rows[0], output)
    header = header_of(output, selection)
    return [table(header, [cells_of(row, output, selection) for row in rows], room())]


# Text


def header_of(output: Output, selection: Selection) -> list[str]:
    header = ["NAME", "STATE", "REVISION", "WORKLOADS", "ROTATED", "NEXT"]
    header = [*(["NAMESPACE"] if selection.everywhere else []), *header]
    return [*header, *(["CLASS", "OWNER", "SECRET"] if output is Output.WIDE else []), "MESSAGE"]


def cells_of(row: StatusRow, output: Output, selection: Selection) -> list[str]:
    """Return the cells of a row."""
    return [
        *([row.found.key.namespace] if selection.everywhere else []),
        *_cells(row),
        *(_more_cells(row) if output is Output.WIDE else []),
        row.summary.message,
    ]


def _cells(row: StatusRow) -> list[str]:
    status = row.found.managed.status
    return [
        row.found.key.name,
        row.summary.state,
        str(status.revision or NOTHING),
        done_of(status.workloads) or NOTHING,
        f"{since(status.last_rotation_time, row.now)} ago" if status.last_rotation_time else NOTHING,
        until(status.next_rotation_time, row.now),
    ]


def _more_cells(row: StatusRow) -> list[str]:
    spec, status = row.found.managed.spec, row.found.managed.status
    return [status.class_name or spec.class_name or "", spec.owner or "", status.secret_name or ""]


def _current(workloads: list[WorkloadStatus]) -> int:
    return sum(one.state.is_done for one in workloads)


def _details(row: StatusRow, output: Output) -> list[str]:
    alone = Selection((row.found.key.name,))
    lines: list[str] = [table(header_of(output, alone), [cells_of(row, output, alone)], room())]
    if workloads := row.found.managed.status.workloads:
        header = ("KIND", "NAME", "USES IT BY", "STATE", "REVISION", "MESSAGE")
        lines += ["", table(header, [_workload_cells(one) for one in workloads], room())]
    if credentials := row.found.managed.status.credentials:
        columns = ("LOGIN", "REVISION", "STATE", "SINCE")
        lines += ["", table(columns, [_credential_cells(one) for one in credentials], room())]
    if leases := row.found.managed.status.unrevoked_leases:
        lines += ["", f"Note: {leases.message}"]
    return lines


def _credential_cells(one: CredentialStatus) -> list[str]:
    return [one.login, str(one.revision), describe_phase(one.phase), clock(one.since)]


def _workload_cells(one: WorkloadStatus) -> list[str]:
    via = ", ".join(one.via)
    return [one.kind, one.name, via, one.state, str(one.revision or NOTHING), one.message or ""]


# JSON and YAML


def document(row: StatusRow) -> dict[str, Any]:
    """Return the document of a row."""
    metadata, spec, status = row.found.managed.metadata, row.found.managed.spec, row.found.managed.status
    return {
        "namespace": metadata.namespace,
        "name": metadata.name,
        "state": row.summary.state,
        "message": row.summary.message,
        "revision": status.revision,
        "step": status.rotation.step if status.rotation else None,
        "workloadsCurrent": _current(status.workloads),
        "workloadsTotal": len(status.workloads),
        "lastRotationTime": status.last_rotation_time,
        "nextRotationTime": status.next_rotation_time,
        "suspended": bool(spec.suspend),
        "secretName": status.secret_name or secret_of(row.found.managed),
        "className": status.class_name or spec.class_name,
        "owner": spec.owner,
        "credentials": [
            {
                "login": one.login,
                "revision": one.revision,
                "phase": one.phase,
                "since": one.since,
                "provenAt": one.proven_at,
            }
            for one in status.credentials or ()
        ],
        "unrevokedLeases": _leases_document(status.unrevoked_leases),
    }


def _leases_document(leases: UnrevokedLeases | None) -> dict[str, Any] | None:
    if leases is None:
        return None
    return {
        "count": leases.count,
        "validUntil": leases.valid_until,
        "since": leases.since,
        "message": leases.message,
    }


def _workloads_document(found: FoundManagedSecret) -> list[dict[str, Any]]:
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
