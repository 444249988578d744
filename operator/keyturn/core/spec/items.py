"""The items of a managed secret: each value, or bundle of values, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.api.target import DeletionPolicy
from keyturn.core.errors import Stalled
from keyturn.core.value import Value

from .store_refs import source_of, spread_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.api.managedsecret import DataItem, ManagedSecret
    from keyturn.api.recipe import Recipe
    from keyturn.api.secretclass import SecretClass
    from keyturn.api.source import DataFrom

    from .store_refs import Source

__all__ = ["VALUE", "Item", "is_spread", "items_of", "previous_key"]

VALUE = "value"
"""The output of whatever makes one value."""
_LONGEST_KEY = 253
"""How many characters the key of a Secret may have."""
_SPREAD = "dataFrom["
"""How the names of those items begin that bring all of a key; no item of data can have such a name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One value: made by a recipe, given, or read from a store."""

    name: str
    recipe: Recipe | None
    literal: Value | None
    keys: Mapping[str, str]
    """Under which key of the Secret each of its outputs is written; none yet where only the store can name them."""
    keep_previous: bool = False
    of_class: bool = False
    """The recipe is the class's: values that an older one made stay until the next rotation."""
    source: Source | None = None
    deletes: bool = False
    """What is gone at the store of what it brings goes from the Secret as well."""

    @property
    def spreads(self) -> bool:
        """It brings as many keys as the store has properties."""
        return self.source is not None and self.source.spreads


def is_spread(name: str) -> bool:
    """Say of the name of an item whether it brings as many keys as the store has properties."""
    return name.startswith(_SPREAD)


def items_of(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]],
) -> tuple[Item, ...]:
    """Fill in the items of data and dataFrom.

    Raises:
        Stalled: An item has no source, or two of them would be written under one key.
    """
    default = secret_class.spec.generate if secret_class else None
    written = tuple(_item(item, default, managed, outputs_of) for item in managed.spec.data)
    _hold_keys_apart(written)
    spread = tuple(
        Item(f"{_SPREAD}{place}]", None, None, {}, source=spread_of(every), deletes=_deletes(every))
        for place, every in enumerate(managed.spec.data_from or ())
    )
    return written + spread


def _deletes(every: DataFrom) -> bool:
    return every.deletion_policy is DeletionPolicy.DELETE


def _item(
    item: DataItem,
    default: Recipe | None,
    managed: ManagedSecret,
    outputs_of: Callable[[Recipe], tuple[str, ...]],
) -> Item:
    if item.from_ is not None:
        return Item(item.name, None, None, _keys(item, (VALUE,)), source=source_of(item.from_))
    if item.literal is not None:
        return Item(item.name, None, Value.of_text(item.literal), _keys(item, (VALUE,)))
    recipe = item.generate or default
    if recipe is None:
        raise Stalled(
            "NoGenerator",
            f"data item {item.name!r} has none of generate, from and literal and the class"
            f" {managed.spec.class_name!r} brings no generator; write generate: {{password: {{}}}}",
        )
    keys = _keys(item, outputs_of(recipe))
    return Item(
        item.name,
        recipe,
        None,
        keys,
        keep_previous=_keeps_previous(item, keys),
        of_class=item.generate is None,
    )


def _keys(item: DataItem, outputs: tuple[str, ...]) -> dict[str, str]:
    """Name the key of each output: as `keys` says, else the item's name for a plain value, else its own name."""
    chosen = item.keys or {}
    if unknown := sorted(chosen.keys() - set(outputs)):
        raise Stalled(
            "InvalidKeys",
            f"keys of data item {item.name!r} names {', '.join(unknown)}, which it does not make;"
            f" write one of {', '.join(outputs)}",
        )
    return {output: chosen.get(output, item.name if output == VALUE else output) for output in outputs}


def _keeps_previous(item: DataItem, keys: Mapping[str, str]) -> bool:
    """Say whether the value before stays readable, under a key that a Secret can have."""
    longest = max(keys.values(), key=len)
    if item.keep_previous and len(previous_key(longest)) > _LONGEST_KEY:
        most = _LONGEST_KEY - len(previous_key(""))
        raise Stalled(
            "InvalidKeys",
            f"keepPrevious of data item {item.name!r} would write {previous_key(longest)}, which is longer than"
            f" the {_LONGEST_KEY} characters of a key; write a key of at most {most} by keys",
        )
    return bool(item.keep_previous)


def _hold_keys_apart(items: tuple[Item, ...]) -> None:
    writers: dict[str, str] = {}
    for item in items:
        for key in item.keys.values():
            if key in writers:
                raise Stalled(
                    "InvalidKeys",
                    f"data items {writers[key]!r} and {item.name!r} both write the key {key!r};"
                    " give one of them another by keys",
                )
            writers[key] = item.name


def previous_key(key: str) -> str:
    """Name the key under which the value before stays readable while the overlap lasts."""
    return f"{key}.previous"
