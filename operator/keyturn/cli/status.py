"""`keyturn status` and `keyturn history`: ManagedSecrets, the most urgent first, and the revisions of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keyturn.api.workloads import DONE
from keyturn.core.labels import ROTATE
from keyturn.core.reasons import ConditionReason
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

from .cluster import Cluster
from .managed import FoundManagedSecret, describe_none, find, picked, print_failures, shown_in
from .options import Output, Selection, exit_code
from .printing import print_data, print_lines, print_names, room, table

if TYPE_CHECKING:
    from keyturn.api.status import ManagedSecretStatus

_NEVER = datetime.max.replace(tzinfo=UTC)
_GRACE: Final = timedelta(minutes=1)
"""Time in which a leader takes up a change."""
_SILENT: Final = frozenset(
    {SummaryState.BEHIND, SummaryState.NOT_COMPLIANT, SummaryState.HELD, SummaryState.DUE, SummaryState.READY}
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


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A row for one ManagedSecret."""

    found: FoundManagedSecret
    summary: Summary
    now: datetime

    @property
    def status(self) -> ManagedSecretStatus:
        return self.found.managed.status

    @property
    def written(self) -> dict[str, Any]:
        """The status as the API server has it."""
        return self.found.body.get("status") or {}

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


async def show(cluster: Cluster, selection: Selection, output: Output) -> int:
    """Print one object with its workloads, or a line for each of several; return the exit code."""
    there, leader = await asyncio.gather(find(cluster, selection, shown_in), leadership(cluster))
    rows = rows_of(there.found, cluster.now(), lives=leader.lives)
    none = "" if rows or there.failures else await describe_none(cluster, selection)
    if output is Output.NAME:
        print_names(row.found.key.name for row in rows)
    elif output.is_document and selection.name:
        workloads = rows[0].written.get("workloads") or ()
        shown = [picked({"via": [], **one}, *_OF_WORKLOAD) for one in workloads]
        print_data(document(rows[0]) | {"workloads": shown}, output)
    elif output.is_document:
        print_data({"items": [document(row) for row in rows]}, output)
    elif none:
        print_lines(none)
    elif rows:
        header = header_of(output, selection)
        lines: list[str] = [table(header, [cells_of(row, output, selection) for row in rows], room())]
        print_lines(*lines, *(details_of(rows[0]) if selection.name else []))
    print_failures(there.failures)
    if leader.line:
        is_text = output in {Output.TABLE, Output.WIDE}
        print_lines(*(["", leader.line] if is_text else [leader.line]), err=not is_text)
    needs_a_person = leader.lives is False or any(row.summary.state.needs_a_person for row in rows)
    return exit_code(has_failed=bool(there.failures), needs_a_person=needs_a_person)


# Text


def header_of(output: Output, selection: Selection) -> list[str]:
    header = ["NAME", "STATE", "REVISION", "WORKLOADS", "ROTATED", "NEXT"]
    header = [*(["NAMESPACE"] if selection.everywhere else []), *header]
    return [*header, *(["CLASS", "OWNER", "SECRET"] if output is Output.WIDE else []), "MESSAGE"]


def cells_of(row: StatusRow, output: Output, selection: Selection) -> list[str]:
    """Return the cells of a row."""
    status, spec = row.status, row.found.managed.spec
    more = [status.class_name or spec.class_name or "", spec.owner or "", status.secret_name or ""]
    return [
        *([row.found.key.namespace] if selection.everywhere else []),
        row.found.key.name,
        row.summary.state,
        str(status.revision or NOTHING),
        done_of(status.workloads) or NOTHING,
        f"{since(status.last_rotation_time, row.now)} ago" if status.last_rotation_time else NOTHING,
        until(status.next_rotation_time, row.now),
        *(more if output is Output.WIDE else []),
        row.summary.message,
    ]


def details_of(row: StatusRow) -> list[str]:
    status, now = row.status, row.now
    workloads = [
        (one.kind, one.name, ", ".join(one.via), one.state, str(one.revision or NOTHING), one.message or "")
        for one in status.workloads
    ]
    values = [
        (
            one.name,
            one.schedule or NOTHING,
            f"{since(one.last_rotation_time, now)} ago",
            until(one.next_rotation_time, now),
        )
        for one in status.values or ()
    ]
    logins = [
        (one.login, str(one.revision), describe_phase(one.phase), clock(one.since))
        for one in status.credentials or ()
    ]
    tables = (
        (("KIND", "NAME", "USES IT BY", "STATE", "REVISION", "MESSAGE"), workloads),
        (("VALUE", "SCHEDULE", "ROTATED", "NEXT"), values),
        (("LOGIN", "REVISION", "STATE", "SINCE"), logins),
    )
    lines = [line for header, cells in tables if cells for line in ("", table(header, cells, room()))]
    leases = status.unrevoked_leases
    return [*lines, "", f"Note: {leases.message}"] if leases else lines


# JSON and YAML


_OF_WORKLOAD = ("kind", "name", "via", "state", "revision", "reason", "message")
_OF_CREDENTIAL = ("login", "revision", "phase", "since", "provenAt")
_OF_LEASES = ("count", "validUntil", "since", "message")


def document(row: StatusRow) -> dict[str, Any]:
    """Return the document of a row."""
    key, spec, status = row.found.key, row.found.managed.spec, row.status
    credentials, leases = row.written.get("credentials") or (), row.written.get("unrevokedLeases")
    target = row.found.body["spec"].get("target") or {}
    return {
        "namespace": key.namespace,
        "name": key.name,
        "state": row.summary.state,
        "message": row.summary.message,
        "step": status.rotation.step if status.rotation else None,
        "workloadsCurrent": sum(one.state in DONE for one in status.workloads),
        "workloadsTotal": len(status.workloads),
        "suspended": bool(spec.suspend),
        "secretName": status.secret_name or target.get("name") or key.name,
        "className": status.class_name or spec.class_name,
        "owner": spec.owner,
        **picked(row.written, "revision", "lastRotationTime", "nextRotationTime"),
        "credentials": [picked(one, *_OF_CREDENTIAL) for one in credentials],
        "unrevokedLeases": picked(leases, *_OF_LEASES) if leases else None,
    }


# keyturn history: revisions with reason and result

_OF_HISTORY = ("revision", "reason", "startedAt", "finishedAt", "result", "message")
_HEADER = ("NAMESPACE", "NAME", "CURRENT", "REVISION", "REASON", "STARTED", "TOOK", "RESULT", "MESSAGE")


async def show_history(cluster: Cluster, selection: Selection, output: Output) -> int:
    """Print the revisions of each ManagedSecret, the newest first; return the exit code."""
    there = await find(cluster, selection, shown_in)
    none = "" if there.found or there.failures else await describe_none(cluster, selection)
    revisions = [(one.key, revisions_of(one)) for one in there.found]
    if output.is_document and selection.name:
        print_data({"items": revisions[0][1]}, output)
    elif output.is_document:
        items = [{"namespace": key.namespace, "name": key.name, "revisions": each} for key, each in revisions]
        print_data({"items": items}, output)
    elif selection.name and not revisions[0][1]:
        print_lines(f"{selection.name} has no finished revision yet")
    elif revisions:
        lines = [[key.namespace, key.name, *_history_cells(one)] for key, each in revisions for one in each]
        first = 2 if selection.name else 0 if selection.everywhere else 1
        print_lines(table(_HEADER[first:], [line[first:] for line in lines], room()))
    elif none:
        print_lines(none)
    print_failures(there.failures)
    return exit_code(has_failed=bool(there.failures))


def revisions_of(one: FoundManagedSecret) -> list[dict[str, Any]]:
    written = (one.body.get("status") or {}).get("history") or ()
    read = (picked(entry, *_OF_HISTORY) for entry in written)
    found = [entry for entry in read if entry["startedAt"] and entry["finishedAt"]]
    status, rotation = one.managed.status, one.managed.status.rotation
    if rotation and rotation.step not in AFTER_THE_ROLLOUT:
        running = {"revision": int(rotation.id.rpartition("/")[2]), "reason": rotation.reason}
        running |= {"startedAt": rotation.started_at, "finishedAt": None, "result": "Running"}
        found.insert(0, {**running, "message": rotation.message})
    current = next((one for one in found if one["revision"] == status.revision), None)
    return [one | {"current": one is current} for one in found]


def _history_cells(revision: dict[str, Any]) -> list[str]:
    started, finished = revision["startedAt"], revision["finishedAt"]
    return [
        "*" if revision["current"] else "",
        str(revision["revision"]),
        revision["reason"],
        clock(started),
        length(finished - started) if finished else NOTHING,
        revision["result"],
        revision["message"] or "",
    ]
