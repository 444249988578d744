"""`keyturn plan`: what a rotation, or a manifest, would do if it were asked for now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from keyturn.cli import managed
from keyturn.cli.printing import print_lines
from keyturn.cli.selection import find
from keyturn.cli.status import describe_none
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ROTATE
from keyturn.kube.namespace_pods import NamespacePods
from keyturn.runtime.clock import loop_time

from .classes import plan_classes
from .manifest import Refused, read_manifest, resolve_class, resolve_declared
from .model import Plan
from .observe import look_at
from .output import print_plans
from .simulate import foresee

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.cli.options import Output, Selection
    from keyturn.core.observation.observed import Observed

    from .manifest import Declared, DeclaredClass

_UNKNOWN_TRIGGER = "keyturn plan: a trigger that is not in the object"


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
    secrets, declared_classes = read_manifest(files, cluster.namespace, only=only)
    classes = [await resolve_class(cluster, one) for one in declared_classes]
    planned = {ObjectKey(one.namespace, one.name) for one in secrets}
    of_classes = await plan_classes(cluster, classes, planned) if classes else []
    are_many = len(secrets) + len(classes) > 1
    plans, failures, pods = [], [], NamespacePods(cluster.api, loop_time)
    for one in secrets:
        try:
            plans.append(await _of_manifest(cluster, one, classes, pods))
        except Refused as problem:
            if not are_many:
                raise
            failures.append(problem.message)
    is_refused = print_plans(plans, output, are_many=are_many, classes=of_classes)
    for failure in failures:
        print_lines(f"Error: {failure}", err=True)
    return Shown(is_refused or bool(failures), has_failed=False)


async def _of_rotation(cluster: Cluster, found: FoundManagedSecret, pods: NamespacePods) -> Plan:
    look = await look_at(cluster, found, pods)
    asked = _with_trigger(_awake(look.observed))
    return Plan(found, look, foresee(asked, look.makers), is_rotation=True)


async def _of_manifest(
    cluster: Cluster,
    declared: Declared,
    classes: Sequence[DeclaredClass],
    pods: NamespacePods,
) -> Plan:
    here = cluster.at(declared.namespace)
    found, applied = await resolve_declared(here, declared)
    look = await look_at(here, found, pods, applied, classes)
    return Plan(found, look, foresee(_awake(look.observed), look.makers), is_rotation=False)


def _with_trigger(observed: Observed) -> Observed:
    metadata = observed.managed.metadata
    annotations = {**metadata.annotations, ROTATE: _UNKNOWN_TRIGGER}
    changed = metadata.model_copy(update={"annotations": annotations})
    return replace(observed, managed=observed.managed.model_copy(update={"metadata": changed}))


def _awake(observed: Observed) -> Observed:
    """Remove the suspension, which is reported separately, to plan what follows a resume."""
    spec = observed.managed.spec.model_copy(update={"suspend": None})
    return replace(observed, managed=observed.managed.model_copy(update={"spec": spec}))
