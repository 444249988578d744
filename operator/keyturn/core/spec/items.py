"""Items of a ManagedSecret: values of `data` and `dataFrom`, each with its source and its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.api.target import DeletionPolicy
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
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
"""Name of the output of a generator with one value."""
_MAX_KEY_LENGTH = 253
"""Maximum length of a key of a Secret, in characters (Kubernetes API, Secret.data)."""
_SPREAD = "dataFrom["
"""Prefix of the names of dataFrom items; the name of a data item cannot contain `[`."""


@dataclass(frozen=True, slots=True)
class Item:
    """A value, or a bundle of values, that is generated, literal, or read from a store."""

    name: str
    recipe: Recipe | None
    literal: Value | None
    keys: Mapping[str, str]
    """Key of the Secret by output; empty for dataFrom, whose keys are known after a read."""
    keep_previous: bool = False
    of_class: bool = False
    """The recipe is the class's: values of an older recipe stay until the next rotation."""
    source: Source | None = None
    deletes: bool = False
    """Properties that the store no longer has are removed from the Secret."""

    @property
    def spreads(self) -> bool:
        """Whether it writes one key for each property of the store's key (dataFrom)."""
        return self.source is not None and self.source.spreads


def is_spread(name: str) -> bool:
    """Return whether `name` is the name of a dataFrom item."""
    return name.startswith(_SPREAD)


def items_of(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]],
) -> tuple[Item, ...]:
    """Return the items of `data`, then those of `dataFrom`.

    Raises:
        Stalled: An item has no source, or two items write one key.
    """
    default = secret_class.spec.generate if secret_class else None
    written = tuple(_item(item, default, managed, outputs_of) for item in managed.spec.data)
    _check_keys_distinct(written)
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
            ErrorReason.NO_GENERATOR,
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
    """Return the key of each output: by `keys`, else the item's name for a single value, else the output's name."""
    chosen = item.keys or {}
    if unknown := sorted(chosen.keys() - set(outputs)):
        raise Stalled(
            ErrorReason.INVALID_KEYS,
            f"keys of data item {item.name!r} names {', '.join(unknown)}, which it does not make;"
            f" write one of {', '.join(outputs)}",
        )
    return {output: chosen.get(output, item.name if output == VALUE else output) for output in outputs}


def _keeps_previous(item: DataItem, keys: Mapping[str, str]) -> bool:
    """Whether the previous value stays readable under `<key>.previous`.

    Raises:
        Stalled: That key would be longer than 253 characters.
    """
    longest = max(keys.values(), key=len)
    if item.keep_previous and len(previous_key(longest)) > _MAX_KEY_LENGTH:
        maximum = _MAX_KEY_LENGTH - len(previous_key(""))
        raise Stalled(
            ErrorReason.INVALID_KEYS,
            f"keepPrevious of data item {item.name!r} would write {previous_key(longest)}, which is longer than"
            f" the {_MAX_KEY_LENGTH} characters of a key; write a key of at most {maximum} by keys",
        )
    return bool(item.keep_previous)


def _check_keys_distinct(items: tuple[Item, ...]) -> None:
    writers: dict[str, str] = {}
    for item in items:
        for key in item.keys.values():
            if key in writers:
                raise Stalled(
                    ErrorReason.INVALID_KEYS,
                    f"data items {writers[key]!r} and {item.name!r} both write the key {key!r};"
                    " give one of them another by keys",
                )
            writers[key] = item.name


def previous_key(key: str) -> str:
    """Return the key of the previous value during the overlap."""
    return f"{key}.previous"
