"""Observation of a ManagedSecret: all reads of the API server and the cache of one reconcile. It starts nothing.

It includes which recorded values do not match the spec.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from keyturn.api.managedsecret import ManagedSecret
from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Observed, Specified, TargetFacts, with_facts
from keyturn.core.rotation.emergency import without_delays
from keyturn.core.rotation.ownership import binder_of
from keyturn.core.spec.desired import Desired, secret_of
from keyturn.core.spec.items import VALUE, Item
from keyturn.core.state.records import LITERAL, ItemValues
from keyturn.core.state.state import State, StateFacts, state_name
from keyturn.databases.engines import account_in
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.secret_informer import SecretMeta
from keyturn.kube.state_secret import unreadable
from keyturn.kube.target_secret import plausible, target_facts, values_of
from keyturn.kube.wire import Body
from keyturn.runtime import threadpools

from .adoption import adopted_values, is_written
from .compliance import note_values, with_compliance
from .consumers import with_consumers, with_holders
from .memory import Memory
from .resolve import ParsedSpecs, resolved, template_flaw
from .secret_reads import is_left_immutable, versions_of
from .signers import with_signers


async def observe(key: ObjectKey, memory: Memory, context: Context) -> Observed | None:
    """Return what decides about a ManagedSecret, except what stores hold; None if it was deleted.

    Raises:
        ApiError: A read failed, or the Secrets of the namespace cannot be listed.
    """
    parsed = memory.specs.parsed(key, context.cache)
    if parsed is None:
        return None
    if not context.covers(key.namespace):
        raise errors.Forbidden("list", paths.secrets(key.namespace), HTTPStatus.FORBIDDEN, "Forbidden")
    observed = await observe_spec(
        parsed.managed, parsed.spec_error, memory.specs, context.cache, context.now()
    )
    observed = with_facts(
        observed,
        since=context.since,
        dropped_status_fields=context.dropped_status_fields,
        denials=memory.restarts.denials(key),
        drift_history=memory.drift.get(key),
        restart_wait=memory.budget.restart_wait(key),
    )
    observed = await _with_secrets(key, observed, memory, context)
    if observed.state:
        restarted = memory.restarted.of(key, observed.state.current_number)
        observed = with_facts(observed, restarted=restarted)
    if isinstance(observed, Specified) and observed.has_open_emergency:
        observed = with_signers(key, observed, memory.emergencies, context.cache)
    observed = with_compliance(key, observed, memory.compliance, context.cache)
    observed = await with_consumers(key, observed, memory.pods, memory.writes.published(key), context)
    return await with_holders(key, observed, memory.pods, context)


async def observe_spec(
    managed: ManagedSecret, trouble: Stalled | None, specs: ParsedSpecs, cache: InformerCache, now: datetime
) -> Observed:
    """Return an observation of the spec with its class and emergencies, from the cache alone."""
    account, unknown = account_in(managed, cache.targets) if managed.spec.account else (None, None)
    secret_class, desired, problem = resolved(managed, specs, cache, account)
    desired = None if trouble or unknown else desired  # with trouble, `managed` has an empty spec
    key = ObjectKey(managed.metadata.namespace, managed.metadata.name)
    emergencies = cache.emergencies.of(
        key,
        managed.metadata.labels,
        lambda: [item.name for item in managed.spec.data] or cache.value_names(key),
    )
    if desired and emergencies:
        emergencies = tuple(_with_sources(one, desired) for one in emergencies)
        desired = without_delays(desired, emergencies)
    if desired and (flaw := await template_flaw(key.namespace, desired)):
        desired, problem = None, flaw
    found = Observed(now, managed, secret_class, desired, trouble or unknown or problem)
    return with_facts(found, emergencies=emergencies, account_desired=account)


def _with_sources(emergency: Emergency, desired: Desired) -> Emergency:
    """Return an emergency that takes also what its values are made from, where they have no secret of their own."""
    forms = (
        item.recipe
        for item in desired.items
        if item.name in (emergency.items or ()) and not item.is_generated
    )
    sources = frozenset[str]().union(*(generator_for(recipe).needs for recipe in forms if recipe))
    return replace(emergency, items=emergency.items | sources) if emergency.items and sources else emergency


# State and target Secret


async def _with_secrets(key: ObjectKey, observed: Observed, memory: Memory, context: Context) -> Observed:
    secrets, secret = memory.secrets, secret_of(observed.managed)
    if observed.managed.metadata.deletion_timestamp and observed.is_finalized:
        secrets.read_unlabelled(key, state_name(key.name))  # without its label it is no deleted one
    state_meta = await secrets.meta(key, state_name(key.name))
    if observed.desired and (observed.desired.target_policy.merges or observed.desired.target_policy.adopts):
        secrets.read_unlabelled(key, secret)
    target_meta = await secrets.meta(key, secret)
    if target_meta is None:
        observed = with_facts(observed, deleted_of=context.cache.other_by_status(key, secret))
    if state_meta and state_meta.owner != key.name:
        return with_facts(observed, state_is_foreign=True, state_owner=state_meta.owner or None)
    versions = versions_of(observed, state_meta, target_meta)
    other_target = _other_target(key, secret, context.cache)
    if target_meta and (facts := secrets.facts_in_sync(key, versions)):
        return with_facts(
            observed,
            other_target=other_target,
            state=facts,
            target=_unread(target_meta, observed.desired),
            has_wrong_binder=_is_unbound(observed, facts, state_meta),
        )
    observed = with_facts(observed, other_target=other_target)
    try:
        state = await secrets.state(key) if state_meta else None
        if state and plausible(state.facts.rotated, observed.now) is None:
            raise unreadable(state_name(key.name))
    except Stalled as stalled:
        return with_facts(observed, spec_error=observed.spec_error or stalled, state_problem=stalled)
    target = await secrets.target(key, secret) if target_meta else None
    if observed.desired:
        await note_values(key, observed.desired, state, memory.compliance, context.cache)
    observed = await _with_values(key, observed, state, target, state_meta)
    secrets.keep_facts(key, observed.state, versions if _agrees(observed) else None)
    return observed


async def _with_values(
    key: ObjectKey,
    observed: Observed,
    state: State | None,
    target: Body | None,
    state_meta: SecretMeta | None,
) -> Observed:
    """Add what follows from the values of both Secrets."""
    facts, desired = state.facts if state else None, observed.desired
    return with_facts(
        observed,
        state=facts,
        target=await _target_facts(target, key, observed, state) if target else None,
        mismatched_items=await find_mismatched_items(key, desired, state)
        if desired and state
        else frozenset(),
        has_wrong_binder=_is_unbound(observed, facts, state_meta),
    )


def _agrees(observed: Observed) -> bool:
    """Whether the target Secret is in sync with state and spec, so that it need not be read again."""
    target = observed.target
    is_whole = observed.is_published and observed.has_every_key and not observed.mismatched_items
    return is_whole and target is not None and target.has_metadata_of_spec and not is_left_immutable(observed)


def _is_unbound(observed: Observed, state: StateFacts | None, meta: SecretMeta | None) -> bool:
    if meta is None or state is None or not isinstance(observed, Specified):
        return False
    return meta.binder != binder_of(observed, state)


def _other_target(key: ObjectKey, secret: str, cache: InformerCache) -> str | None:
    """Return a Secret that this ManagedSecret has written under another name, unless its label was changed."""
    if not (names := cache.written_by(key) - {secret}):
        return None
    return min((name for name in names if not cache.is_of_another(key, name)), default=None)


async def _target_facts(target: Body, key: ObjectKey, observed: Observed, state: State | None) -> TargetFacts:
    desired = observed.desired
    facts = target_facts(target, key, observed.uid, desired, state, observed.now)
    if not isinstance(observed, Specified) or desired is None or facts.owner:
        return facts
    if state and await _has_lost_label(facts, target, key, observed, state):
        labels = {**(target["metadata"].get("labels") or {}), OWNER_LABEL: key.name}
        labelled = {**target, "metadata": {**target["metadata"], "labels": labels}}
        facts = target_facts(labelled, key, observed.uid, desired, state, observed.now)
        return replace(facts, has_metadata_of_spec=False)
    if not desired.target_policy.adopts:
        return facts
    try:
        found = await threadpools.run_for_tenant(key.namespace, adopted_values, desired, target, state)
    except Stalled as stalled:
        return replace(facts, unadoptable=stalled)
    there = values_of(target)
    adopted = {name: there[name] for one in found.values() for name in one.data() if name in there}
    known = [one.data() for one in state.revisions.values()] if state else []
    recorded = all(any(data.get(name) == value for data in known) for name, value in adopted.items())
    return replace(facts, recorded=recorded)


async def _has_lost_label(
    facts: TargetFacts, target: Body, key: ObjectKey, observed: Specified, state: State
) -> bool:
    """Whether the state proves that a Secret without label is our own, and no other tool has it now."""
    if facts.foreign_owner or facts.filled_by or state.facts.uid != observed.uid:
        return False
    return await threadpools.run_for_tenant(key.namespace, is_written, state, observed.desired, target)


def _unread(meta: SecretMeta, desired: Desired | None) -> TargetFacts:
    """Return the facts of a target that is as at its last read: in sync, so immutable if the spec says so."""
    return TargetFacts(
        owner=meta.owner,
        revision=meta.revision,
        published=meta.published,
        differs=frozenset(),
        has_metadata_of_spec=True,
        overlapping=meta.overlapping,
        immutable=desired is not None and desired.target_policy.immutable and not meta.overlapping,
    )


async def find_mismatched_items(key: ObjectKey, desired: Desired, state: State) -> frozenset[str]:
    """Return the items whose recorded values do not match the spec."""
    values = state.current.values
    recorded = [(item, values[item.name]) for item in desired.items if item.name in values]
    doubted: list[tuple[Item, ItemValues]] = []
    found: set[str] = set()
    for item, kept in recorded:
        if _is_doubtful(item, kept):
            doubted.append((item, kept))
        elif not _fits(item, kept):
            found.add(item.name)
    if doubted:  # which may be large or malformed
        found |= await threadpools.run_for_tenant(key.namespace, _not_accepted, doubted)
    return frozenset(found)


def _is_doubtful(item: Item, kept: ItemValues) -> bool:
    """Whether a value has another recipe or none, so that only its generator can tell whether it fits."""
    owns_target = item.recipe is not None and not item.of_class and kept.recipe != LITERAL
    return owns_target and item.recipe is not None and kept.recipe != item.recipe.text


def _not_accepted(doubted: Iterable[tuple[Item, ItemValues]]) -> set[str]:
    return {
        item.name
        for item, kept in doubted
        if item.recipe and not generator_for(item.recipe).accepts(kept.outputs)
    }


def _fits(item: Item, kept: ItemValues) -> bool:
    if item.recipe is None and item.source is not None:
        return kept.recipe == item.source.text
    if item.recipe is None:  # the login of its revision, or the literal of the spec
        return item.is_login or (item.literal is not None and kept.outputs == {VALUE: item.literal})
    if kept.recipe == LITERAL:
        return False  # the spec has it in plain text
    return not item.of_class or kept.outputs.keys() == item.keys.keys()
