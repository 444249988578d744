"""What one look at the world finds about a managed secret: every read, in one place."""

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
from keyturn.runtime import threadpools as threads

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


async def observe(key: ObjectKey, world: Context) -> Observed | None:
    """Look at everything that decides about a managed secret; None if it is gone.

    Raises:
        ApiError: Something could not be read.
    """
    memo = world.memo(key)
    parsed = await _parsed(key, memo, world)
    if parsed is None:
        return None
    managed = parsed.managed
    secret_class, wanted, problem = resolved(managed, memo, world.mirror)
    emergencies = world.mirror.emergencies.of(key, managed.metadata.labels)
    wanted = lifted(wanted, emergencies) if wanted else None
    if wanted and (flaw := await template_flaw(key.namespace, wanted)):
        wanted, problem = None, flaw
    seen = _glimpse(managed, secret_class, wanted, parsed.trouble or problem, emergencies, world)
    seen = await _with_secrets(key, seen, world)
    pulled = await pulled_now(key, seen, world, lambda: load_state(key, world))
    violations = compliance.violations(key, seen, world)
    seen = replace(
        seen,
        pulled=pulled,
        push_problems=memo.outside.push_problems,
        returns=memo.outside.returns,
        violations=violations,
        unchecked=compliance.unchecked(seen, world),
        signs=compliance.signs(key, seen, violations, world),
    )
    return await with_consumers(key, seen, world)


async def _parsed(key: ObjectKey, memo: ObjectMemory, world: Context) -> Parsed | None:
    """Return a ManagedSecret; one that the watch has told nothing new of is parsed once in a pass."""
    version = world.mirror.version_of(key)
    if memo.parsed is None or memo.parsed.version != version:
        if world.mirror.is_large(key):
            memo.parsed = await _as_it_is(key, world)
        else:
            found = world.mirror.managed(key)
            memo.parsed = Parsed(version, *found) if found else None
    return memo.parsed


async def _as_it_is(key: ObjectKey, world: Context) -> Parsed | None:
    """Return a ManagedSecret that is too large to be kept, as it is now."""
    try:
        body = await world.api.get(paths.managed_secret(key.namespace, key.name))
    except errors.NotFound:
        return None  # the watch tells it
    world.mirror.put_managed(body)
    return Parsed(int(body["metadata"]["resourceVersion"]), *readable(slim(body)))


def _glimpse(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    wanted: Desired | None,
    trouble: Stalled | None,
    emergencies: tuple[Emergency, ...],
    world: Context,
) -> Observed:
    """Return what is known without reading anything."""
    memo = world.memo(ObjectKey(managed.metadata.namespace, managed.metadata.name))
    return Observed(
        now=world.now(),
        managed=managed,
        secret_class=secret_class,
        wanted=wanted,
        trouble=trouble,
        state=None,
        state_owner=None,
        state_is_foreign=False,
        target=None,
        unfit=frozenset(),
        violations=(),
        consumers=(),
        since=world.since,
        denials=dict(memo.denials),
        fight=memo.fight,
        emergencies=emergencies,
        lost=world.lost,
    )


# The two Secrets


async def _with_secrets(key: ObjectKey, seen: Observed, world: Context) -> Observed:
    memo = world.memo(key)
    state_meta = await _meta(key, state_name(key.name), world)
    secret = secret_of(seen.managed)
    if seen.wanted and (seen.wanted.shape.merges or seen.wanted.shape.adopts):
        memo.foreign.add(secret)  # it is looked for before it is in the way
    target_meta = await _meta(key, secret, world)
    if state_meta and state_meta.owner != key.name:
        return replace(seen, state_is_foreign=True, state_owner=state_meta.owner or None)
    versions, left = _versions(seen, state_meta, target_meta), _left(key, seen, world)
    if memo.state_facts and target_meta and memo.checked == versions:
        return replace(
            seen,
            state=memo.state_facts,
            target=_unread(target_meta, seen.wanted),
            left=left,
            unbound=_is_unbound(seen, memo.state_facts, state_meta),
        )
    try:
        state = await load_state(key, world) if state_meta else None
        if state and past(state.rotated, seen.now) is None:
            raise unreadable(state_name(key.name))
    except Stalled as stalled:
        return replace(seen, left=left, trouble=seen.trouble or stalled)
    target = await load_target(key, secret, world) if target_meta else None
    if seen.wanted:
        await compliance.note_values(key, seen.wanted, state, world)
    facts = state.facts() if state else None
    seen = replace(
        seen,
        state=facts,
        target=await _target_facts(target, key, seen, state) if target else None,
        unfit=await unfit(key, seen.wanted, state) if seen.wanted and state else frozenset(),
        left=left,
        unbound=_is_unbound(seen, facts, state_meta),
    )
    agree = seen.is_published and seen.is_complete and not seen.unfit and seen.target and seen.target.dressed
    memo.state_facts, memo.checked = seen.state, versions if agree else None
    return seen


def agree_now(key: ObjectKey, seen: Observed, world: Context) -> None:
    """Remember that the Secret was just written as the state has it, so that the next look reads neither."""
    state_meta = world.mirror.secret(key.namespace, state_name(key.name))
    target_meta = world.mirror.secret(key.namespace, secret_of(seen.managed))
    memo = world.memo(key)
    if not state_meta or state_meta.resource_version != memo.state_version or seen.unfit:
        return  # somebody else wrote the state meanwhile
    memo.checked = _versions(seen, state_meta, target_meta)


def _versions(seen: Observed, *metas: SecretMeta | None) -> tuple[str | int, ...]:
    of_class = seen.secret_class.metadata.resource_version if seen.secret_class else ""
    return (
        *(meta.resource_version if meta else "" for meta in metas),
        seen.managed.metadata.generation,
        of_class,
    )


async def _meta(key: ObjectKey, name: str, world: Context) -> SecretMeta | None:
    """Return what is known of a Secret.

    Where Secrets are watched, one without our label is looked for only after it was in the way; else each is.
    """
    known = world.mirror.secret(key.namespace, name)
    memo = world.memo(key)
    if known or (world.sight is Sight.WATCH and name not in memo.foreign):
        memo.foreign.discard(name)
        return known
    try:
        body = await world.api.get(paths.secret(key.namespace, name), metadata_only=True)
    except errors.NotFound:
        memo.foreign.discard(name)
        return None
    meta = meta_of(body)
    if meta.owner:
        world.mirror.put_secret(meta)
    return meta


def _is_unbound(seen: Observed, state: StateFacts | None, meta: SecretMeta | None) -> bool:
    if meta is None or state is None or seen.wanted is None:
        return False
    return meta.binder != binder_of(seen, seen.wanted, state)


def _left(key: ObjectKey, seen: Observed, world: Context) -> tuple[str, ...]:
    if seen.wanted is None:
        return ()
    return tuple(sorted(world.mirror.written_by(key) - {seen.wanted.secret}))


async def _target_facts(target: Body, key: ObjectKey, seen: Observed, state: State | None) -> TargetFacts:
    wanted = seen.wanted
    facts = target_facts(target, key, seen.uid, wanted, state, seen.now)
    if wanted is None or facts.owner or not wanted.shape.adopts:
        return facts
    found = await threads.for_tenant(key.namespace, adopted_values, wanted, values_of(target))
    adopted = [kept.data() for kept in found.values()]
    known = [one.data() for one in state.revisions] if state else []
    recorded = all(
        any(data.get(name) == value for data in known) for one in adopted for name, value in one.items()
    )
    return replace(facts, recorded=recorded)


def _unread(meta: SecretMeta, wanted: Desired | None) -> TargetFacts:
    return TargetFacts(
        owner=meta.owner,
        revision=meta.revision,
        published=meta.published,
        differs=frozenset(),
        dressed=True,
        overlapping=meta.overlapping,
        immutable=wanted is not None and wanted.shape.immutable,
    )


async def load_state(key: ObjectKey, world: Context) -> State | None:
    """Read the state Secret with its values, once in a pass.

    Raises:
        Stalled: It cannot be read as a state.
    """
    memo = world.memo(key)
    if memo.state is None:
        body = await _read(key, state_name(key.name), world)
        memo.state = state_of(body) if body else None
        memo.state_version = meta_of(body).resource_version if body else None
    return memo.state


async def load_target(key: ObjectKey, secret: str, world: Context) -> Body | None:
    """Read the target Secret, once in a pass."""
    memo = world.memo(key)
    if memo.target is None:
        memo.target = await _read(key, secret, world)
    return memo.target


async def _read(key: ObjectKey, name: str, world: Context) -> Body | None:
    try:
        body = await world.api.get(paths.secret(key.namespace, name))
    except errors.NotFound:
        world.mirror.drop_secret(replace(key, name=name))
        return None
    if owner_of(body):
        world.mirror.put_secret(meta_of(body))
    return body
