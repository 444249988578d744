"""`keyturn plan`: what a rotation, or a manifest, would do if it were asked for now."""

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import click

from keyturn.api import GROUP
from keyturn.cli.cluster import Cluster
from keyturn.cli.managed import FoundManagedSecret, all_of, describe_none, find, found_in, print_failures
from keyturn.cli.manifest_files import Unreadable, objects_in
from keyturn.cli.options import Output, Selection, exit_code
from keyturn.controllers.secretclass import flaw_of
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ROTATE
from keyturn.core.observation.observed import Managed, Observed, with_facts
from keyturn.core.policy.rules import denies, joined_messages
from keyturn.core.rotation.schedule_dates import natural_dates, spread_since
from keyturn.core.rotation.triggers import is_due_on_request, is_overdue, start_time
from keyturn.core.status.summary import SummaryState, summary_of
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.client import Api
from keyturn.kube.pod_lists import PodLists
from keyturn.kube.wire import Body
from keyturn.runtime.clock import loop_time
from keyturn.runtime.yaml_text import without_nulls

from .observe import look_at, observe_cached, put_classes, state_of_status
from .output import Plan, print_plans
from .simulate import foresee

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


async def show(cluster: Cluster, selection: Selection, output: Output) -> int:
    """Print the plan of each; return the exit code."""
    pods, there = PodLists(cluster.api, loop_time), await find(cluster, selection)
    if not there.found and not there.failures:
        raise click.ClickException(await describe_none(cluster, selection))
    plans = [await _of_rotation(cluster.at(found.key.namespace), found, pods) for found in there.found]
    is_refused = print_plans(plans, output, are_many=not selection.name)
    print_failures(there.failures)
    return exit_code(has_failed=bool(there.failures), needs_a_person=is_refused)


async def show_manifests(cluster: Cluster, files: Sequence[str], output: Output, only: str | None) -> int:
    """Print what applying manifests would do; return the exit code."""
    declared = read_manifest(files, cluster.namespace, only=only)
    secrets = [one for one in declared if one.kind == _SECRET]
    classes = {one.name: (await dry_run(cluster.api, one))[1] for one in declared if one.kind == _CLASS}
    planned = {ObjectKey(one.namespace, one.name) for one in secrets}
    of_classes = await plan_classes(cluster, classes, planned) if classes else []
    plans, refused, pods = list[Plan](), list[Refused](), PodLists(cluster.api, loop_time)
    for one in secrets:
        try:
            now, then = await dry_run(cluster.api, one)
        except Refused as problem:
            if len(declared) == 1:
                raise
            refused.append(problem)
            continue
        here, applied = cluster.at(one.namespace), found_in(now).managed if now else None
        look = await look_at(here, found_in(then), pods, applied, classes)
        plans.append(
            Plan(found_in(then), look, foresee(_awake(look.observed), look.makers), is_rotation=False)
        )
    is_refused = print_plans(plans, output, are_many=len(declared) > 1, classes=of_classes)
    print_failures(refused)
    return exit_code(has_failed=False, needs_a_person=is_refused or bool(refused))


async def _of_rotation(cluster: Cluster, found: FoundManagedSecret, pods: PodLists) -> Plan:
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


# Classes: what each ManagedSecret that follows a new or changed one becomes
#
# Compares two observations of it, with the classes before and after the change. No Secret is read: the state is taken
# from its status.

_UNREAD = "no value is read: whether present values satisfy the rules of the class is not part of the plan"
_VALUE_RULES = ("min_length", "min_entropy_bits", "distinct_across_environments")


async def plan_classes(
    cluster: Cluster, classes: Mapping[str, Body], planned: Collection[ObjectKey] = ()
) -> list[dict[str, Any]]:
    """Return the document of each class; the ManagedSecrets in `planned` are planned on their own."""
    before, after = InformerCache(), InformerCache()
    await put_classes(cluster.api, None, before)
    notes = await put_classes(cluster.api, None, after, classes)
    try:
        every = await all_of(cluster, None)
    except errors.Forbidden:
        every, place = await all_of(cluster, cluster.namespace), cluster.namespace
        notes.append(f"you may list ManagedSecrets of namespace {place} only: others are missing in the plan")
    every = [one for one in every if one.key not in planned]
    for found in every:
        before.put_managed(found.body)
        after.put_managed(found.body)
    effects: dict[str, list[Effect]] = {name: [] for name in classes}
    for found in every:
        # The planned class that it follows, or has followed.
        names = (cache.class_name(found.managed.spec.class_name) for cache in (after, before))
        if name := next((name for name in names if name in effects), None):
            effects[name] += await find_effects(found, before, after, cluster.now())
    return [_document(name, body, after, effects[name], notes) for name, body in classes.items()]


def _document(
    name: str, body: Body, after: InformerCache, effects: list["Effect"], notes: list[str]
) -> dict[str, Any]:
    try:
        found = after.secret_class(name)
        flaw = flaw_of(found) if found else None
    except Stalled as stalled:
        found, flaw = None, stalled
    reads_values = found and any(getattr(found.spec, rule) for rule in _VALUE_RULES)
    return {
        "kind": "SecretClass",
        "name": name,
        "refusals": [{"reason": str(flaw.reason), "message": flaw.message}] if flaw else [],
        "isNew": not body["metadata"]["uid"],
        "isDefault": after.class_name(None) == name,
        "managedSecrets": len(after.of_class(name)),
        "effects": [
            {
                "namespace": one.key.namespace,
                "name": one.key.name,
                "becomes": str(one.becomes),
                "startsAt": one.starts,
                "message": one.message,
            }
            for one in sorted(effects, key=lambda one: (list(Becomes).index(one.becomes), str(one.key)))
        ],
        "notes": [*notes, *([_UNREAD] if reads_values else [])],
    }


async def find_effects(
    found: FoundManagedSecret, before: InformerCache, after: InformerCache, now: datetime
) -> tuple["Effect", ...]:
    """Return what a ManagedSecret of both caches becomes by the classes of the second one."""
    then, later = await observe_cached(found, before, now), await observe_cached(found, after, now)
    state = state_of_status(later, then.desired or later.desired)
    is_held = summary_of(found, now).state is SummaryState.HELD
    return tuple(
        effects_of(found.key, with_facts(then, state=state), with_facts(later, state=state), is_held=is_held)
    )


class Becomes(enum.StrEnum):
    """What a ManagedSecret becomes, the most severe first."""

    STALLED = "Stalled"
    """The class and its spec contradict each other."""
    VIOLATING = "Violating"
    """It violates a rule of the class."""
    OVERDUE = "Overdue"
    """A rotation is due, at the latest at the end of the spread, and does not start although it could have."""
    DUE = "Due"
    """A rotation starts at a date of the spread or in the next window; or is reported as due, on request."""


class Effect(NamedTuple):
    """One change of one ManagedSecret."""

    key: ObjectKey
    becomes: Becomes
    message: str = ""
    starts: datetime | None = None
    """When its rotation starts; None if none starts without a request or manual action."""


def effects_of(
    key: ObjectKey, before: Observed, after: Observed, *, is_held: bool = False
) -> Iterator[Effect]:
    """Yield what one ManagedSecret becomes; `is_held` if a rollback pauses its schedule."""
    if after.spec_error:
        if before.spec_error is None or before.spec_error.message != after.spec_error.message:
            yield Effect(key, Becomes.STALLED, f"{after.spec_error.reason}: {after.spec_error.message}")
        return
    # New violations, and those that only the new class denies.
    stricter = denies(after.secret_class) and not denies(before.secret_class)
    known = {(one.rule, one.item) for one in before.violations if not stricter}
    if new := [one for one in after.violations if (one.rule, one.item) not in known]:
        effect = "denied, so nothing is written" if denies(after.secret_class) else "reported"
        yield Effect(key, Becomes.VIOLATING, f"{effect}; {joined_messages(new)}")
    was, is_ = _standing(key, before, is_held=is_held), _standing(key, after, is_held=is_held)
    if is_ and (was is None or (was.becomes, was.message) != (is_.becomes, is_.message)):
        yield is_


def _standing(key: ObjectKey, observed: Observed, *, is_held: bool) -> Effect | None:
    """Return what the schedule makes of it now, or None if nothing is due."""
    if not isinstance(observed, Managed):
        return None
    due = min(natural_dates(observed).values(), default=None)
    if due is None or due > observed.now:
        return None
    if is_due_on_request(observed):
        return Effect(key, Becomes.DUE, "is reported as due, and rotates on request only (appliedBy: Nobody)")
    if obstacle := _obstacle(observed, is_held=is_held):
        is_late = is_overdue(observed) or spread_since(observed)
        return Effect(key, Becomes.OVERDUE if is_late else Becomes.DUE, obstacle)
    starts = start_time(observed)
    waits, message = starts is not None and starts > observed.now, "rotates at once"
    if waits:
        message = "rotates when a window opens"
    if spread_since(observed):
        message = "rotates later, spread by rotation.spread"
    becomes = Becomes.OVERDUE if waits and is_overdue(observed) else Becomes.DUE
    return Effect(key, becomes, message, starts or observed.now)


def _obstacle(observed: Observed, *, is_held: bool) -> str | None:
    """Return why a due rotation does not start."""
    if observed.managed.spec.suspend:
        return "does not rotate while it is suspended"
    if is_held:
        return "does not rotate while it is held after a rollback"
    if denies(observed.secret_class) and any(not one.fixed_by_rotation for one in observed.violations):
        return "does not rotate while the class denies it"
    return None
