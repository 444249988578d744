"""Observation of a ManagedSecret: all reads of one reconcile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.controllers.context import Parsed
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import Observed, TargetFacts
from keyturn.core.rotation.emergency import lifted
from keyturn.core.rotation.push import binder_of
from keyturn.core.spec.desired import secret_of
from keyturn.core.state.state import state_name
from keyturn.kube import errors, paths
from keyturn.kube.cache.managed_secrets import slim
from keyturn.kube.cache.parsing import readable
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.secret_sight import Sight
from keyturn.kube.state_secret import state_of, unreadable
from keyturn.kube.target_secret import owner_of, past, target_facts, values_of
from keyturn.runtime import threadpools

from . import compliance
from .consumers import with_consumers
from .existing_data import adopted_values
from .refresh import pulled_now
from .resolve import resolved, template_flaw
from .value_checks import unfit

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.secretclass import SecretClass
    from keyturn.controllers.context import Context, ObjectMemory
    from keyturn.core.observation.emergency import Emergency
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import State, StateFacts
    from keyturn.kube.client import Body
    from keyturn.kube.secret_informer import SecretMeta

__all__ = ["agree_now", "load_state", "load_target", "observe"]


async def observe(key: ObjectKey, context: Context) -> Observed | None:
    """Return all that decides about a ManagedSecret; None if it was deleted.

    Raises:
        ApiError: A read failed.
    """
    memory = context.memory(key)
    parsed = await _parse(key, memory, context)
    if parsed is None:
        return None
    managed = parsed.managed
    secret_class, desired, problem = resolved(managed, memory, context.cache)
    emergencies = context.cache.emergencies.of(key, managed.metadata.labels)
    desired = lifted(desired, emergencies) if desired else None
    if desired and (flaw := await template_flaw(key.namespace, desired)):
        desired, problem = None, flaw
    observed = _from_cache(managed, secret_class, desired, parsed.trouble or problem, emergencies, context)
    observed = await _with_secrets(key, observed, context)
    pulled = await pulled_now(key, observed, context, lambda: load_state(key, context))
    violations = compliance.violations(key, observed, context)
    observed = replace(
        observed,
        pulled=pulled,
        push_problems=memory.outside.push_problems,
        returns=memory.outside.returns,
        violations=violations,
        unchecked=compliance.unchecked(observed, context),
        signs=compliance.signs(key, observed, violations, context),
    )
    return await with_consumers(key, observed, context)


async def _parse(key: ObjectKey, memory: ObjectMemory, context: Context) -> Parsed | None:
    """Return the parsed ManagedSecret; an unchanged version is parsed once per pass."""
    version = context.cache.version_of(key)
    if memory.parsed is None or memory.parsed.version != version:
        if context.cache.is_large(key):
            memory.parsed = await _parse_large(key, context)
        else:
            found = context.cache.managed(key)
            memory.parsed = Parsed(version, *found) if found else None
    return memory.parsed


async def _parse_large(key: ObjectKey, context: Context) -> Parsed | None:
    """Read a ManagedSecret that is too large for the cache."""
    try:
        body = await context.api.get(paths.managed_secret(key.namespace, key.name))
    except errors.NotFound:
        return None  # the watch reports the deletion
    context.cache.put_managed(body)
    return Parsed(int(body["metadata"]["resourceVersion"]), *readable(slim(body)))


def _from_cache(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    desired: Desired | None,
    trouble: Stalled | None,
    emergencies: tuple[Emergency, ...],
    context: Context,
) -> Observed:
    """Return an observation from the cache alone."""
    memory = context.memory(ObjectKey(managed.metadata.namespace, managed.metadata.name))
    return Observed(
        now=context.now(),
        managed=managed,
        secret_class=secret_class,
        desired=desired,
        trouble=trouble,
        state=None,
        state_owner=None,
        state_is_foreign=False,
        target=None,
        unfit=frozenset(),
        violations=(),
        consumers=(),
        since=context.since,
        denials=dict(memory.denials),
        fight=memory.fight,
        emergencies=emergencies,
        lost=context.lost,
    )


# State and target Secret


async def _with_secrets(key: ObjectKey, observed: Observed, context: Context) -> Observed:
    memory = context.memory(key)
    state_meta = await _meta(key, state_name(key.name), context)
    secret = secret_of(observed.managed)
    if observed.desired and (observed.desired.shape.merges or observed.desired.shape.adopts):
        memory.foreign.add(secret)  # read it, though the informer does not see it
    target_meta = await _meta(key, secret, context)
    if state_meta and state_meta.owner != key.name:
        return replace(observed, state_is_foreign=True, state_owner=state_meta.owner or None)
    versions, left = _versions(observed, state_meta, target_meta), _left(key, observed, context)
    if memory.state_facts and target_meta and memory.checked == versions:
        return replace(
            observed,
            state=memory.state_facts,
            target=_unread(target_meta, observed.desired),
            left=left,
            unbound=_is_unbound(observed, memory.state_facts, state_meta),
        )
    try:
        state = await load_state(key, context) if state_meta else None
        if state and past(state.facts.rotated, observed.now) is None:
            raise unreadable(state_name(key.name))
    except Stalled as stalled:
        return replace(observed, left=left, trouble=observed.trouble or stalled)
    target = await load_target(key, secret, context) if target_meta else None
    if observed.desired:
        await compliance.note_values(key, observed.desired, state, context)
    facts = state.facts if state else None
    observed = replace(
        observed,
        state=facts,
        target=await _target_facts(target, key, observed, state) if target else None,
        unfit=await unfit(key, observed.desired, state) if observed.desired and state else frozenset(),
        left=left,
        unbound=_is_unbound(observed, facts, state_meta),
    )
    memory.state_facts, memory.checked = observed.state, versions if _agrees(observed) else None
    return observed


def _agrees(observed: Observed) -> bool:
    """Whether the target Secret is in sync with state and spec, so that it need not be read again."""
    target = observed.target
    is_whole = observed.is_published and observed.is_complete and not observed.unfit
    return is_whole and target is not None and target.dressed


def agree_now(key: ObjectKey, observed: Observed, context: Context) -> None:
    """Record that the target Secret was just written in sync, so that the next observation reads neither Secret."""
    state_meta = context.cache.secret(key.namespace, state_name(key.name))
    target_meta = context.cache.secret(key.namespace, secret_of(observed.managed))
    memory = context.memory(key)
    if not state_meta or state_meta.resource_version != memory.state_version or observed.unfit:
        return  # another writer changed the state meanwhile
    memory.checked = _versions(observed, state_meta, target_meta)


def _versions(observed: Observed, *metas: SecretMeta | None) -> tuple[str | int, ...]:
    of_class = observed.secret_class.metadata.resource_version if observed.secret_class else ""
    return (
        *(meta.resource_version if meta else "" for meta in metas),
        observed.managed.metadata.generation,
        of_class,
    )


async def _meta(key: ObjectKey, name: str, context: Context) -> SecretMeta | None:
    """Return the metadata of a Secret.

    The informer sees only Secrets with our label. Others are read if they were in the way before, or always if the
    operator does not watch Secrets.
    """
    known = context.cache.secret(key.namespace, name)
    memory = context.memory(key)
    if known or (context.sight is Sight.WATCH and name not in memory.foreign):
        memory.foreign.discard(name)
        return known
    try:
        body = await context.api.get(paths.secret(key.namespace, name), metadata_only=True)
    except errors.NotFound:
        memory.foreign.discard(name)
        return None
    meta = meta_of(body)
    if meta.owner:
        context.cache.put_secret(meta)
    return meta


def _is_unbound(observed: Observed, state: StateFacts | None, meta: SecretMeta | None) -> bool:
    if meta is None or state is None or observed.desired is None:
        return False
    return meta.binder != binder_of(observed, observed.desired, state)


def _left(key: ObjectKey, observed: Observed, context: Context) -> tuple[str, ...]:
    if observed.desired is None:
        return ()
    return tuple(sorted(context.cache.written_by(key) - {observed.desired.secret}))


async def _target_facts(target: Body, key: ObjectKey, observed: Observed, state: State | None) -> TargetFacts:
    desired = observed.desired
    facts = target_facts(target, key, observed.uid, desired, state, observed.now)
    if desired is None or facts.owner or not desired.shape.adopts:
        return facts
    found = await threadpools.for_tenant(key.namespace, adopted_values, desired, values_of(target))
    adopted = [kept.data() for kept in found.values()]
    known = [one.data() for one in state.revisions.values()] if state else []
    recorded = all(
        any(data.get(name) == value for data in known) for one in adopted for name, value in one.items()
    )
    return replace(facts, recorded=recorded)


def _unread(meta: SecretMeta, desired: Desired | None) -> TargetFacts:
    return TargetFacts(
        owner=meta.owner,
        revision=meta.revision,
        published=meta.published,
        differs=frozenset(),
        dressed=True,
        overlapping=meta.overlapping,
        immutable=desired is not None and desired.shape.immutable,
    )


async def load_state(key: ObjectKey, context: Context) -> State | None:
    """Read the state Secret with its values, once per pass.

    Raises:
        Stalled: It is no valid state.
    """
    memory = context.memory(key)
    if memory.state is None:
        body = await _read(key, state_name(key.name), context)
        memory.state = state_of(body) if body else None
        memory.state_version = meta_of(body).resource_version if body else None
    return memory.state


async def load_target(key: ObjectKey, secret: str, context: Context) -> Body | None:
    """Read the target Secret, once per pass."""
    memory = context.memory(key)
    if memory.target is None:
        memory.target = await _read(key, secret, context)
    return memory.target


async def _read(key: ObjectKey, name: str, context: Context) -> Body | None:
    try:
        body = await context.api.get(paths.secret(key.namespace, name))
    except errors.NotFound:
        context.cache.drop_secret(replace(key, name=name))
        return None
    if owner_of(body):
        context.cache.put_secret(meta_of(body))
    return body
