"""Declares an incident: one EmergencyRotation per namespace, with a common number."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
import pydantic

from keyturn.api import API_VERSION
from keyturn.api.base import validation_sentence
from keyturn.api.emergency import EmergencyRotation
from keyturn.cli import managed
from keyturn.cli.cluster import sentence
from keyturn.cli.managed import confirm
from keyturn.cli.options import Output
from keyturn.cli.printing import listed, print_data, print_lines, print_names
from keyturn.core.observation.emergency import concerns
from keyturn.kube import errors, paths

from . import status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from keyturn.cli.cluster import Cluster
    from keyturn.cli.options import Where

    from .status import Scope

_FEW = 10
_NEW = "declared"
_LONGEST_NAME = 63
_NAME = r"[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?"
_REQUIREMENT = re.compile(
    rf"\s*(?P<absent>!\s*)?(?P<key>(?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?/)?{_NAME})"
    rf"(?:\s*(?P<sign>==?|!=)\s*(?P<value>(?:{_NAME})?)|\s+(?P<set>in|notin)\s*\((?P<values>[^()]+)\))?\s*",
    re.ASCII,
)
_LABEL_VALUE = re.compile(rf"(?:{_NAME})?", re.ASCII)
_BETWEEN = re.compile(r",(?![^(]*\))")
"""A comma that is in no parentheses."""


@dataclass(frozen=True, slots=True)
class DeclareOptions:
    """What to rotate, and why."""

    incident: str
    reason: str
    contact: str | None
    selector: Mapping[str, Any] | None
    """The selector of the declaration; empty for all."""
    names: tuple[str, ...]
    revoke: str | None
    evict: bool = False

    def body(self) -> dict[str, Any]:
        spec = {
            "reason": self.reason,
            "incident": self.incident,
            "contact": self.contact,
            "selector": self.selector,
            "names": list(self.names) or None,
            "revoke": self.revoke,
            "evict": self.evict or None,
        }
        return {
            "apiVersion": API_VERSION,
            "kind": "EmergencyRotation",
            "metadata": {"name": name_of(self.incident)},
            "spec": {name: given for name, given in spec.items() if given is not None},
        }


def scope_of(where: Where, namespaces: tuple[str, ...], *, everywhere: bool) -> Scope:
    if everywhere and namespaces:
        raise click.UsageError("write -A or --in, not both")
    if where.namespace and (everywhere or namespaces):
        raise click.UsageError("write one of --namespace, -A and --in")
    return None if everywhere else tuple(dict.fromkeys(namespaces))


def selector_in(written: str) -> dict[str, Any]:
    """Parse a selector in kubectl's syntax, such as team=auth,tier in (gold,silver),!old."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for part in _BETWEEN.split(written):
        one = _expression(part)
        if one["operator"] == "In" and len(one["values"]) == 1 and one["key"] not in labels:
            labels[one["key"]] = one["values"][0]
        else:
            expressions.append(one)
    given = {"matchLabels": labels, "matchExpressions": expressions}
    return {name: requirements for name, requirements in given.items() if requirements}


def _expression(part: str) -> dict[str, Any]:
    found = _REQUIREMENT.fullmatch(part)
    values = _values(found) if found else []
    is_wrong = found is None or bool(found["absent"] and (found["sign"] or found["set"]))
    if found is None or is_wrong or not all(map(_LABEL_VALUE.fullmatch, values)):
        raise click.UsageError(
            f"{part!r} is no part of a selector; write KEY=VALUE, KEY!=VALUE, KEY, !KEY, or KEY in (VALUE,…), several"
            " with commas"
        )
    if not values:
        return {"key": found["key"], "operator": "DoesNotExist" if found["absent"] else "Exists"}
    is_in = found["sign"] in {"=", "=="} or found["set"] == "in"
    return {"key": found["key"], "operator": "In" if is_in else "NotIn", "values": values}


def _values(found: re.Match[str]) -> list[str]:
    if found["sign"]:
        return [found["value"]]
    return [one.strip() for one in found["values"].split(",")] if found["set"] else []


def name_of(incident: str) -> str:
    """Return the object name for an incident's number."""
    name = re.sub(r"[^a-z0-9.-]+", "-", incident.lower())[:_LONGEST_NAME].strip("-.")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name):
        raise click.UsageError(
            f"{incident!r} has no valid name; use letters, digits and '-', such as INC-2026-042"
        )
    return name


async def declare(
    cluster: Cluster,
    wish: DeclareOptions,
    scope: Scope,
    *,
    wait: timedelta | None,
    is_real: bool,
    is_confirmed: bool,
    output: Output | None = None,
) -> None:
    """Declare an emergency in each selected namespace with affected objects."""
    selected = await _find_affected(cluster, wish.body(), scope)
    if not selected:
        raise click.ClickException("no ManagedSecret is selected, so nothing is declared")
    if scope is None and is_real and not is_confirmed:
        confirm("rotate", sum(map(len, selected.values())), len(selected))
    name = name_of(wish.incident)
    documents, failed = [], []
    for namespace, names in sorted(selected.items()):
        try:
            # A name of another namespace would never complete.
            body = (replace(wish, names=tuple(names)) if wish.names else wish).body()
            said = await _create(cluster, body, namespace) if is_real else "would be declared"
        except errors.ApiError as error:
            failed.append(f"in {namespace}: {sentence(error, cluster.server)}")
        except click.ClickException as error:
            failed.append(f"in {namespace}: {error.message}")
        else:
            documents.append(_document(namespace, wish, said, names))
            if output is None:
                print_lines(_line(namespace, name, said, names))
    _answer(documents, name, output)
    if failed:
        raise click.ClickException("\n  ".join((f"{name} is not declared", *failed)))
    if wait is not None and is_real:
        await status.follow(cluster, name, sorted(selected), wait, err=output is not None)


def _line(namespace: str, name: str, said: str, names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return (
        f"emergencyrotation/{name} {said} in {namespace}, for {len(names)}: {', '.join(names[:_FEW])}{more}"
    )


def _document(namespace: str, wish: DeclareOptions, said: str, names: list[str]) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": name_of(wish.incident),
        "incident": wish.incident,
        "changed": said == _NEW,
        "secrets": names,
    }


def _answer(documents: list[dict[str, Any]], name: str, output: Output | None) -> None:
    if output is Output.NAME:
        print_names((name for _ in documents), "emergencyrotation")
    elif output:
        print_data({"items": documents}, output)


async def _find_affected(cluster: Cluster, body: dict[str, Any], scope: Scope) -> dict[str, list[str]]:
    """Return the ManagedSecrets that an emergency would affect, by namespace."""
    emergency = _parse({**body, "metadata": {**body["metadata"], "namespace": ""}})
    found: defaultdict[str, list[str]] = defaultdict(list)
    for namespace in (None,) if scope is None else scope or (cluster.namespace,):
        async for page in cluster.api.pages(paths.managed_secrets(namespace), metadata_only=True):
            for one in page.items:
                metadata = one["metadata"]
                if concerns(emergency, metadata["name"], metadata.get("labels") or {}):
                    found[metadata["namespace"]].append(metadata["name"])
        if namespace and namespace not in found:
            await managed.describe_empty(cluster.at(namespace))  # raises if it does not exist
    missing = set(emergency.spec.names or ()) - {name for names in found.values() for name in names}
    if missing:
        raise click.ClickException(f"there is no ManagedSecret {listed(missing)}; nothing is declared")
    return {namespace: sorted(names) for namespace, names in found.items()}


def _parse(body: dict[str, Any]) -> EmergencyRotation:
    try:
        return EmergencyRotation.model_validate(body)
    except pydantic.ValidationError as error:
        raise click.UsageError(validation_sentence(error)) from None


async def _create(cluster: Cluster, body: dict[str, Any], namespace: str) -> str:
    name = body["metadata"]["name"]
    try:
        await cluster.api.create(paths.emergency_rotations(namespace), body)
    except errors.AlreadyExists:
        there = await cluster.api.get(paths.emergency_rotation(namespace, name))
        if there["spec"] == body["spec"]:
            return "was declared before"
        raise click.ClickException(
            "it was declared before with other content; use another incident number"
        ) from None
    return _NEW
