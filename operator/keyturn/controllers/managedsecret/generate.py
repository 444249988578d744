"""Builds a new revision: generates new values and keeps the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from keyturn import templates
from keyturn.controllers.context import BackgroundJob, Context, begin
from keyturn.core.errors import Stalled, Wait, copied
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import being_made
from keyturn.core.observation.observed import Managed, Specified
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.completion import carried_values, held_values
from keyturn.core.rotation.credential_slots import staged_login
from keyturn.core.rotation.emergency import asked_items
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import VALUE, Item
from keyturn.core.spec.references import LOGIN
from keyturn.core.state.records import LITERAL, ItemValues, Rendered, Revision, changed_keys, is_found
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.generators import Generator, GeneratorContext, Outputs, generator_for
from keyturn.kube import errors, paths
from keyturn.kube.target_secret import values_of
from keyturn.runtime import threadpools

from .adoption import adopted_value_of, adopted_without_item
from .signers import refuse_circle

_ISSUER_RETRY_DELAY = timedelta(seconds=5)


async def generate_revision(
    step: steps.Stage,
    key: ObjectKey,
    observed: Specified,
    state: State | None,
    generated: "GeneratedValues",
    context: Context,
) -> State:
    """Return the state with the new revision, of values that are generated, or that the last read of stores has.

    Raises:
        Wait: The Secret with the signing CA does not exist yet.
        Stalled: A value or a template cannot be generated.
    """
    begun, before = generated.since(key) or context.now(), carried_values(state)
    recorded = state.facts if state else None
    making = _Making(step, key, observed, state, generated, context)
    values, made_now = await making.collect()
    rendered = await _render(
        key.namespace, step.reason, observed.desired, values, state, now := context.now()
    )
    made = Revision(values, rendered)
    adopted = adopted_without_item(observed.desired, before, made, is_whole=not step.reason.awaited)
    revision = replace(made, values=values | adopted)
    generated.forget(key)
    content = replace(_content_of(revision, state), fresh=made_now, begun=begun)
    facts = transitions.stage(step, recorded, observed, content, now)
    return State.newer(facts.with_leases(observed.pulled.reading.leases), revision, state)


@dataclass(frozen=True, slots=True)
class _Making:
    """The values of one revision."""

    step: steps.Stage
    key: ObjectKey
    observed: Specified
    state: State | None
    generated: "GeneratedValues"
    context: Context

    async def collect(self) -> tuple[dict[str, ItemValues], frozenset[str]]:
        """Return the values of the revision, and which of them were generated."""
        observed, desired, state, reason = self.observed, self.observed.desired, self.state, self.step.reason
        needs, before = _every_need(desired), carried_values(state)
        fresh = transitions.with_dependents(reason.fresh, needs)
        absent = transitions.with_dependents(reason.awaited - before.keys(), needs)
        if observed.pulled.problem and absent & fresh & before.keys():
            raise copied(observed.pulled.problem)
        login = staged_login(fresh, observed.state, desired) if desired.account else None
        desired = _present(reason, absent - before.keys(), desired, before)
        lost = observed.pulled.reading.found
        if any(emergency.is_open for emergency in observed.emergencies):
            lost = {}  # what an earlier object has pushed may be exposed
        values: dict[str, ItemValues] = {}
        made_now: set[str] = set()
        held: Mapping[str, ItemValues] = {}
        if state and isinstance(observed, Managed) and desired.keeps_previous:
            held = held_values(state, observed)
        for item in desired.items:
            found = before.get(item.name)
            # A new item may be in the adopted Secret, or in a store to which an earlier object pushed it.
            adopted = None if found or reason.rotates else adopted_value_of(desired.secret, item, before)
            if found is None and (existing := adopted or lost.get(item.name)):
                values[item.name] = existing
            elif found is None or item.name in fresh:
                made = await self._make(item, found, values, login, desired)
                is_kept = bool(desired.overlap_of({item.name}))
                values[item.name] = _with_held(made, item, held.get(item.name) if is_kept else None, desired)
                made_now |= {item.name} if item.recipe else set()
            else:
                values[item.name] = found.under_keys_of(item, desired.item_keys)
        return values | _kept_until_read(reason, desired, before), frozenset(made_now)

    async def _make(
        self,
        item: Item,
        before: ItemValues | None,
        made: Mapping[str, ItemValues],
        login: str | None,
        desired: Desired,
    ) -> ItemValues:
        if login and item.is_login:
            return ItemValues(LOGIN, {VALUE: Value.of_text(login)}, item.keys)
        if item.literal is not None:
            return ItemValues(LITERAL, {VALUE: item.literal}, item.keys)
        if item.source is not None:
            return self.observed.pulled.reading.values[item.name]
        if item.recipe is None:
            raise Stalled(
                ErrorReason.NO_GENERATOR,
                f"data item {item.name!r} has no source; write generate, from or literal",
            )
        generator = generator_for(item.recipe)
        previous = _previous(item, before) if desired.overlap_of({item.name}) else None
        is_exposed = self.step.reason.name == RevisionReason.EMERGENCY or item.name in self._exposed
        given = GeneratorContext(
            now=self.context.now(),
            values={name: kept.outputs for name, kept in made.items()},
            previous=previous,
            trusted=before.outputs if before and previous and not is_exposed else None,
            replaced=before.outputs if before else None,
            is_exposed=is_exposed,
            issuer=await self._issuer(generator),
        )
        return await generate_value(
            item, item.recipe.text, generator, given, self.key, self.generated, self.context
        )

    @property
    def _exposed(self) -> frozenset[str]:
        """The items of which an emergency still requires new values, also while it waits after another one."""
        observed = self.observed
        if not (isinstance(observed, Managed) and observed.emergencies):
            return frozenset()
        return asked_items(observed)

    async def _issuer(self, generator: Generator[Any]) -> Outputs | None:
        name, namespace = generator.issuer_secret, self.key.namespace
        if name is None:
            return None
        try:
            return values_of(await self.context.api.get(paths.secret(namespace, name)))
        except errors.NotFound as error:
            refuse_circle(namespace, self.observed.desired.secret, name, self.context.cache)
            missing = (
                f"the Secret {name!r} that signs the certificate is not there; create it,"
                " such as by a ManagedSecret with generate: {certificate: {isCA: true}}"
            )
            raise Wait(ErrorReason.ISSUER_NOT_FOUND, missing, _ISSUER_RETRY_DELAY) from error


def _present(
    reason: steps.Reason, absent: frozenset[str], desired: Desired, before: Mapping[str, ItemValues]
) -> Desired:
    """Return the spec with the items that the revision has, each after those that it depends on.

    Before an awaited read, no key is renamed: an entry of dataFrom may have the earlier one.
    """
    items = tuple(item for item in making_order(desired) if item.name not in absent)
    recorded = tuple(_under_recorded_keys(item, before.get(item.name)) for item in items)
    keys = [key for item in recorded for key in item.keys.values()]
    is_kept = bool(reason.awaited) and len(set(keys)) == len(keys)
    return replace(desired, items=recorded if is_kept else items)


def _under_recorded_keys(item: Item, found: ItemValues | None) -> Item:
    has_same_outputs = found is not None and found.keys.keys() == item.keys.keys()
    return replace(item, keys=found.keys) if found and has_same_outputs else item


def _kept_until_read(
    reason: steps.Reason, desired: Desired, before: Mapping[str, ItemValues]
) -> dict[str, ItemValues]:
    """Return the values of removed items that stay, because stores may have their keys, and cannot be read.

    In an emergency generated ones do not stay, because they are exposed.
    """
    if not reason.awaited:
        return {}
    kept = {
        name: one.settled().behind(desired.every_key)
        for name, one in before.items()
        if name not in desired.names and not is_found(name)
        if one.is_read or one.recipe == LITERAL or reason.name != RevisionReason.EMERGENCY
    }
    return {name: one for name, one in kept.items() if one.outputs}


def making_order(desired: Desired) -> tuple[Item, ...]:
    """Sort the items topologically: each comes after those that it depends on.

    Raises:
        Stalled: A recipe is invalid, or names a missing value.
    """
    needs = _every_need(desired)
    for name, needed in needs.items():
        if lacking := sorted(needed - (desired.names - {name})):
            raise Stalled(
                ErrorReason.INVALID_GENERATOR,
                f"data item {name!r} is made from {', '.join(lacking)}, which is no other item of data;"
                " write the name of one",
            )
    ordered: dict[str, Item] = {}
    while len(ordered) < len(desired.items):
        ready = [
            one for one in desired.items if one.name not in ordered and needs[one.name] <= ordered.keys()
        ]
        if not ready:
            raise Stalled(
                ErrorReason.INVALID_GENERATOR,
                "items of data are made from each other; give one another source",
            )
        ordered |= {item.name: item for item in ready}
    return tuple(ordered.values())


def _every_need(desired: Desired) -> dict[str, frozenset[str]]:
    return {item.name: _needs(item, desired) for item in desired.items}


def _needs(item: Item, desired: Desired) -> frozenset[str]:
    if item.is_login and desired.account:
        return frozenset({desired.account.password})
    return generator_for(item.recipe).needs if item.recipe else frozenset()


def _previous(item: Item, before: ItemValues | None) -> Outputs | None:
    """Return the outputs that stay readable, if this item generated them; a literal is not kept."""
    if before is None or before.recipe == LITERAL or before.outputs.keys() != item.keys.keys():
        return None
    return before.overlapping


def _with_held(made: ItemValues, item: Item, held: ItemValues | None, desired: Desired) -> ItemValues:
    """Keep the value that pods hold of a generated item, under keys of its own and for templates that read it."""
    is_made = item.recipe is not None or item.is_login
    previous = _previous(item, held) if is_made else None
    if held is None or previous is None:
        return made
    return replace(
        made,
        previous=dict(previous) if item.keep_previous else {},
        earlier=dict(held.outputs) if desired.reads_previous else {},
    )


async def _render(
    namespace: str,
    reason: steps.Reason,
    desired: Desired,
    values: Mapping[str, ItemValues],
    state: State | None,
    now: datetime,
) -> Mapping[str, Rendered]:
    """Render in a thread: a template is code of a tenant.

    Templates that read what is awaited from stores follow with it; until then the recorded ones are rendered.
    These read removed values as well, which are not in the revision.
    """
    before = state.current if state else None

    async def render(texts: Mapping[str, str], inputs: Mapping[str, ItemValues]) -> Mapping[str, Rendered]:
        if not texts:
            return {}
        return await threadpools.run_for_tenant(namespace, templates.rendered, texts, inputs, before, now)

    try:
        return await render(desired.templates, values)
    except templates.TemplateFailed:
        if state is None or not reason.awaited:
            raise
    removed = {
        name: one.settled()
        for name, one in state.current.values.items()
        if name not in values and not is_found(name)
    }
    return await render(state.facts.templates, {**removed, **values})


def _content_of(revision: Revision, state: State | None) -> transitions.Content:
    base, before = state.current if state else None, carried_values(state)
    data, previous = revision.data(), revision.overlap_data()
    known = base.overlap_data() if base else {}
    added = frozenset(key for key, value in previous.items() if key not in data and known.get(key) != value)
    return transitions.Content(
        keys={name: kept.keys for name, kept in revision.values.items()},
        templates={key: rendered.template for key, rendered in revision.rendered.items()},
        changed=changed_keys(base.data() if base else {}, data) | _rendered_anew(revision, base) | added,
        previous=frozenset(previous),
        begins_overlap=any(
            kept.overlaps and not (name in before and kept.overlaps_as(before[name]))
            for name, kept in revision.values.items()
        ),
    )


def _rendered_anew(revision: Revision, before: Revision | None) -> frozenset[str]:
    """Return the keys whose templates have a new result during the overlap."""
    known = before.rendered if before else {}
    return frozenset(
        key for key, made in revision.rendered.items() if made.overlap is not None and known.get(key) != made
    )


@dataclass(slots=True)
class _Generation:
    """Values of one ManagedSecret that are being generated, or were."""

    jobs: dict[str, BackgroundJob[ItemValues]] = field(default_factory=dict)
    """By item name."""
    since: datetime | None = None
    """When the first of the kept values was started."""
    answers: frozenset[str] = frozenset()
    """Declarations that were known when the first was started."""


class GeneratedValues:
    """Values that are being generated, or were and are in no revision yet, by ManagedSecret."""

    def __init__(self) -> None:
        self._generations: dict[ObjectKey, _Generation] = {}

    def job(self, key: ObjectKey, item: str) -> BackgroundJob[ItemValues] | None:
        generation = self._generations.get(key)
        return generation.jobs.get(item) if generation else None

    def since(self, key: ObjectKey) -> datetime | None:
        """Return when the first of the kept values was started; None without one."""
        generation = self._generations.get(key)
        return generation.since if generation else None

    def keep(self, key: ObjectKey, item: str, job: BackgroundJob[ItemValues], began: datetime) -> None:
        generation = self._generations.setdefault(key, _Generation())
        generation.jobs[item] = job
        generation.since = generation.since or began

    def drop(self, key: ObjectKey, item: str) -> None:
        """Drop the value of an item, whose generation failed."""
        generation = self._generations[key]
        del generation.jobs[item]
        if not generation.jobs:
            generation.since = None

    def forget_exposed(self, key: ObjectKey, answers: frozenset[str]) -> None:
        """Drop values whose generation was started before a declaration that the next revision answers was known."""
        known = self._generations.get(key)
        if known is None or not answers <= known.answers:
            self.forget(key)
            self._generations[key] = _Generation(answers=answers)

    def forget(self, key: ObjectKey) -> None:
        """Cancel and drop all values: a revision records them, or the spec no longer asks for them."""
        generation = self._generations.pop(key, None)
        for job in generation.jobs.values() if generation else ():
            job.task.cancel()


async def generate_value(
    item: Item,
    recipe: str,
    generator: Generator[Any],
    given: GeneratorContext,
    key: ObjectKey,
    generated: GeneratedValues,
    context: Context,
) -> ItemValues:
    """Generate a value by a recipe; `given.previous` stays readable next to it.

    One that takes long is generated in the background, since values that wait for their turn would otherwise occupy
    all workers. It stays in memory until all other values of its revision exist as well.

    Raises:
        Wait: A background job runs and will wake the object, or it takes too long.
        Stalled: The recipe is invalid.
    """
    doing = partial(_generated, item, recipe, generator, given)
    if not generator.is_long:
        if generator.is_slow or (given.previous and generator.merges):
            return await threadpools.run_for_tenant(key.namespace, doing)
        return doing()
    job = generated.job(key, item.name)
    if job is None or job.name != recipe:
        if job:
            job.task.cancel()
        began, work = context.now(), threadpools.run_long(key.namespace, doing)
        job = await begin(recipe, work, lambda: context.queue.add(key))
        generated.keep(key, item.name, job, began)
    if not job.task.done():
        raise being_made()
    if job.task.exception():
        generated.drop(key, item.name)
    return job.task.result()


def _generated(item: Item, recipe: str, generator: Generator[Any], given: GeneratorContext) -> ItemValues:
    outputs = generator.generate(given)
    kept = ItemValues(recipe, outputs, item.keys, generator.life(outputs))
    if not given.previous:
        return kept
    during = generator.overlapping(outputs, given.previous)
    return replace(kept, overlap={name: value for name, value in during.items() if value != outputs[name]})
