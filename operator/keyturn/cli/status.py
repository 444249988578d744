"""`keyturn status` and `keyturn history`: ManagedSecrets, the most urgent first, and the revisions of one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keyturn.core.labels import ROTATE
from keyturn.core.reasons import ConditionReason
from keyturn.core.spec.desired import secret_of
from keyturn.core.status.summary import (
    AFTER_THE_ROLLOUT,
    Summary,
    SummaryState,
    condition,
    describe_phase,
    done_of,
    summary_of,
)
from keyturn.core.times import NOTHING, clock, length, since, until
from keyturn.installation.checks import Result, election
from keyturn.kube import config, errors, paths
from keyturn.kube.leader_election import LEASE

from . import managed
from .managed import find
from .options import Output, Selection
from .printing import print_data, print_lines, print_names, room, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyturn.api.status import (
        HistoryEntry,
        ManagedSecretStatus,
        UnrevokedLeases,
        ValueStatus,
        WorkloadStatus,
    )

    from .cluster import Cluster
    from .managed import Failure, FoundManagedSecret

_NEVER = datetime.max.replace(tzinfo=UTC)
_GRACE: Final = timedelta(minutes=1)
"""Time in which a leader takes up a change."""
_SILENT: Final = frozenset(
    {
        SummaryState.BEHIND,
        SummaryState.NOT_COMPLIANT,
        SummaryState.HELD,
        SummaryState.DUE,
        SummaryState.READY,
    }
)
"""States that do not explain why a requested rotation has not started."""
_SILENT_REASONS: Final = frozenset({ConditionReason.IDLE, ConditionReason.DUE, ConditionReason.HELD})
"""Reasons of Rotating that do not explain it either."""


class Leadership(NamedTuple):
    """What the Lease tells of the operator."""

    lives: bool | None = None
    """None if it is unknown."""
    line: str = ""
    """Empty while a replica leads."""


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


def rows_of(
    everything: Iterable[FoundManagedSecret], now: datetime, *, lives: bool | None = None
) -> list[StatusRow]:
    """Return the rows, the most urgent first; `lives` is whether a replica leads."""
    rows = (StatusRow(one, _summary(one, now, lives=lives), now) for one in everything)
    return sorted(rows, key=lambda row: row.order)


def _summary(one: FoundManagedSecret, now: datetime, *, lives: bool | None) -> Summary:
    """Judge by the status, unless the object has a change that no replica has taken up."""
    summary = summary_of(one, now)
    if summary.state.rank <= SummaryState.UNSEEN.rank:
        return summary
    least = timedelta() if lives is False else _GRACE
    for made, what in _changes_not_taken_up(one, summary.state):
        if now - made >= least:
            check = "check that the operator runs and watches this namespace: `keyturn check`"
            return Summary(SummaryState.UNSEEN, f"{what} {since(made, now)} ago; {check}")
    return summary


def _changes_not_taken_up(one: FoundManagedSecret, state: SummaryState) -> Iterator[tuple[datetime, str]]:
    """Yield the time and the description of each change that the status does not answer."""
    metadata, status = one.managed.metadata, one.managed.status
    seen = status.observed_generation
    if seen is not None and metadata.generation > seen and (made := _set_at(one, "f:spec")):
        yield made, "the operator has not reconciled the spec that was changed"
    trigger, rotating = metadata.annotations.get(ROTATE), condition(one.managed, "Rotating")
    if not trigger or trigger == status.last_trigger or state not in _SILENT:
        return
    if rotating and rotating.reason not in _SILENT_REASONS:
        return
    made = _set_at(one, "f:metadata", "f:annotations", f"f:{ROTATE}")
    # A later rotation has handled the annotation too, although its own trigger is the last one.
    if made and (status.last_rotation_time is None or made > status.last_rotation_time):
        yield made, "the operator has not started the rotation that was requested"


def _set_at(one: FoundManagedSecret, *path: str) -> datetime | None:
    """Return when a field was last set, by the API server's record of field managers."""
    times = []
    for entry in one.body["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1")
        for name in path:
            fields = (fields or {}).get(name)
        if fields is not None and not entry.get("subresource"):
            times.append(datetime.fromisoformat(entry["time"]))
    return max(times, default=None)


async def leadership(cluster: Cluster) -> Leadership:
    """Read whether a replica leads."""
    namespace = config.own_namespace()
    try:
        found = await election.look(cluster.api, namespace)
    except errors.Forbidden as error:
        return Leadership(line=f"Operator: unknown: you may not {error.verb} {paths.described(error.path)}")
    except errors.ApiError as error:
        return Leadership(line=f"Operator: unknown: the Lease was not read ({error.reason})")
    if found is None:
        missing = f"there is no Lease {LEASE} in namespace {namespace}; POD_NAMESPACE names another one"
        return Leadership(line=f"Operator: unknown: {missing}")
    point = election.leader_point(found, namespace)
    if point.result is Result.FAILED:
        return Leadership(lives=False, line=f"Operator: {point.found}")
    return Leadership(lives=True)


async def show(cluster: Cluster, selection: Selection, output: Output) -> Shown:
    """Print one object with its workloads, or a line for each of several; return the result."""
    (found, failures), leader = await asyncio.gather(_find(cluster, selection), leadership(cluster))
    rows = rows_of(found, cluster.now(), lives=leader.lives)
    none = "" if rows or failures else await describe_none(cluster, selection)
    if output is Output.NAME:
        print_names(row.found.key.name for row in rows)
    elif output.is_document:
        documents = [document(row) for row in rows]
        if selection.name:
            documents[0] |= {"workloads": _workloads_document(rows[0].found)}
        print_data(documents[0] if selection.name else {"items": documents}, output)
    elif none:
        print_lines(none)
    elif rows:
        header = header_of(output, selection)
        lines: list[str] = [table(header, [cells_of(row, output, selection) for row in rows], room())]
        print_lines(*lines, *(_details(rows[0]) if selection.name else []))
    for failure in failures:
        print_lines(f"Error: {failure.message}", err=True)
    if leader.line:
        is_text = output in {Output.TABLE, Output.WIDE}
        print_lines(*(["", leader.line] if is_text else [leader.line]), err=not is_text)
    needs_a_person = leader.lives is False or any(row.summary.state.needs_a_person for row in rows)
    return Shown(needs_a_person, bool(failures))


async def _find(
    cluster: Cluster, selection: Selection
) -> tuple[tuple[FoundManagedSecret, ...], tuple[Failure, ...]]:
    if selection.name:
        return (await managed.one(cluster, selection.name),), ()
    there = await find(cluster, selection)
    return there.found, there.failures


async def describe_none(cluster: Cluster, selection: Selection) -> str:
    """Return the message for no objects; the namespace may be missing.

    Raises:
        click.ClickException: The namespace does not exist.
    """
    if selection.everywhere:
        return f"there is no ManagedSecret{selection} in the cluster"
    unknown = await managed.describe_empty(cluster)
    return f"there is no ManagedSecret{selection} in namespace {cluster.namespace!r}{unknown}"


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


def _details(row: StatusRow) -> list[str]:
    lines: list[str] = []
    if workloads := row.found.managed.status.workloads:
        header = ("KIND", "NAME", "USES IT BY", "STATE", "REVISION", "MESSAGE")
        lines += ["", table(header, [_workload_cells(one) for one in workloads], room())]
    if values := row.found.managed.status.values:
        cells = [_value_cells(one, row.now) for one in values]
        lines += ["", table(("VALUE", "SCHEDULE", "ROTATED", "NEXT"), cells, room())]
    if credentials := row.found.managed.status.credentials:
        columns = ("LOGIN", "REVISION", "STATE", "SINCE")
        rows = [
            [one.login, str(one.revision), describe_phase(one.phase), clock(one.since)] for one in credentials
        ]
        lines += ["", table(columns, rows, room())]
    if leases := row.found.managed.status.unrevoked_leases:
        lines += ["", f"Note: {leases.message}"]
    return lines


def _value_cells(one: ValueStatus, now: datetime) -> list[str]:
    rotated = f"{since(one.last_rotation_time, now)} ago"
    return [one.name, one.schedule or NOTHING, rotated, until(one.next_rotation_time, now)]


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
        "workloadsCurrent": sum(one.state.is_done for one in status.workloads),
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


# keyturn history: revisions with reason and result

_RUNNING = "Running"
_HEADER = ("CURRENT", "REVISION", "REASON", "STARTED", "TOOK", "RESULT", "MESSAGE")


async def show_history(cluster: Cluster, selection: Selection, output: Output) -> bool:
    """Print the revisions of each ManagedSecret, the newest first; return whether an object is missing."""
    if selection.name:
        found = await managed.one(cluster, selection.name)
        if output.is_document:
            print_data({"items": _documents(found.managed.status)}, output)
        else:
            rows = _rows(found)
            print_lines(
                table(_HEADER, rows, room()) if rows else f"{found.key.name} has no finished revision yet"
            )
        return False
    there = await find(cluster, selection)
    none = "" if there.found or there.failures else await describe_none(cluster, selection)
    if output.is_document:
        items = [
            {
                "namespace": one.key.namespace,
                "name": one.key.name,
                "revisions": _documents(one.managed.status),
            }
            for one in there.found
        ]
        print_data({"items": items}, output)
    elif there.found:
        header = ("NAMESPACE", "NAME", *_HEADER)
        lines = [[one.key.namespace, one.key.name, *cells] for one in there.found for cells in _rows(one)]
        first = 0 if selection.everywhere else 1
        print_lines(table(header[first:], [line[first:] for line in lines], room()))
    elif none:
        print_lines(none)
    for failure in there.failures:
        print_lines(f"Error: {failure.message}", err=True)
    return bool(there.failures)


def _rows(found: FoundManagedSecret) -> list[list[str]]:
    return [_history_cells(one) for one in _documents(found.managed.status)]


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


def _history_cells(document: dict[str, Any]) -> list[str]:
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
