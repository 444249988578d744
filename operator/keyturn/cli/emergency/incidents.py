"""Declares incidents, one EmergencyRotation per namespace with a common number; shows and acknowledges them."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click
import pydantic

from keyturn.api import API_VERSION
from keyturn.api.base import validation_sentence
from keyturn.api.emergency import EmergencyRotation
from keyturn.cli import managed
from keyturn.cli.cluster import Cluster, sentence
from keyturn.cli.managed import confirm
from keyturn.cli.options import Output
from keyturn.cli.printing import listed, print_data, print_document, print_lines, print_names, room, table
from keyturn.core.emergency.status import absent_items, needs_a_person
from keyturn.core.emergency.timeline import (
    REPORT_FILE,
    deadlines_of,
    open_stages,
    report_name,
    who_acknowledges,
)
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.observation.emergency import EmergencyScope
from keyturn.core.texts import FEW, first_of
from keyturn.core.times import NOTHING, length, until
from keyturn.kube import errors, paths
from keyturn.kube.cache.objects import parse
from keyturn.kube.wire import Patch
from keyturn.runtime.clock import loop_time

Scope = tuple[str, ...] | None
"""The namespaces: None for all, empty for that of the context."""

_NEW = "declared"
_LONGEST_NAME = 63
_WORD = r"[A-Za-z0-9](?:[-\w.]*[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?/)?{_WORD}"
_REQUIREMENT = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_KEY})|(?P<key>{_KEY})(?:\s*(?P<sign>==?|!=)\s*(?P<value>(?:{_WORD})?)"
    rf"|\s+(?P<set>in|notin)\s*\((?P<values>\s*{_WORD}\s*(?:,\s*{_WORD}\s*)*)\))?)\s*",
    re.ASCII,
)
"""A requirement of a selector in kubectl's syntax."""
_BETWEEN = re.compile(r",(?![^(]*\))")
"""A comma that is in no parentheses."""
_ANNOTATIONS = {"audit": ACKNOWLEDGE_AUDIT, "report": ACKNOWLEDGE_REPORT}
_PAUSE = 1.0
_MOST_ROWS = 50


# Declaration


def selector_in(written: str) -> dict[str, Any]:
    """Parse a selector in kubectl's syntax, such as team=auth,tier in (gold,silver),!old."""
    return {"matchExpressions": [_expression(part) for part in _BETWEEN.split(written)]}


def _expression(part: str) -> dict[str, Any]:
    found = _REQUIREMENT.fullmatch(part)
    if found is None:
        raise click.UsageError(
            f"{part!r} is no part of a selector; write KEY=VALUE, KEY!=VALUE, KEY, !KEY, or KEY in (VALUE,…), several"
            " with commas"
        )
    if found["absent"]:
        return {"key": found["absent"], "operator": "DoesNotExist"}
    if not (found["sign"] or found["set"]):
        return {"key": found["key"], "operator": "Exists"}
    values = [found["value"]] if found["sign"] else [one.strip() for one in found["values"].split(",")]
    is_other = found["sign"] == "!=" or found["set"] == "notin"
    return {"key": found["key"], "operator": "NotIn" if is_other else "In", "values": values}


def _name_of(incident: str) -> str:
    """Return the object name for an incident's number."""
    name = re.sub(r"[^a-z0-9.-]+", "-", incident.lower())[:_LONGEST_NAME].strip("-.")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name):
        raise click.UsageError(
            f"{incident!r} has no valid name; use letters, digits and '-', such as INC-2026-042"
        )
    return name


async def declare(
    cluster: Cluster,
    spec: dict[str, Any],
    scope: Scope,
    *,
    wait: timedelta | None,
    is_real: bool,
    is_confirmed: bool,
    output: Output | None = None,
) -> None:
    """Declare an emergency in each selected namespace with affected objects."""
    name = _name_of(spec["incident"])
    body: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "EmergencyRotation",
        "metadata": {"name": name},
        "spec": {field: given for field, given in spec.items() if given is not None},
    }
    selected = await _find_affected(cluster, body, scope)
    if not selected:
        raise click.ClickException("no ManagedSecret is selected, so nothing is declared")
    if scope is None and is_real and not is_confirmed:
        confirm("rotate", sum(map(len, selected.values())), len(selected))
    documents, failed = [], []
    for namespace, values in sorted(selected.items()):
        names, declared = sorted(values), {**body, "spec": _spec_of_namespace(body["spec"], values)}
        try:
            said = await _create(cluster, declared, namespace) if is_real else "would be declared"
        except errors.ApiError as error:
            failed.append(f"in {namespace}: {sentence(error, cluster.server)}")
            continue
        except click.ClickException as error:
            failed.append(f"in {namespace}: {error.message}")
            continue
        one = {"namespace": namespace, "name": name, "incident": spec["incident"]}
        documents.append({**one, "changed": said == _NEW, "secrets": names})
        if output is None:
            what = f"for {len(names)}: {first_of(names, FEW)}"
            print_lines(f"emergencyrotation/{name} {said} in {namespace}, {what}")
    _answer(documents, output)
    if failed:
        raise click.ClickException("\n  ".join((f"{name} is not declared", *failed)))
    if wait is not None and is_real:
        await follow(cluster, name, sorted(selected), wait, err=output is not None)


def _spec_of_namespace(spec: dict[str, Any], values: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Return a spec without what only other namespaces have, which would never complete."""
    there = frozenset[str]().union(*values.values())
    own = {"names": sorted(values), "items": [item for item in spec.get("items") or () if item in there]}
    return {field: own.get(field, given) for field, given in spec.items()}


def _answer(documents: Sequence[dict[str, Any]], output: Output | None) -> None:
    if output is Output.NAME:
        print_names((one["name"] for one in documents), "emergencyrotation")
    elif output:
        print_data({"items": documents}, output)


async def _find_affected(
    cluster: Cluster, body: dict[str, Any], scope: Scope
) -> dict[str, dict[str, frozenset[str]]]:
    """Return the ManagedSecrets that an emergency would affect, by namespace, with the names of their values.

    These are read only for an emergency that names some.
    """
    try:
        emergency = EmergencyRotation.model_validate(
            {**body, "metadata": {**body["metadata"], "namespace": ""}}
        )
    except pydantic.ValidationError as error:
        raise click.UsageError(validation_sentence(error)) from None
    items = emergency.spec.items
    select = EmergencyScope.of(emergency)
    found: defaultdict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    existing: set[str] = set()
    for namespace in (None,) if scope is None else scope or (cluster.namespace,):
        async for page in cluster.api.pages(paths.managed_secrets(namespace), metadata_only=not items):
            for one in page.items:
                metadata = one["metadata"]
                name, labels = metadata["name"], metadata.get("labels") or {}
                values = frozenset(item["name"] for item in one.get("spec", {}).get("data") or ())
                if select.selects(name, labels):
                    existing |= values
                if select.concerns(name, labels, partial(frozenset, values)):
                    found[metadata["namespace"]][name] = values
        if namespace and namespace not in found:
            await managed.describe_empty(cluster.at(namespace))  # raises if it does not exist
    if items and (absent := absent_items(items, existing)):
        raise click.ClickException(f"{absent}; nothing is declared")
    missing = set(emergency.spec.names or ()) - {name for names in found.values() for name in names}
    if missing:
        having = " with such a value" if items else ""
        raise click.ClickException(
            f"there is no ManagedSecret {listed(missing)}{having}; nothing is declared"
        )
    return found


async def _create(cluster: Cluster, body: dict[str, Any], namespace: str) -> str:
    try:
        await cluster.api.create(paths.emergency_rotations(namespace), body)
    except errors.AlreadyExists:
        there = await cluster.api.get(paths.emergency_rotation(namespace, body["metadata"]["name"]))
        if there["spec"] == body["spec"]:
            return "was declared before"
        raise click.ClickException(
            "it was declared before with other content; use another incident number"
        ) from None
    return _NEW


async def follow(
    cluster: Cluster, name: str, namespaces: list[str], patience: timedelta, *, err: bool = False
) -> None:
    """Print each change until every workload in the namespaces runs the new values."""
    told: dict[str, str] = {}
    began = loop_time()
    try:
        async with asyncio.timeout(patience.total_seconds()):
            while True:
                with suppress(errors.Unavailable, errors.Throttled):
                    found = [
                        parse(EmergencyRotation, await cluster.api.get(paths.emergency_rotation(one, name)))
                        for one in namespaces
                    ]
                    for one in found:
                        namespace, said = one.metadata.namespace, _said(one)
                        if told.get(namespace) != said:
                            told[namespace] = said
                            print_lines(f"{loop_time() - began:6.1f} s  {namespace}: {said}", err=err)
                    if all(one.status.has_updated_services for one in found):
                        return
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        states = "".join(f"; {namespace}: {said}" for namespace, said in sorted(told.items()))
        raise click.ClickException(
            f"timed out after {length(patience)} waiting for {name}{states}. The operator continues,"
            f" see `keyturn emergency status {name}`"
        ) from None


def _said(one: EmergencyRotation) -> str:
    said = {condition.type: condition.message for condition in one.status.conditions}
    if "Stalled" in said:
        return f"manual action required: {said['Stalled']}"
    stage = "ServicesUpdated" if one.status.rotated_at else "Rotated"
    return said.get(stage, "waits for the operator")


# Status


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
            items = sorted({item for one in found for item in one.spec.items or ()})
            print_lines(*(["", f"Only the values {', '.join(items)}."] if items else []))
            print_lines(*_contacts(found), *_details(found))
    return any(needs_a_person(one, now) for one in found)


def _document(one: EmergencyRotation, now: datetime) -> dict[str, Any]:
    return {
        "namespace": one.metadata.namespace,
        "name": one.metadata.name,
        **one.spec.model_dump(by_alias=True, include={"incident", "reason", "contact", "items"}),
        **one.status.model_dump(mode="json", by_alias=True),
        "overdue": _overdue(one, now),
        "needsAPerson": needs_a_person(one, now),
    }


def _overdue(one: EmergencyRotation, now: datetime) -> list[str]:
    """Return overdue stages by the clock: a stopped operator updates no status."""
    return [stage for stage, due in open_stages(one).items() if due < now]


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
    rows: dict[tuple[str, str], None] = {}
    for one in found:
        own = {"Contact": one.spec.contact} if one.spec.contact else {}
        rows |= dict.fromkeys((own | (one.status.contacts or {})).items())
    return ["", table(("ROLE", "CONTACT"), rows, room())] if rows else []


def _details(found: Iterable[EmergencyRotation]) -> list[str]:
    """Return the secrets that are not done, or have a message."""
    rows = [
        (one.metadata.namespace, row.name, row.state, str(row.revision or NOTHING), row.message or "")
        for one in found
        for row in one.status.secrets
        if not row.state.is_done or row.message
    ]
    if not rows:
        return []
    more = [f"and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
    header = ("NAMESPACE", "MANAGEDSECRET", "STATE", "REVISION", "MESSAGE")
    return ["", table(header, rows[:_MOST_ROWS], room()), *more]


# Acknowledgement and report


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
    _answer(documents, output)
    if failed:
        raise click.ClickException("\n  ".join((f"{what} of {incident} is not acknowledged", *failed)))


async def report(cluster: Cluster, incident: str, scope: Scope) -> None:
    """Print the documents of an incident."""
    parts = []
    for one in await _find_declared(cluster, incident, scope):
        namespace = one.metadata.namespace
        try:
            body = await cluster.api.get(paths.config_map(namespace, report_name(one)))
        except errors.NotFound:
            raise click.ClickException(
                f"the document of {one.metadata.name} in {namespace} is not written yet"
            ) from None
        parts.append(str((body.get("data") or {}).get(REPORT_FILE, "")))
    print_document("\n---\n\n".join(parts))


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
