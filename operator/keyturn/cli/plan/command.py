"""`keyturn plan`: what a rotation, or a manifest, would do if it were asked for now."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from keyturn.api import GROUP
from keyturn.cli import managed
from keyturn.cli.managed import find, found_in
from keyturn.cli.manifest_files import Unreadable, objects_in
from keyturn.cli.printing import print_lines
from keyturn.cli.status import describe_none
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ROTATE
from keyturn.kube import errors, paths
from keyturn.kube.namespace_pods import NamespacePods
from keyturn.runtime.clock import loop_time
from keyturn.runtime.yaml_text import without_nulls

from .classes import plan_classes
from .observe import look_at
from .output import Plan, print_plans
from .simulate import foresee

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.cli.options import Output, Selection
    from keyturn.core.observation.observed import Observed
    from keyturn.kube.client import Api
    from keyturn.kube.wire import Body

_UNKNOWN: Final = {"uid": "", "resourceVersion": "0", "creationTimestamp": "1970-01-01T00:00:00Z"}
"""Metadata of an object that does not exist yet."""
_SECRET, _CLASS = "ManagedSecret", "SecretClass"
_NO_NAMES: Final = frozenset({"", ".", ".."})


class Refused(Unreadable):
    """The API server would refuse an object of a manifest: the exit code is that of any other refusal."""

    exit_code = 3


class Declared(NamedTuple):
    """An object of a manifest; the namespace of a SecretClass is empty."""

    kind: str
    namespace: str
    name: str
    body: dict[str, Any]


def read_manifest(files: Iterable[str], namespace: str, *, only: str | None) -> list[Declared]:
    """Return the ManagedSecrets and SecretClasses of all files; `only` is the namespace of the command line.

    Raises:
        Unreadable: There are none, one has no name, or one is of another namespace.
    """
    every = [body for file in files for _, body in objects_in(file)]
    ours = [body for body in every if str(body.get("apiVersion")).startswith(f"{GROUP}/")]
    found = [_declared(body, namespace) for body in ours if body.get("kind") in {_SECRET, _CLASS}]
    if not found:
        raise Unreadable(f"the manifest has to hold a {_SECRET} or {_CLASS} with a name; it holds none")
    if other := next((one.namespace for one in found if only and one.namespace not in {"", only}), None):
        raise Unreadable(f"the manifest is of namespace {other!r}; leave out --namespace {only}")
    return found


def _declared(body: dict[str, Any], namespace: str) -> Declared:
    metadata, kind = body.get("metadata"), body["kind"]
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str):
        raise Unreadable(f"the manifest has to hold a {kind} with a name; one has none")
    given = (metadata.get("namespace") or namespace) if kind == _SECRET else ""
    if name in _NO_NAMES or not isinstance(given, str) or given in {".", ".."}:
        raise Refused(f"the manifest's metadata is invalid for a {kind}")
    return Declared(kind, given, name, body)


async def dry_run(api: Api, declared: Declared) -> tuple[Body | None, Body]:
    """Return an object as it is in the cluster, if it exists, and as the API server would store it."""
    collection, member = paths.secret_classes(), paths.secret_class(declared.name)
    if declared.kind == _SECRET:
        collection = paths.managed_secrets(declared.namespace)
        member = paths.managed_secret(declared.namespace, declared.name)
    try:
        now = await api.get(member)
    except errors.NotFound:
        now = None
    body: Body = without_nulls(declared.body)
    try:
        if now is None:
            then = await api.dry_run(collection, body, is_new=True)
            return None, {**then, "metadata": then["metadata"] | _UNKNOWN, "status": {}}
        known = {name: now["metadata"][name] for name in ("uid", "resourceVersion")}
        merged = {**body, "metadata": now["metadata"] | body["metadata"] | known}
        return now, await api.dry_run(member, merged, is_new=False)
    except (errors.BadRequest, errors.Forbidden, errors.Invalid, errors.NotFound) as error:
        # The message of the API server may quote a value; kubectl shows it to its user.
        reason = f"{error.reason} by {error.denier}" if error.denier else error.reason
        reason += f": {', '.join(error.fields)}" if error.fields else ""
    raise Refused(
        f"the API server refuses the {declared.kind} {declared.name} ({reason});"
        " kubectl apply --dry-run=server -f FILE says why"
    )


# Command


class Shown(NamedTuple):
    """Result of a plan."""

    is_refused: bool
    has_failed: bool


async def show(cluster: Cluster, selection: Selection, output: Output) -> Shown:
    """Print the plan of each; return whether one would be refused, and whether an object is missing."""
    pods = NamespacePods(cluster.api, loop_time)
    if selection.name:
        plan = await _of_rotation(cluster, await managed.one(cluster, selection.name), pods)
        return Shown(print_plans([plan], output, are_many=False), has_failed=False)
    there = await find(cluster, selection)
    if not there.found and not there.failures:
        raise click.ClickException(await describe_none(cluster, selection))
    plans = [await _of_rotation(cluster.at(found.key.namespace), found, pods) for found in there.found]
    is_refused = print_plans(plans, output, are_many=True)
    for failure in there.failures:
        print_lines(f"Error: {failure.message}", err=True)
    return Shown(is_refused, bool(there.failures))


async def show_manifests(cluster: Cluster, files: Sequence[str], output: Output, only: str | None) -> Shown:
    """Print what applying manifests would do; return whether a part would be refused, or an object changes state."""
    declared = read_manifest(files, cluster.namespace, only=only)
    secrets = [one for one in declared if one.kind == _SECRET]
    classes = {one.name: (await dry_run(cluster.api, one))[1] for one in declared if one.kind == _CLASS}
    planned = {ObjectKey(one.namespace, one.name) for one in secrets}
    of_classes = await plan_classes(cluster, classes, planned) if classes else []
    plans, failures, pods = [], [], NamespacePods(cluster.api, loop_time)
    for one in secrets:
        try:
            now, then = await dry_run(cluster.api, one)
        except Refused as problem:
            if len(declared) == 1:
                raise
            failures.append(problem.message)
            continue
        here, applied = cluster.at(one.namespace), found_in(now).managed if now else None
        look = await look_at(here, found_in(then), pods, applied, classes)
        plans.append(
            Plan(found_in(then), look, foresee(_awake(look.observed), look.makers), is_rotation=False)
        )
    is_refused = print_plans(plans, output, are_many=len(declared) > 1, classes=of_classes)
    for failure in failures:
        print_lines(f"Error: {failure}", err=True)
    return Shown(is_refused or bool(failures), has_failed=False)


async def _of_rotation(cluster: Cluster, found: FoundManagedSecret, pods: NamespacePods) -> Plan:
    look = await look_at(cluster, found, pods)
    asked = _awake(look.observed, annotations={ROTATE: "keyturn plan: a trigger that is not in the object"})
    return Plan(found, look, foresee(asked, look.makers), is_rotation=True)


def _awake(observed: Observed, annotations: Mapping[str, str] = MappingProxyType({})) -> Observed:
    """Add annotations, and remove the suspension, which is reported separately, to plan what follows a resume."""
    managed = observed.managed
    metadata = managed.metadata.model_copy(
        update={"annotations": {**managed.metadata.annotations, **annotations}}
    )
    spec = managed.spec.model_copy(update={"suspend": None})
    return replace(observed, managed=managed.model_copy(update={"metadata": metadata, "spec": spec}))
