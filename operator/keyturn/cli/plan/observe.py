"""Observation of a ManagedSecret with the permissions of the caller.

Of target and state Secret only metadata is read, or the status without that permission. So values, and what only
values can tell, are no part of it, except of a Secret that is to be adopted: whether its values stay.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.status import ManagedSecretStatus
from keyturn.api.workloads import DONE
from keyturn.cli.cluster import Cluster
from keyturn.cli.managed import FoundManagedSecret
from keyturn.controllers.cache_sync import find_named_types
from keyturn.controllers.managedsecret.adoption import adopted_values
from keyturn.controllers.managedsecret.compliance import ComplianceMemory, with_compliance
from keyturn.controllers.managedsecret.consumers import with_workloads
from keyturn.controllers.managedsecret.observe import observe_spec
from keyturn.controllers.managedsecret.resolve import ParsedSpecs
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import HIGHEST_HINT
from keyturn.core.observation.external import Pulled, manager_of
from keyturn.core.observation.observed import Observed, Specified, TargetFacts, with_facts
from keyturn.core.observation.workload import Owner, is_of, owners_of, read_marker
from keyturn.core.observation.workload_kinds import REQUIRED_TYPES
from keyturn.core.reasons import RevisionReason
from keyturn.core.rotation.ownership import adopts_first
from keyturn.core.spec.desired import Desired, resolve_spec, secret_of
from keyturn.core.spec.items import VALUE, Item, previous_key
from keyturn.core.spec.references import AccountDesired
from keyturn.core.state.records import Credential, Phase, RevisionFacts
from keyturn.core.state.state import Publication, StateFacts, Triggers, state_name
from keyturn.databases.engines import account_in
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.objects import readable, slim
from keyturn.kube.client import Api
from keyturn.kube.pod_lists import PodLists
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.target_secret import foreign_owner, target_facts
from keyturn.kube.wire import Body
from keyturn.kube.workloads import workload_of

from .simulate import Makers


@dataclass(frozen=True, slots=True)
class PlanObservation:
    """The observation, and what the caller may not read."""

    observed: Observed
    before: Desired | None
    """The resolved spec of the current values."""
    makers: Makers
    blind_spots: tuple[str, ...]
    owners: tuple[Owner, ...] | None = ()
    """Owners of pods that use the Secret and that no workload of the plan controls; None if they are unknown."""


async def look_at(
    cluster: Cluster,
    found: FoundManagedSecret,
    pods: PodLists,
    applied: ManagedSecret | None = None,
    classes: Mapping[str, Body] = MappingProxyType({}),
) -> PlanObservation:
    """Observe a ManagedSecret; `applied` is the object in the cluster, if the planned one differs.

    `classes` take the place of those in the cluster. Objects of one namespace share the list of `pods`.
    """
    cache, blind_spots = InformerCache(), list[str]()
    cache.put_managed(found.body)
    blind_spots += await put_classes(cluster.api, found.managed.spec.class_name or None, cache, classes)
    blind_spots += await _put_workloads(cluster, cache)
    observed = await observe_cached(found, cache, cluster.now())
    secrets = await _secrets(cluster.api, found.key, secret_of(found.managed))
    if secrets is None:
        blind_spots.append("you may not get Secrets: their existence and owner are taken from the status")
    before = _wanted_before(observed, applied, cache) if applied else observed.desired
    # No store is read: the plan assumes unchanged values.
    observed = with_facts(
        _with_secrets(observed, before, secrets),
        mismatched_items=_unfit(observed.desired, before),
        pulled=Pulled(read=True),
    )
    makers = _makers(observed.desired)
    if isinstance(observed, Specified) and adopts_first(observed):
        body = await cluster.api.get(paths.secret(found.key.namespace, observed.desired.secret))
        observed, adopted = _adopting(observed, found.key, body)
        makers = replace(makers, adopted=adopted)
    owners = await _owners(observed, found.key.namespace, pods)
    if owners is None:
        blind_spots.append(
            "Unknown which pods that Keyturn does not restart use the Secret: you may not list pods in namespace"
            f" {found.key.namespace!r}"
        )
    return PlanObservation(observed, before, makers, tuple(blind_spots), owners)


def _adopting(
    observed: Specified, key: ObjectKey, body: Body
) -> tuple[Observed, Mapping[str, Mapping[str, str]]]:
    """Return what the values of a Secret decide about its adoption, with the keys that stay by item."""
    target = target_facts(body, key, observed.uid, observed.desired, None, observed.now)
    recorded = dict(observed.state.keys) if observed.state else {}
    try:
        found = adopted_values(observed.desired, body, None)
    except Stalled as stalled:
        return replace(observed, target=replace(target, unadoptable=stalled)), recorded
    literals = [(item.name, item.literal) for item in observed.desired.items if item.literal is not None]
    other = {name for name, text in literals if name in found and found[name].outputs != {VALUE: text}}
    # A revision follows that announces the next key of an adopted ring.
    rings = {item.name for item in observed.desired.items if item.is_ring and not item.of_class}
    other |= {name for name in rings if name in found and not found[name].recipe}
    observed = replace(observed, target=target, mismatched_items=observed.mismatched_items | other)
    return observed, recorded | {name: one.keys for name, one in found.items()}


async def _owners(observed: Observed, namespace: str, pods: PodLists) -> tuple[Owner, ...] | None:
    """Return the owners of pods that no consumer controls; None without permission to list pods."""
    if observed.desired is None:
        return ()
    listed = await pods.of_namespace(namespace, 0)
    if listed.forbidden:
        return None
    workloads = [consumer.workload for consumer in observed.consumers]
    others = (pod for pod in listed.pods if not any(is_of(pod, workload) for workload in workloads))
    return owners_of(others, observed.desired.secret)


async def observe_cached(found: FoundManagedSecret, cache: InformerCache, now: datetime) -> Observed:
    """Observe the object without Secrets and pods."""
    managed, trouble = readable(slim(found.body))
    observed = await observe_spec(managed, trouble, ParsedSpecs(), cache, now)
    observed = with_compliance(found.key, observed, ComplianceMemory(), cache)
    return with_workloads(found.key, observed, cache)


def _wanted_before(observed: Observed, applied: ManagedSecret, cache: InformerCache) -> Desired | None:
    """Return the resolved spec of the operator's last reconcile, if that is known."""
    name = applied.spec.class_name
    try:
        secret_class = cache.secret_class(name) if name else observed.secret_class
        of_values = cache.classes_of_values(applied)
        account, _ = account_in(applied, cache.targets)
        desired = resolve_spec(applied, secret_class, lambda recipe: generator_for(recipe).outputs, of_values)
        return replace(desired, account=account)
    except Stalled:
        return observed.desired


def _unfit(desired: Desired | None, before: Desired | None) -> frozenset[str]:
    """Return the values that another spec certainly rejects."""
    then = {item.name: item for item in before.items} if before else {}
    both = [(item, then[item.name]) for item in (desired.items if desired else ()) if item.name in then]
    return frozenset(item.name for item, old in both if _form(item, item) != _form(old, item))


def _form(item: Item, now: Item) -> object:
    """Return what a value cannot stay without; with a recipe of the class it may be of an older recipe."""
    kind = item.keys.keys() if now.of_class else item.recipe and item.recipe.kind
    return item.literal, item.source, kind


async def put_classes(
    api: Api, desired: str | None, cache: InformerCache, declared: Mapping[str, Body] = MappingProxyType({})
) -> list[str]:
    """Read all classes: one may be the default, and an error about an unknown name lists them.

    The `declared` ones take the place of those in the cluster. Returns blind spots.
    """
    blind_spots = []
    for body in declared.values():
        cache.put_class({**body, "status": {}})
    try:
        async for page in api.pages(paths.secret_classes()):
            for body in page.items:
                if body["metadata"]["name"] not in declared:
                    cache.put_class(body)
    except errors.Forbidden:
        if desired is None:
            blind_spots.append("you may not list SecretClasses: the plan ignores a default class")
        elif desired not in declared:
            with contextlib.suppress(errors.NotFound):
                cache.put_class(await api.get(paths.secret_class(desired)))
    return blind_spots


async def _put_workloads(cluster: Cluster, cache: InformerCache) -> list[str]:
    blind_spots = []
    for kind in [row.kind for row in REQUIRED_TYPES + await find_named_types(cluster.api)]:
        try:
            async for page in cluster.api.pages(paths.workloads(kind, cluster.namespace)):
                for body in page.items:
                    cache.put_workload(workload_of(kind, body))
        except errors.Forbidden:
            blind_spots.append(f"you may not list {kind}s: those that use the Secret are missing in the plan")
    return blind_spots


async def _secrets(api: Api, key: ObjectKey, target: str) -> tuple[Body | None, Body | None] | None:
    """Return the metadata of target and state Secret, each None if missing; None without permission."""
    found: list[Body | None] = []
    for name in (target, state_name(key.name)):
        try:
            found.append(await api.get(paths.secret(key.namespace, name), metadata_only=True))
        except errors.NotFound:
            found.append(None)
        except errors.Forbidden:
            return None
    return found[0], found[1]


# What the operator would have read from the Secrets


def _with_secrets(
    observed: Observed, before: Desired | None, secrets: tuple[Body | None, Body | None] | None
) -> Observed:
    state = state_of_status(observed, before)
    known = TargetFacts(
        owner=observed.name,
        revision=state.current_number if state else None,
        published=_published(observed),
        differs=frozenset(),
        has_metadata_of_spec=True,
        overlapping=state is not None and state.current.keeps_previous,
        immutable=observed.desired is not None and observed.desired.target_policy.immutable,
    )
    if secrets is None:
        return with_facts(observed, state=state, target=known if state else None)
    target, recorded = secrets
    if recorded is not None and (owner := meta_of(recorded).owner) != observed.name:
        return with_facts(observed, state_is_foreign=True, state_owner=owner or None)
    observed = with_facts(observed, state=state if recorded else None, target=None)
    if target is None:
        return observed
    meta, metadata = meta_of(target), target["metadata"]
    known = replace(
        known,
        owner=meta.owner or None,
        revision=meta.revision,
        published=meta.published,
        overlapping=meta.overlapping,
        foreign_owner=None if meta.owner == observed.name else foreign_owner(metadata, observed.uid),
        account_manager=manager_of(metadata.get("labels") or {}),
    )
    return with_facts(observed, target=known)


def state_of_status(observed: Observed, before: Desired | None) -> StateFacts | None:
    """Return the state by the status, except what only values tell."""
    status = observed.managed.status
    if status.revision is None or before is None:
        return None
    # The status mentions more revisions: they exist, even if nothing more is known.
    spoken = {status.revision, *(one.revision for one in status.history)}
    spoken |= {read_marker(one.workload.marker).get(before.secret, 1) for one in observed.consumers}
    if status.rotation and (number := status.rotation.id.rpartition("/")[2]).isdecimal():
        spoken.add(int(number))
    numbers = sorted((one for one in spoken if 0 < one <= HIGHEST_HINT), reverse=True)
    published = _published(observed) or observed.now
    credentials = _credentials(status, before.account) if before.account else ()
    revisions = [
        _revision(number, base, published, credentials)
        for number, base in zip(numbers, [*numbers[1:], None], strict=True)
    ]
    current = numbers.index(status.revision)
    if any(one.state not in DONE for one in status.workloads):
        every_key = frozenset(key for keys in before.keys.values() for key in keys.values())
        revisions[current] = replace(revisions[current], changed=every_key)
    if kept := status.previous:
        # The keys that a Secret can have only during an overlap, or with another value.
        keys = {previous_key(key) for one in before.items if one.keep_previous for key in one.keys.values()}
        keys |= before.templates.keys() if before.reads_previous else set()
        revisions[current] = replace(
            revisions[current], previous=frozenset(keys), valid_until=kept.valid_until
        )
    return StateFacts(
        uid=observed.uid,
        rotated=status.last_rotation_time or observed.now,
        triggers=Triggers.at_first(observed.requested),  # as handled: the plan adds one
        revisions=tuple(revisions),
        restorable=frozenset({status.revision}),
        current_number=status.revision,
        keys={item.name: item.keys for item in before.items},
        templates=before.templates,
        lives={},
        publications=(Publication(status.revision, published),),
        credentials=credentials,
    )


def _revision(
    number: int, base: int | None, published: datetime, credentials: tuple[Credential, ...]
) -> RevisionFacts:
    """Return a revision with its own credential, or the last one before it."""
    own = max((one.revision for one in credentials if one.revision <= number), default=None)
    opened = (one.revision for one in credentials if one.is_open and one.revision < (own or 0))
    return RevisionFacts(
        number=number,
        reason=RevisionReason.CREATED if number == 1 else "",
        made=published,
        changed=frozenset(),
        base=base,
        credential=own,
        supersedes=max(opened, default=None),
    )


def _credentials(status: ManagedSecretStatus, account: AccountDesired) -> tuple[Credential, ...]:
    return tuple(
        Credential(
            row.revision,
            row.login,
            Phase(row.phase),
            row.since,
            item=account.password,
            target=account.target_name,
            proven=row.proven_at,
        )
        for row in status.credentials or ()
        if row.phase in set(Phase)
    )


def _published(observed: Observed) -> datetime | None:
    """Return the approximate publication time of the current revision; the status has no exact one."""
    status = observed.managed.status
    times = [one.started_at for one in status.history if one.revision == status.revision]
    return times[0] if times else status.last_rotation_time


def _makers(desired: Desired | None) -> Makers:
    items = desired.items if desired else ()
    made = {item.name: generator_for(item.recipe) for item in items if item.recipe}
    login = {item.name for item in items if item.is_login}
    password = frozenset({desired.account.password}) if desired and desired.account else frozenset[str]()
    return Makers(
        needs={name: generator.needs for name, generator in made.items()} | dict.fromkeys(login, password),
        merges={name: generator.merges for name, generator in made.items()},
    )
