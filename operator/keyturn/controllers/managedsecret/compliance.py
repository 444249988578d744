"""Evaluates class policy and checklist rules for one ManagedSecret.

Values that are equal to those of other ManagedSecrets are found by keyed hashes of this process.
"""

import hashlib
import hmac
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import structlog

from keyturn.api.base import Recipe
from keyturn.checklist.strength_estimate import is_weak
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import PRODUCTION
from keyturn.core.observation.observed import Observed, with_facts
from keyturn.core.policy import ClassRule
from keyturn.core.policy.checklist import GRACE, ChecklistFacts, reported_twins
from keyturn.core.policy.rules import Evidence, Strength, Violation, violations_by_value
from keyturn.core.rotation.completion import kept_since
from keyturn.core.rotation.triggers import is_due_on_request, is_overdue
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import VALUE, Item
from keyturn.core.state.records import LITERAL, ItemValues
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.generators import generator_for
from keyturn.kube.cache.cache import InformerCache
from keyturn.runtime import threadpools

_KEY_BYTES = 32
_TAG_BYTES = 16  # of 32: two different values share a tag with a probability of 2**-128


class ValueIndex:
    """Index of HMAC-SHA256 tags, in memory only.

    The key is random and belongs to the process, so that a tag has no meaning elsewhere. After a start each value
    must be read once before the index is complete.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._tags: dict[ObjectKey, frozenset[tuple[str, bytes]]] = {}
        self._holders: defaultdict[bytes, set[ObjectKey]] = defaultdict(set)
        self._unread: set[ObjectKey] | None = None
        self._waiting: set[ObjectKey] = set()

    def expect(self, keys: Iterable[ObjectKey]) -> None:
        """Set the objects that exist at the start."""
        self._unread = set(keys) - self._tags.keys()

    @property
    def is_complete(self) -> bool:
        """Whether all objects of the start were read, so that a value without a match is unique."""
        return self._unread is not None and not self._unread

    def put(self, key: ObjectKey, values: Iterable[tuple[str, Value]]) -> set[ObjectKey]:
        """Set the named values of an object; return the other objects whose matches changed."""
        fresh = frozenset(
            (name, hmac.digest(self._key, value.reveal(), hashlib.sha256)[:_TAG_BYTES])
            for name, value in values
        )
        before = self._tags.pop(key, frozenset())
        if fresh:
            self._tags[key] = fresh
        news = set[ObjectKey]()
        for tag in {tag for _, tag in fresh ^ before}:
            news |= self._update_holders(key, tag, {held for _, held in fresh})
        return news - {key}

    def drop(self, key: ObjectKey) -> set[ObjectKey]:
        """Remove an object; return the other objects whose matches changed."""
        return self.put(key, ()) | self.mark_read(key)

    def equal_values(self, key: ObjectKey) -> dict[str, set[ObjectKey]]:
        """Return the values that other objects have as well, by name, with these objects."""
        held = self._tags.get(key, frozenset())
        shared = {name: self._holders[tag] - {key} for name, tag in held}
        return {name: others for name, others in shared.items() if others}

    def notify_when_complete(self, key: ObjectKey) -> None:
        """Register `key` to be returned once all objects of the start were read."""
        self._waiting.add(key)

    def mark_read(self, key: ObjectKey) -> set[ObjectKey]:
        """Count an object of the start as read; return the registered objects after the last one."""
        if self._unread:
            self._unread.discard(key)
        if not self.is_complete:
            return set()
        waiting, self._waiting = self._waiting, set()
        return waiting

    def _update_holders(self, key: ObjectKey, tag: bytes, held: set[bytes]) -> set[ObjectKey]:
        holders = self._holders[tag]
        if tag in held:
            holders.add(key)
        else:
            holders.discard(key)
        if not holders:
            del self._holders[tag]
        return set(holders)


_MAX_INLINE_VALUES = 20
"""Number of values up to which they are evaluated on the event loop, without a thread."""
_MAX_INLINE_BYTES = 16 * 1024
"""Total bytes of values up to which they are evaluated on the event loop."""

_UNCHECKED: Final = (
    "distinctAcrossEnvironments is not checked: the operator watches selected namespaces and cannot read"
    " the labels of others"
)

_log = structlog.get_logger()


class _Evaluation(NamedTuple):
    """What the rules need of values; the values themselves are not kept."""

    weak: Mapping[str, str]
    """Keys of the Secret with a weak value that no recipe has generated, each with its item."""
    older: Mapping[str, Strength | None]
    """Items whose value the current recipe cannot have generated, with the strength of the value."""
    lengths: Mapping[str, int]
    """Lengths of the values that were read from stores, by item."""


_NO_FINDINGS: Final = _Evaluation({}, {}, {})


class ComplianceMemory:
    """Findings about values that were read, by ManagedSecret."""

    def __init__(self) -> None:
        self.index = ValueIndex()
        self._evaluations: dict[ObjectKey, _Evaluation] = {}
        self._first: dict[ObjectKey, int] = {}
        """Revision that was current when this process read the state for the first time."""
        self._equal: dict[ObjectKey, Mapping[str, frozenset[ObjectKey]]] = {}
        """Values that another environment has as well, each with the objects that have it, as last logged."""
        self._affected: set[ObjectKey] = set()

    def evaluation(self, key: ObjectKey) -> _Evaluation:
        return self._evaluations.get(key, _NO_FINDINGS)

    def keep(self, key: ObjectKey, evaluation: _Evaluation) -> None:
        if any(evaluation):
            self._evaluations[key] = evaluation
        else:
            self._evaluations.pop(key, None)

    def is_first(self, key: ObjectKey, number: int) -> bool:
        """Whether a revision was current when this process read the state for the first time."""
        return self._first.get(key) == number

    def keep_first(self, key: ObjectKey, number: int) -> None:
        self._first.setdefault(key, number)

    def replace_equal(self, key: ObjectKey, found: Mapping[str, frozenset[ObjectKey]]) -> bool:
        """Replace the objects with equal values; return whether they differ from the last ones."""
        if found == self._equal.get(key, {}):
            return False
        self._equal.pop(key, None)
        if found:
            self._equal[key] = found
        return True

    def affect(self, keys: Iterable[ObjectKey]) -> None:
        """Add objects whose findings depend on a value that was just read."""
        self._affected.update(keys)

    def pop_affected(self) -> set[ObjectKey]:
        """Return and drop the affected objects, which are to be reconciled."""
        affected, self._affected = self._affected, set()
        return affected

    def forget(self, key: ObjectKey) -> None:
        """Drop a deleted object, which affects those with equal values."""
        self.affect(self.index.drop(key))
        self._evaluations.pop(key, None)
        self._first.pop(key, None)
        self._equal.pop(key, None)


async def note_values(
    key: ObjectKey, desired: Desired, state: State | None, memory: ComplianceMemory, cache: InformerCache
) -> None:
    """Keep what the rules need of the values that were just read, and which objects have equal ones."""
    if state is None:
        memory.keep(key, _NO_FINDINGS)
    elif _takes_long(desired, state):
        memory.keep(key, await threadpools.run_for_tenant(key.namespace, _evaluate, desired, state))
    else:
        memory.keep(key, _evaluate(desired, state))
    if state:
        memory.keep_first(key, state.facts.current_number)
    is_compared = state and cache.environment(key.namespace)
    memory.affect(memory.index.put(key, _secret_values(desired, state) if state and is_compared else ()))


def _takes_long(desired: Desired, state: State) -> bool:
    """Whether there are many values, or values of a foreign recipe, such as keys and certificates."""
    values = state.current.values
    recorded = [(item, values[item.name]) for item in desired.items if item.name in values]
    return (
        len(recorded) > _MAX_INLINE_VALUES
        or any(item.of_class and item.recipe and kept.recipe != item.recipe.text for item, kept in recorded)
        or sum(len(value.reveal()) for _, kept in recorded for value in kept.outputs.values())
        > _MAX_INLINE_BYTES
    )


def _evaluate(desired: Desired, state: State) -> _Evaluation:
    return _Evaluation(
        {key: item for key, (item, value) in _without_recipe(desired, state).items() if is_weak(key, value)},
        dict(_older_than_recipe(desired, state)),
        dict(_lengths(desired, state)),
    )


def with_compliance(
    key: ObjectKey, observed: Observed, memory: ComplianceMemory, cache: InformerCache
) -> Observed:
    """Add violated rules of the class, a rule that could not be evaluated, and checklist findings.

    The checklist leaves out what a violated rule reports.
    """
    memory.affect(memory.index.mark_read(key))
    desired, is_late = observed.desired, is_overdue(observed) or is_due_on_request(observed)
    of_values = [item.secret_class for item in desired.items if item.secret_class] if desired else []
    classes = [*of_values, observed.secret_class] if observed.secret_class else of_values
    compares = any(one.spec.distinct_across_environments for one in classes)
    unchecked = _UNCHECKED if compares and not cache.sees_namespaces else None
    if desired is None:
        facts = ChecklistFacts(is_overdue=is_late)
        return with_facts(observed, unchecked=unchecked, checklist_facts=facts)
    is_production = cache.environment(key.namespace) == PRODUCTION
    shared = _twins(key, observed, memory, cache) if compares or is_production else frozenset[str]()
    found, ended = memory.evaluation(key), kept_since(observed)
    violated: tuple[Violation, ...] = ()
    if classes:
        made = ((item.name, generator_for(item.recipe).strength()) for item in desired.items if item.recipe)
        evidence = Evidence(
            strengths={name: strength for name, strength in made if strength},
            cadence=desired.cadence,
            windows=desired.windows,
            rotates=desired.rotates,
            older=found.older,
            pulled=found.lengths,
            equal_values=shared if compares else frozenset(),
            immutable=desired.target_policy.immutable,
        )
        violated = violations_by_value(observed.secret_class, desired, evidence)
    named = frozenset[str]().union(*(violation.fixed_by for violation in violated))
    is_reported = any(violation.rule == ClassRule.MAX_INTERVAL for violation in violated)
    facts = ChecklistFacts(
        weak=frozenset(secret_key for secret_key, item in found.weak.items() if item not in named),
        shared=frozenset() if compares else shared,
        unscheduled=frozenset() if is_reported else desired.unscheduled,
        unapplied=desired.unapplied,
        is_overdue=is_late,
        kept_since=ended if ended and observed.now >= ended + GRACE else None,
    )
    return with_facts(observed, violations=violated, unchecked=unchecked, checklist_facts=facts)


def _older_than_recipe(desired: Desired, state: State) -> Iterator[tuple[str, Strength | None]]:
    """Yield items whose value the current recipe of the class cannot have generated, with its strength."""
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept is None or item.recipe is None or not item.of_class or kept.recipe == item.recipe.text:
            continue
        generator = generator_for(item.recipe)
        if generator.strength() and not generator.accepts(kept.outputs):
            yield item.name, _strength_of(kept)


def _without_recipe(desired: Desired, state: State) -> dict[str, tuple[str, Value]]:
    """Return the values that no recipe has generated, by key of the Secret, each with its item."""
    kept = ((item, state.current.values.get(item.name)) for item in desired.items)
    return {
        item_values.keys[output]: (item.name, value)
        for item, item_values in kept
        if item_values and _has_no_recipe(item, item_values)
        for output, value in item_values.outputs.items()
        if output in item_values.keys
    }


def _has_no_recipe(item: Item, kept: ItemValues) -> bool:
    """Whether a value has a foreign origin; an adopted one that its recipe accepts does not count."""
    if item.recipe is None or kept.recipe in {"", LITERAL}:
        return True
    generator = generator_for(item.recipe)
    return generator.outputs == (VALUE,) and not generator.accepts(kept.outputs)


def _lengths(desired: Desired, state: State) -> Iterator[tuple[str, int]]:
    """Yield the lengths of values that were read one by one; which part of a whole document is secret is unknown."""
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept and item.source and not item.spreads:
            yield item.name, min(len(value.reveal()) for value in kept.outputs.values())


def _strength_of(kept: ItemValues) -> Strength | None:
    if kept.recipe in {"", LITERAL}:
        return None
    try:
        return generator_for(Recipe.model_validate_json(kept.recipe)).strength()
    except (Stalled, ValueError):  # the recipe is of another version of Keyturn
        return None


def _secret_values(desired: Desired, state: State) -> Iterator[tuple[str, Value]]:
    """Yield the secret values: no literals, and no values without strength, such as identifiers.

    Values from stores may be secret, and count.
    """
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept and item.source:
            yield from ((item.name, value) for value in kept.outputs.values())
        generator = generator_for(item.recipe) if item.recipe else None
        if kept and generator and generator.strength():
            secret = kept.outputs.keys() - generator.public
            yield from ((item.name, kept.outputs[output]) for output in sorted(secret))


def _twins(
    key: ObjectKey, observed: Observed, memory: ComplianceMemory, cache: InformerCache
) -> frozenset[str]:
    """Return the values that another environment has as well.

    Until all objects of the start were read, the findings of the previous process remain.
    """
    here = cache.environment(key.namespace)
    if here is None:
        return frozenset()
    matches = {
        name: frozenset(other for other in others if cache.environment(other.namespace) not in {None, here})
        for name, others in memory.index.equal_values(key).items()
    }
    matches = {name: others for name, others in matches.items() if others}
    if memory.replace_equal(key, matches):
        for name, others in matches.items():  # only here: a tenant must not see other namespaces
            _log.warning("equal values found", secret=str(key), item=name, others=sorted(map(str, others)))
    if memory.index.is_complete:
        return frozenset(matches)
    memory.index.notify_when_complete(key)
    if observed.state and not memory.is_first(key, observed.state.current_number):
        return frozenset(matches)  # the values have changed since
    return frozenset(matches) | reported_twins(observed.managed.status)
