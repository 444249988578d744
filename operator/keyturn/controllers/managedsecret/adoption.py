"""Takes over the data of an existing Secret: sorted by the items of the spec, and recorded as a revision."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from keyturn.api.account import USERNAME
from keyturn.api.base import Recipe
from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OVERLAP_ANNOTATION
from keyturn.core.observation.observed import Specified
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps, transitions
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import VALUE, Item, previous_key
from keyturn.core.spec.references import LOGIN, UNKNOWN_SOURCE
from keyturn.core.state.records import (
    LITERAL,
    ItemValues,
    Rendered,
    Revision,
    Validity,
    changed_keys,
    found_under,
    is_found,
)
from keyturn.core.state.state import State
from keyturn.core.texts import few
from keyturn.core.value import Value
from keyturn.generators import Outputs, generator_for
from keyturn.kube.target_secret import values_of
from keyturn.kube.wire import Body
from keyturn.runtime import threadpools

from .secret_reads import SecretReads


def found_values(desired: Desired, body: Body) -> dict[str, ItemValues]:
    """Return the data of an own Secret, whose state is lost, by the items that write it.

    A plain value stays until the next rotation, whatever its generator, because it may have been adopted. A key of no
    item is kept under its own name, unless the spec leaves it to other writers; those of dataFrom are then unknown.
    With dataFrom it counts as read from a store, because such values are not pushed.
    """
    data = values_of(body)
    previous = _previous_data(body, data, None)
    kept = {
        item.name: _found(item, _recipe_of(item, outputs), outputs, previous)
        for item, outputs in _complete_items(desired, data)
    }
    if desired.target_policy.merges:
        return kept | {
            item.name: ItemValues(UNKNOWN_SOURCE, {}, {}) for item in desired.items if item.spreads
        }
    stray = _stray(data, kept)
    if desired.target_policy.adopts:  # they may be the values with which it was adopted
        return {found_under(key): one for key, one in stray.items()} | kept
    recipe = UNKNOWN_SOURCE if any(item.spreads for item in desired.items) else ""
    return {name: replace(one, recipe=recipe) for name, one in stray.items() if name not in kept} | kept


def _found_templates(desired: Desired, body: Body) -> dict[str, Rendered]:
    """Return the templates of an own Secret, whose state is lost, if other keys are left to other writers.

    They count as rendered from the text of the spec, and stay until a value changes that they read: those of dataFrom
    are unknown.
    """
    data = values_of(body) if desired.target_policy.merges else {}
    return {key: Rendered(text, data[key]) for key, text in desired.templates.items() if key in data}


def adopted_values(desired: Desired, body: Body, state: State | None) -> dict[str, ItemValues]:
    """Return the data of an unmanaged Secret by the items that will write it.

    Every value that the Secret has stays until the next rotation, and missing outputs are derived from it. Keys of no
    item are kept for a rollback, unless the spec leaves them to other writers.

    Raises:
        Stalled: A generated value would replace one that the Secret has.
    """
    data = values_of(body)
    previous = _previous_data(body, data, state)
    kept = {}
    for item, outputs in _complete_items(desired, data):
        if _stays(item, outputs):
            kept[item.name] = _found(item, _recipe_that_stays(item, outputs), outputs, previous)
    _refuse_replacement(desired, data, kept.keys(), state.facts.names if state else frozenset())
    if desired.target_policy.merges:
        return kept
    return kept | {found_under(key): one for key, one in _stray(data, kept).items()}


def _complete_items(desired: Desired, data: Mapping[str, Value]) -> Iterator[tuple[Item, Outputs]]:
    """Yield the items of which the data has every key, or all others follow from it, each with its values."""
    for item in desired.items:
        outputs = _outputs_in(data, item)
        if outputs and outputs.keys() == item.keys.keys():
            yield item, outputs


def _outputs_in(data: Mapping[str, Value], item: Item) -> Outputs:
    """Return the outputs of an item that data has, with those that follow from them."""
    found = {output: data[key] for output, key in item.keys.items() if key in data}
    if not found or found.keys() == item.keys.keys() or item.recipe is None:
        return found
    return generator_for(item.recipe).adopted(found) or found


def _refuse_replacement(
    desired: Desired, data: Mapping[str, Value], kept: Collection[str], recorded: Collection[str]
) -> None:
    """Check that no generated value replaces one of `data`, whose items are `kept`; `recorded` ones have values."""
    generated = [item for item in desired.items if item.recipe]
    needs = {item.name: generator_for(item.recipe).needs for item in generated if item.recipe}
    made = frozenset(item.name for item in generated if item.name not in kept and item.name not in recorded)
    every = transitions.with_dependents(made, needs)
    for item in generated:
        held = [key for key in item.keys.values() if key in data and data[key].reveal()]
        if held and (item.name in every or item.name not in kept):
            sources = [one for one in desired.items if one.name in {item.name, *(needs[item.name] & made)}]
            missing = {key for one in sources for key in one.keys.values()} - data.keys()
            raise _replacement(desired.secret, item.name, held, missing)


def _replacement(secret: str, item: str, held: Collection[str], missing: Collection[str]) -> Stalled:
    added = f", add {few(missing)} to the Secret" if missing else ""
    return Stalled(
        ErrorReason.KEY_CONFLICT,
        f"the Secret {secret!r} has values under {few(held)}, which data item {item!r} would replace; write settings"
        f" that they fit{added}, write other keys for the item, or remove them from the Secret",
    )


def _previous_data(body: Body, data: Mapping[str, Value], state: State | None) -> Mapping[str, Value]:
    """Return the data that may be previous values of an overlap, by the Secret's annotation or by the record."""
    if OVERLAP_ANNOTATION in (body["metadata"].get("annotations") or {}):
        return data
    recorded = [one.overlap_data() for one in state.revisions.values()] if state else []
    return {key: value for one in recorded for key, value in one.items() if data.get(key) == value}


def _found(item: Item, recipe: str, outputs: Outputs, before: Mapping[str, Value]) -> ItemValues:
    """Return the values of an item that are in an existing Secret; `before` may have their previous ones."""
    keys = {output: previous_key(key) for output, key in item.keys.items() if item.keep_previous}
    previous = {output: before[key] for output, key in keys.items() if key in before}
    return ItemValues(recipe, outputs, item.keys, _life_of(item, outputs), previous=previous)


def _stray(data: Mapping[str, Value], kept: Mapping[str, ItemValues]) -> dict[str, ItemValues]:
    """Return the values of no item, by key."""
    known = {key for one in kept.values() for key in (*one.keys.values(), *one.overlap_data())}
    return {
        key: ItemValues("", {VALUE: value}, {VALUE: key}) for key, value in data.items() if key not in known
    }


def is_written(state: State, desired: Desired, body: Body) -> bool:
    """Whether only Keyturn can have written a Secret that has lost its label: it is as a recorded revision.

    One of its values must have been generated, because authors choose all others: by literals they could guess the
    values of a foreign Secret, and take it over.
    """
    data, revisions = values_of(body), state.revisions.values()
    written = [
        one.published_data(overlapping=overlapping) for one in revisions for overlapping in (False, True)
    ]
    is_whole = any(
        all(key in data and data[key] == value for key, value in one.items())
        and (desired.target_policy.merges or one.keys() == data.keys())
        for one in written
    )
    return is_whole and any(
        key in data and data[key] == value
        for facts in state.facts.revisions
        if facts.number in state.revisions
        for name in facts.fresh
        for key, value in _unguessable(state.revisions[facts.number].values[name]).items()
    )


def _unguessable(kept: ItemValues) -> dict[str, Value]:
    """Return the secret values of a generated item by key; none if it is made from other values, or no secret."""
    try:
        generator = generator_for(Recipe.model_validate_json(kept.recipe))
    except (Stalled, ValueError):  # of another version
        return {}
    if generator.strength() is None:
        return {}
    return {kept.keys[name]: value for name, value in kept.outputs.items() if name not in generator.public}


def adopted_without_item(
    desired: Desired, before: Mapping[str, ItemValues], made: Revision, *, is_whole: bool
) -> dict[str, ItemValues]:
    """Return the adopted values whose keys no item writes now: of dataFrom, and of an overlap, the revision has them.

    One that is not whole lacks values that are awaited from stores; adopted ones under their keys stay until then.
    """
    if not desired.target_policy.keeps_others:
        return {}
    written = (desired.every_key if is_whole else frozenset(made.rendered)).union(
        *((*kept.keys.values(), *kept.overlap_data()) for kept in made.values.values())
    )
    found = {name: kept.behind(written) for name, kept in before.items() if is_found(name)}
    return {name: kept for name, kept in found.items() if kept.outputs}


def adopted_value_of(secret: str, item: Item, before: Mapping[str, ItemValues]) -> ItemValues | None:
    """Return the adopted value under the keys of an item that was added later.

    Raises:
        Stalled: A generated value would replace it.
    """
    found = {
        key: kept.outputs[VALUE] for name, kept in before.items() if is_found(name) for key in kept.data()
    }
    outputs = _outputs_in(found, item)
    if item.recipe is None or not outputs:
        return None
    if outputs.keys() != item.keys.keys() or not _stays(item, outputs):
        if held := [key for key in item.keys.values() if key in found and found[key].reveal()]:
            raise _replacement(secret, item.name, held, set(item.keys.values()) - found.keys())
        return None
    return ItemValues(_recipe_that_stays(item, outputs), outputs, item.keys, _life_of(item, outputs))


def _stays(item: Item, outputs: Outputs) -> bool:
    if item.recipe is None:
        return bool(outputs[VALUE].reveal())
    return generator_for(item.recipe).adopted(outputs) is not None


def found_login(desired: Desired, values: Mapping[str, ItemValues]) -> str | None:
    """Return the login that an existing Secret names; None without a database account.

    An adopted Secret without the key has the password of the account itself.

    Raises:
        Stalled: It names no login of the account.
    """
    if desired.account is None:
        return None
    kept, logins = values.get(USERNAME), desired.account.every_name
    if kept is None and desired.target_policy.adopts:
        return desired.account.username
    named = kept.outputs[VALUE] if kept else None
    login = next((login for login in logins if Value.of_text(login) == named), None)
    if login is None:
        raise Stalled(
            ErrorReason.USERNAME_DIFFERS,
            f"the key {USERNAME!r} of the Secret {desired.secret!r} names no login of the account"
            f" {desired.account.username!r}; write {' or '.join(logins)}, the one that its"
            " password belongs to",
        )
    return login


def _recipe_of(item: Item, outputs: Outputs) -> str:
    if item.is_login:
        return LOGIN
    if item.recipe is None:
        return item.source.text if item.source else LITERAL
    # The rules of a class judge a value whose origin is unknown; without a class it would be replaced at once.
    stays = not (item.of_class or item.is_ring) and _stays(item, outputs)
    return item.recipe.text if stays or generator_for(item.recipe).accepts(outputs) else ""


def _recipe_that_stays(item: Item, outputs: Outputs) -> str:
    """Return the recipe of adopted values; none of a ring without a next key, so that a revision announces one."""
    return _recipe_of(item, outputs) if item.recipe is None or item.is_ring else item.recipe.text


def _life_of(item: Item, outputs: Outputs) -> Validity | None:
    if item.recipe is None or not generator_for(item.recipe).accepts(outputs):
        return None
    return generator_for(item.recipe).life(outputs)


# Revisions with values that are found, not generated


async def claim(
    step: steps.Claim, key: ObjectKey, observed: Specified, secrets: SecretReads, context: Context
) -> State:
    """Return a state with the values of an existing Secret. Triggers of a new object are recorded as handled."""
    state = await secrets.state(key)
    if state is not None:
        return state.with_facts(transitions.take_over(state.facts, observed))
    body = await secrets.target(key, observed.desired.secret)
    found = (
        await threadpools.run_for_tenant(key.namespace, found_values, observed.desired, body) if body else {}
    )
    revision = Revision(found, _found_templates(observed.desired, body) if body else {})
    created = datetime.fromisoformat(body["metadata"]["creationTimestamp"]) if body else observed.now
    facts = transitions.claim(step, observed, _content_of(revision, observed.desired), created, context.now())
    return State.newer(facts, revision, None)


async def adopt(
    step: steps.Adopt,
    key: ObjectKey,
    observed: Specified,
    state: State | None,
    secrets: SecretReads,
    context: Context,
) -> State:
    """Return a state with the found values as a revision.

    Workloads that read the Secret already run it, except for values that differ from those of an earlier revision.
    """
    body = await secrets.target(key, observed.desired.secret)
    found = (
        await threadpools.run_for_tenant(key.namespace, adopted_values, observed.desired, body, state)
        if body
        else {}
    )
    # A key that is missing here is no reason to generate a new value.
    recorded = state.current.values if state else {}
    kept = {name: one.settled() for name, one in recorded.items() if name in observed.desired.names} | found
    revision = Revision(kept)
    content = _content_of(revision, observed.desired)
    if state:
        content = replace(
            content, changed=changed_keys(Revision(state.current.values).data(), revision.data())
        )
    before = state.facts if state else None
    facts = transitions.adopt(step, before, observed, content, context.now())
    return State.newer(facts, revision, state)


def _content_of(revision: Revision, desired: Desired) -> transitions.Content:
    return transitions.Content(
        keys={name: kept.keys for name, kept in revision.values.items()},
        templates={key: rendered.template for key, rendered in revision.rendered.items()},
        changed=frozenset(),
        previous=frozenset(revision.overlap_data()),
        login=found_login(desired, revision.values),
    )
