"""Generates one value: on the event loop, in the tenant's thread, or as a background job if it takes seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.controllers.background import begin
from keyturn.core.observation.store_reads import being_made
from keyturn.core.state.revision import ItemValues
from keyturn.runtime import threadpools

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.controllers.background import BackgroundJob
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.spec.desired import Item
    from keyturn.generators import Generator, GeneratorContext, Outputs

__all__ = ["GeneratedValues", "kept"]


@dataclass(frozen=True, slots=True)
class _Generation:
    """Values of one revision that are being generated, or were."""

    since: datetime
    jobs: dict[str, BackgroundJob[ItemValues]] = field(default_factory=dict)
    """By item name."""


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
        generation = self._generations.get(key)
        if generation is None:
            generation = self._generations[key] = _Generation(began)
        generation.jobs[item] = job

    def drop(self, key: ObjectKey, item: str) -> None:
        """Drop the value of an item, whose generation failed."""
        generation = self._generations[key]
        del generation.jobs[item]
        if not generation.jobs:
            del self._generations[key]

    def forget(self, key: ObjectKey) -> None:
        """Cancel and drop all values: a revision records them, or the spec no longer asks for them."""
        generation = self._generations.pop(key, None)
        for job in generation.jobs.values() if generation else ():
            job.task.cancel()


async def kept(
    item: Item,
    recipe: str,
    generator: Generator[Any],
    given: GeneratorContext,
    key: ObjectKey,
    generated: GeneratedValues,
    context: Context,
) -> ItemValues:
    """Generate a value by a recipe; `given.previous` stays readable next to it.

    Raises:
        Wait: A background job runs and will wake the object, or it takes too long.
        Stalled: The recipe is invalid.
    """
    doing = partial(_kept, item, recipe, generator, given)
    if generator.is_long:
        return await _apart(item, recipe, doing, key, generated, context)
    if generator.is_slow or (given.previous and generator.merges):
        return await threadpools.for_tenant(key.namespace, doing)
    return doing()


async def _apart(
    item: Item,
    recipe: str,
    doing: Callable[[], ItemValues],
    key: ObjectKey,
    generated: GeneratedValues,
    context: Context,
) -> ItemValues:
    """Generate in the background: values that wait for their turn would otherwise occupy all workers.

    The value stays in memory until all other values of its revision exist as well.
    """
    job = generated.job(key, item.name)
    if job is None or job.name != recipe:
        if job:
            job.task.cancel()
        began, work = context.now(), threadpools.for_tenant_at_length(key.namespace, doing)
        job = await begin(recipe, work, lambda: context.wake(key))
        generated.keep(key, item.name, job, began)
    if not job.task.done():
        raise being_made()
    if job.task.exception():
        generated.drop(key, item.name)
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
