"""Which recorded values are not what is asked for today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.spec.desired import VALUE
from keyturn.core.state.revision import LITERAL
from keyturn.generators import generator_for
from keyturn.runtime import threadpools as threads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.keys import ObjectKey
    from keyturn.core.spec.desired import Desired, Item
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State

__all__ = ["unfit"]


async def unfit(key: ObjectKey, desired: Desired, state: State) -> frozenset[str]:
    """Name the items whose values are not what is asked for today."""
    values = state.current.values
    there = [(item, values[item.name]) for item in desired.items if item.name in values]
    doubted: list[tuple[Item, ItemValues]] = []
    found: set[str] = set()
    for item, kept in there:
        if _is_doubtful(item, kept):
            doubted.append((item, kept))
        elif not _fits(item, kept):
            found.add(item.name)
    if doubted:  # whose values may be anybody's
        found |= await threads.for_tenant(key.namespace, _not_accepted, doubted)
    return frozenset(found)


def _is_doubtful(item: Item, kept: ItemValues) -> bool:
    """Say whether another recipe has made a value, or nobody's, so that only looking at it can tell."""
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
        return False  # it was written in the spec for everybody to read
    return not item.of_class or kept.outputs.keys() == item.keys.keys()


def _is_given(item: Item, kept: ItemValues) -> bool:
    """Say whether it holds the literal of today, or what was read from where the spec says today."""
    if item.source is not None:
        return kept.recipe == item.source.text
    return item.literal is not None and kept.outputs == {VALUE: item.literal}
