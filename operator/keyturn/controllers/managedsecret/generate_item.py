"""How one value is made: at once, in its tenant's thread, or apart from the workers where that takes seconds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.controllers.background import begin
from keyturn.core.observation.store_reads import being_made
from keyturn.core.state.revision import ItemValues
from keyturn.runtime import threadpools as threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.spec.desired import Item
    from keyturn.generators import Generator, GeneratorContext, Outputs

__all__ = ["kept"]


async def kept(
    item: Item,
    recipe: str,
    generator: Generator[Any],
    given: GeneratorContext,
    key: ObjectKey,
    context: Context,
) -> ItemValues:
    """Make a value by a recipe; `given.previous` is what stays readable beside it.

    Raises:
        Wait: It is being made, and the object is looked at again at the end; or that takes too long.
        Stalled: It cannot be made.
    """
    doing = partial(_kept, item, recipe, generator, given)
    if generator.is_long:
        return await _apart(item, recipe, doing, key, context)
    if generator.is_slow or (given.previous and generator.merges):
        return await threads.for_tenant(key.namespace, doing)
    return doing()


async def _apart(
    item: Item, recipe: str, doing: Callable[[], ItemValues], key: ObjectKey, context: Context
) -> ItemValues:
    """Have it made in the background: so many may wait for their turn that no worker would be left.

    It stays there until all other values of its revision are made as well.
    """
    outside = context.memory(key).outside
    there = outside.making.get(item.name)
    if there is None or there.name != recipe:
        if there:
            there.task.cancel()
        if not outside.making:
            outside.making_since = context.now()
        work = threads.for_tenant_at_length(key.namespace, doing)
        there = outside.making[item.name] = await begin(recipe, work, lambda: context.wake(key))
    if not there.task.done():
        raise being_made()
    if there.task.exception():
        del outside.making[item.name]
    return there.task.result()


def _kept(item: Item, recipe: str, generator: Generator[Any], given: GeneratorContext) -> ItemValues:
    outputs = generator.generate(given)
    kept = ItemValues(recipe, outputs, item.keys, generator.life(outputs))
    return _overlapping(kept, item, given.previous, generator) if given.previous else kept


def _overlapping(kept: ItemValues, item: Item, previous: Outputs, generator: Generator[Any]) -> ItemValues:
    during = generator.overlapping(kept.outputs, previous)
    return replace(
        kept,
        overlap={output: value for output, value in during.items() if value != kept.outputs[output]},
        previous=dict(previous) if item.keep_previous else {},
    )
