"""Status of incidents across namespaces, acknowledgement, and reports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from keyturn.api.emergency import EmergencyRotation
from keyturn.cli import managed
from keyturn.cli.cluster import sentence
from keyturn.cli.options import Output
from keyturn.cli.printing import print_data, print_document, print_lines, print_names, room, table
from keyturn.controllers.emergency.reconcile import FILE
from keyturn.core.emergency.status import needs_a_person
from keyturn.core.emergency.timeline import deadlines_of, open_stages, report_name, who_acknowledges
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.times import NOTHING, clock, length, until
from keyturn.kube import errors, paths
from keyturn.kube.cache.objects import parse
from keyturn.kube.wire import Patch
from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from keyturn.api.emergency import AffectedLogin
    from keyturn.cli.cluster import Cluster

Scope = tuple[str, ...] | None
"""The namespaces: None for all, empty for that of the context."""


_ANNOTATIONS = {"audit": ACKNOWLEDGE_AUDIT, "report": ACKNOWLEDGE_REPORT}
_PAUSE = 1.0
_SILENCE = 15.0
"""Seconds after which the state is printed again although it has not changed."""
_MOST_ROWS = 50


async def show(cluster: Cluster, incident: str | None, scope: Scope, output: Output) -> bool:
    """Print the status of each incident; return whether one requires manual action."""
    found = await (_find_declared(cluster, incident, scope) if incident else _find(cluster, None, scope))
    now = cluster.now()
    if output is Output.NAME:
        print_names((one.metadata.name for one in found), "emergencyrotation")
    elif output.is_document:
        print_data({"items": [_document(one, now) for one in found]}, output)
    elif not found:
        print_lines(f"no emergency is declared{_where(cluster, scope)}")
    else:
        print_lines(_table(found, now, output))
        if incident:
            print_lines(*_contacts(found), *_details(found), *_logins(found))
    return any(needs_a_person(one, now) for one in found)


async def acknowledge(
    cluster: Cluster, incident: str, what: str, by: str, scope: Scope, output: Output | None = None
) -> None:
    """Set the annotation that completes a stage of an incident."""
    annotation = _ANNOTATIONS[what]
    if not by.strip():
        raise click.UsageError("--by is empty; write the name of the person who acknowledges it")
    documents, failed = [], []
    for one in await _find_declared(cluster, incident, scope):
        name, namespace = one.metadata.name, one.metadata.namespace
        known = who_acknowledges(one, annotation)
        try:
            if not known:
                patch = {"metadata": {"annotations": {annotation: by}}}
                await cluster.api.patch(paths.emergency_rotation(namespace, name), patch, Patch.MERGE)
        except errors.ApiError as error:
            failed.append(f"in {namespace}: {sentence(error, cluster.server)}")
            continue
        said = f"unchanged: acknowledged by {known}" if known else f"{what} acknowledged"
        if output is None:
            print_lines(f"emergencyrotation/{name} in {namespace} {said}")
        place = {"namespace": namespace, "name": name, "incident": one.spec.incident}
        documents.append({**place, "stage": what, "changed": not known, "acknowledgedBy": known or by})
    if output is Output.NAME:
        print_names((str(one["name"]) for one in documents), "emergencyrotation")
    elif output:
        print_data({"items": documents}, output)
    if failed:
        raise click.ClickException("\n  ".join((f"{what} of {incident} is not acknowledged", *failed)))


async def report(cluster: Cluster, incident: str, scope: Scope) -> None:
    """Print the documents of an incident."""
    found = await _find_declared(cluster, incident, scope)
    parts = [await _report_of(cluster, one) for one in found]
    print_document("\n---\n\n".join(parts))


async def follow(
    cluster: Cluster, name: str, namespaces: list[str], patience: timedelta, *, err: bool = False
) -> None:
    """Print each change until every workload in the namespaces runs the new values."""
    told: dict[str, str] = {}
    began = last = loop_time()
    try:
        async with asyncio.timeout(patience.total_seconds()):
            while True:
                try:
                    found = [
                        parse(EmergencyRotation, await cluster.api.get(paths.emergency_rotation(one, name)))
                        for one in namespaces
                    ]
                except (errors.Unavailable, errors.Throttled):
                    await asyncio.sleep(_PAUSE)
                    continue
                is_silent = loop_time() - last >= _SILENCE
                for one in found:
                    said, is_done = _said(one), bool(one.status.services_updated_at)
                    is_same = told.get(one.metadata.namespace) == said
                    if not is_same or (is_silent and not is_done):
                        told[one.metadata.namespace], last = said, loop_time()
                        line = f"{last - began:6.1f} s  {one.metadata.namespace}: {'still ' if is_same else ''}{said}"
                        print_lines(line, err=err)
                if all(one.status.services_updated_at for one in found):
                    return
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        states = "".join(f"; {namespace}: {said}" for namespace, said in sorted(told.items()))
        raise click.ClickException(
            f"timed out after {length(patience)} waiting for {name}{states}. The operator continues,"
            f" see `keyturn emergency status {name}`"
        ) from None


def _said(one: EmergencyRotation) -> str:
    conditions = {condition.type: condition for condition in one.status.conditions}
    if "Stalled" in conditions:
        return f"manual action required: {conditions['Stalled'].message}"
    if one.status.rotated_at and "ServicesUpdated" in conditions:
        return conditions["ServicesUpdated"].message
    return conditions["Rotated"].message if "Rotated" in conditions else "waits for the operator"


async def _find_declared(cluster: Cluster, incident: str, scope: Scope) -> list[EmergencyRotation]:
    found = await _find(cluster, incident, scope)
    if not found:
        raise click.ClickException(f"no emergency {incident!r} is declared{_where(cluster, scope)}")
    return found


def _where(cluster: Cluster, scope: Scope) -> str:
    """Return where was searched, and how to search everywhere."""
    if scope is None:
        return ""
    return f" in namespace {', '.join(scope or (cluster.namespace,))}; use -A for all namespaces"


async def _find(cluster: Cluster, incident: str | None, scope: Scope) -> list[EmergencyRotation]:
    """Return the emergencies of an incident or of all, the newest incident first."""
    found: list[EmergencyRotation] = []
    for namespace in (None,) if scope is None else scope or (cluster.namespace,):
        known = len(found)
        async for page in cluster.api.pages(paths.emergency_rotations(namespace)):
            found += (parse(EmergencyRotation, body) for body in page.items)
        if namespace and len(found) == known:
            await managed.describe_empty(cluster.at(namespace))  # raises if it does not exist
    if incident is not None:
        asked = incident.lower()
        found = [one for one in found if asked in {one.metadata.name, (one.spec.incident or "").lower()}]
    found.sort(key=lambda one: (one.metadata.namespace, one.metadata.name))
    return sorted(found, key=lambda one: str(one.metadata.creation_timestamp or ""), reverse=True)


async def _report_of(cluster: Cluster, one: EmergencyRotation) -> str:
    namespace, name = one.metadata.namespace, report_name(one)
    try:
        body = await cluster.api.get(paths.config_map(namespace, name))
    except errors.NotFound:
        raise click.ClickException(
            f"the document of {one.metadata.name} in {namespace} is not written yet"
        ) from None
    return str((body.get("data") or {}).get(FILE, ""))


def _overdue(one: EmergencyRotation, now: datetime) -> list[str]:
    """Return overdue stages by the clock: a stopped operator updates no status."""
    return [stage for stage, due in open_stages(one).items() if due < now]


# Text


def _table(found: Iterable[EmergencyRotation], now: datetime, output: Output) -> str:
    header = ("NAMESPACE", "NAME", "SECRETS", "ROTATED", "UPDATED", "AUDITED", "DOCUMENTED", "NEXT DEADLINE")
    wide = ("INCIDENT", "REASON") if output is Output.WIDE else ()
    return table((*header, *wide), [_cells(one, now, output) for one in found], room())


def _cells(one: EmergencyRotation, now: datetime, output: Output) -> list[str]:
    status, started = one.status, one.metadata.creation_timestamp or now
    deadlines, late = deadlines_of(started), _overdue(one, now)
    due = min(open_stages(one).values(), default=None)
    wide = [one.spec.incident or "", one.spec.reason] if output is Output.WIDE else []
    return [
        one.metadata.namespace,
        one.metadata.name,
        status.progress or NOTHING,
        *(
            f"after {length(stamp - started)}{' (late)' if stamp > deadlines[stage] else ''}"
            if stamp
            else "overdue"
            if stage in late
            else NOTHING
            for stage, stamp in status.stage_times.items()
        ),
        until(due, now),
        *wide,
    ]


def _contacts(found: Iterable[EmergencyRotation]) -> list[str]:
    """Return the contacts of the organisation and of the declarations, each once."""
    listed: dict[tuple[str, str], None] = {}
    for one in found:
        own = {"Contact": one.spec.contact} if one.spec.contact else {}
        listed |= dict.fromkeys((own | (one.status.contacts or {})).items())
    return ["", table(("ROLE", "CONTACT"), [list(row) for row in listed], room())] if listed else []


def _details(found: Iterable[EmergencyRotation]) -> list[str]:
    rows = [
        [
            one.metadata.namespace,
            secret.name,
            secret.state,
            str(secret.revision or NOTHING),
            secret.message or "",
        ]
        for one in found
        for secret in one.status.secrets
        if not secret.state.is_done or secret.message
    ]
    if not rows:
        return []
    more = [f"and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
    header = ("NAMESPACE", "MANAGEDSECRET", "STATE", "REVISION", "MESSAGE")
    return ["", table(header, rows[:_MOST_ROWS], room()), *more]


def _logins(found: Iterable[EmergencyRotation]) -> list[str]:
    """Return the database logins with exposed passwords, those that may still be accepted first."""
    exposed = [
        (one.metadata.namespace, secret.name, login)
        for one in found
        for secret in one.status.secrets
        for login in secret.logins or ()
    ]
    exposed.sort(key=lambda row: row[2].refused_at is not None)
    if not exposed:
        return []
    rows = [
        [namespace, name, login.login, str(login.revision or NOTHING), _proof(login)]
        for namespace, name, login in exposed[:_MOST_ROWS]
    ]
    more = [f"and {len(exposed) - _MOST_ROWS} more"] if len(exposed) > _MOST_ROWS else []
    header = ("NAMESPACE", "MANAGEDSECRET", "OLD LOGIN", "REVISION", "AT THE DATABASE")
    return ["", table(header, rows, room()), *more]


def _proof(login: AffectedLogin) -> str:
    if login.refused_at:
        return f"refused since {clock(login.refused_at)}"
    return f"may still be accepted: {login.message}" if login.message else "may still be accepted"


# JSON and YAML


def _document(one: EmergencyRotation, now: datetime) -> dict[str, Any]:
    status = one.status
    return {
        "namespace": one.metadata.namespace,
        "name": one.metadata.name,
        "incident": one.spec.incident,
        "reason": one.spec.reason,
        "contact": one.spec.contact,
        "contacts": status.contacts or {},
        "startedAt": one.metadata.creation_timestamp,
        "rotatedAt": status.rotated_at,
        "servicesUpdatedAt": status.services_updated_at,
        "accessAuditAt": status.access_audit_at,
        "documentedAt": status.documented_at,
        "deadlines": open_stages(one),
        "overdue": _overdue(one, now),
        "needsAPerson": needs_a_person(one, now),
        "secrets": [
            {
                "name": secret.name,
                "state": secret.state,
                "revision": secret.revision,
                "message": secret.message,
                "elsewhere": secret.elsewhere or 0,
                "logins": [
                    {
                        "login": login.login,
                        "revision": login.revision,
                        "refusedAt": login.refused_at,
                        "message": login.message,
                    }
                    for login in secret.logins or ()
                ],
            }
            for secret in status.secrets
        ],
    }
