"""Finds recorded values that do not match the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.spec.desired import VALUE
from keyturn.core.state.revision import LITERAL
from keyturn.generators import generator_for
from keyturn.runtime import threadpools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.keys import ObjectKey
    from keyturn.core.spec.desired import Desired, Item
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State

__all__ = ["unfit"]


async def unfit(key: ObjectKey, desired: Desired, state: State) -> frozenset[str]:
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
        found |= await threadpools.for_tenant(key.namespace, _not_accepted, doubted)
    return frozenset(found)


def _is_doubtful(item: Item, kept: ItemValues) -> bool:
    """Whether a value has another recipe or none, so that only its generator can tell whether it fits."""
    is_ours = item.recipe is not None and not item.of_class and kept.recipe != LITERAL
    return is_ours and item.recipe is not None and kept.recipe != item.recipe.text


def _not_accepted(doubted: Iterable[tuple[Item, ItemValues]]) -> set[str]:
    return {
        item.name
        for item, kept in doubted
        if item.recipe and not generator_for(item.recipe).accepts(kept.outputs)
    }


def _fits(item: Item, kept: ItemValues) -> bool:
    if item.recipe is None:
        return _is_given(item, kept)
    if kept.recipe == LITERAL:
        return False  # the spec has it in plain text
    return not item.of_class or kept.outputs.keys() == item.keys.keys()


def _is_given(item: Item, kept: ItemValues) -> bool:
    """Whether an item has today's literal, or a value from today's source."""
    if item.source is not None:
        return kept.recipe == item.source.text
    return item.literal is not None and kept.outputs == {VALUE: item.literal}
