"""Generates one value: on the event loop, in the tenant's thread, or as a background job if it takes seconds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.controllers.background import begin
from keyturn.core.observation.store_reads import being_made
from keyturn.core.state.revision import ItemValues
from keyturn.runtime import threadpools

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
    """Generate a value by a recipe; `given.previous` stays readable next to it.

    Raises:
        Wait: A background job runs and will wake the object, or it takes too long.
        Stalled: The recipe is invalid.
    """
    doing = partial(_kept, item, recipe, generator, given)
    if generator.is_long:
        return await _apart(item, recipe, doing, key, context)
    if generator.is_slow or (given.previous and generator.merges):
        return await threadpools.for_tenant(key.namespace, doing)
    return doing()


async def _apart(
    item: Item, recipe: str, doing: Callable[[], ItemValues], key: ObjectKey, context: Context
) -> ItemValues:
    """Generate in the background: values that wait for their turn would otherwise occupy all workers.

    The value stays in memory until all other values of its revision exist as well.
    """
    outside = context.memory(key).outside
    job = outside.making.get(item.name)
    if job is None or job.name != recipe:
        if job:
            job.task.cancel()
        if not outside.making:
            outside.making_since = context.now()
        work = threadpools.for_tenant_at_length(key.namespace, doing)
        job = outside.making[item.name] = await begin(recipe, work, lambda: context.wake(key))
    if not job.task.done():
        raise being_made()
    if job.task.exception():
        del outside.making[item.name]
    return job.task.result()


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
