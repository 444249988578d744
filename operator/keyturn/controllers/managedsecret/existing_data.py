"""Sorts the data of an existing Secret by the items of the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.api.database import USERNAME
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.database import LOGIN
from keyturn.core.spec.desired import VALUE
from keyturn.core.state.revision import LITERAL, ItemValues, found_under, is_found
from keyturn.core.value import Value
from keyturn.generators import generator_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.spec.desired import Desired, Item
    from keyturn.core.state.revision import Validity
    from keyturn.generators import Outputs

__all__ = ["adopted_values", "found_login", "found_values", "others_kept", "taken_up"]


def found_values(desired: Desired, data: Mapping[str, Value]) -> dict[str, ItemValues]:
    """Return the data of a Secret by the items that write it.

    A key of no item is kept under its own name, unless the spec leaves it to other writers.
    """
    kept = {}
    for item in desired.items:
        outputs = {output: data[key] for output, key in item.keys.items() if key in data}
        if outputs and outputs.keys() == item.keys.keys():
            kept[item.name] = ItemValues(
                _recipe_of(item, outputs), outputs, item.keys, _life_of(item, outputs)
            )
    if desired.shape.merges:
        return kept
    known = {key for one in kept.values() for key in one.keys.values()}
    stray = {
        key: ItemValues("", {VALUE: value}, {VALUE: key}) for key, value in data.items() if key not in known
    }
    if desired.shape.adopts:  # they may be the values with which it was adopted
        return {found_under(key): one for key, one in stray.items()} | kept
    return {name: one for name, one in stray.items() if name not in kept} | kept


def adopted_values(desired: Desired, data: Mapping[str, Value]) -> dict[str, ItemValues]:
    """Return the data of an unmanaged Secret by the items that will write it.

    A plain value stays until the next rotation, whatever its generator. A value with several outputs stays if the
    generator accepts it. Keys of no item are kept for a rollback, unless the spec leaves them to other writers.
    """
    kept = {}
    for item in desired.items:
        outputs = {output: data[key] for output, key in item.keys.items() if key in data}
        if outputs and outputs.keys() == item.keys.keys() and _stays(item, outputs):
            recipe = item.recipe.text if item.recipe else _recipe_of(item, outputs)
            kept[item.name] = ItemValues(recipe, outputs, item.keys, _life_of(item, outputs))
    if desired.shape.merges:
        return kept
    known = {key for one in kept.values() for key in one.keys.values()}
    stray = {
        key: ItemValues("", {VALUE: value}, {VALUE: key}) for key, value in data.items() if key not in known
    }
    return kept | {found_under(key): one for key, one in stray.items()}


def others_kept(desired: Desired, before: Mapping[str, ItemValues]) -> dict[str, ItemValues]:
    """Return the adopted values whose keys no item writes now."""
    if not desired.shape.keeps_others:
        return {}
    found = {name: kept.behind(desired.every_key) for name, kept in before.items() if is_found(name)}
    return {name: kept for name, kept in found.items() if kept.outputs}


def taken_up(item: Item, before: Mapping[str, ItemValues]) -> ItemValues | None:
    """Return the adopted value under the key of an item that was added later."""
    found = {
        key: kept.outputs[VALUE] for name, kept in before.items() if is_found(name) for key in kept.data()
    }
    outputs = {output: found[key] for output, key in item.keys.items() if key in found}
    if item.recipe is None or outputs.keys() != item.keys.keys() or not _stays(item, outputs):
        return None
    return ItemValues(item.recipe.text, outputs, item.keys, _life_of(item, outputs))


def _stays(item: Item, outputs: Outputs) -> bool:
    if outputs.keys() == {VALUE}:
        return bool(outputs[VALUE].reveal())
    return item.recipe is not None and generator_for(item.recipe).accepts(outputs)


def found_login(desired: Desired, values: Mapping[str, ItemValues]) -> str | None:
    """Return the login that an existing Secret names; None without a database account.

    An adopted Secret without the key has the password of the account itself.

    Raises:
        Stalled: It names no login of the account.
    """
    if desired.database is None:
        return None
    kept, logins = values.get(USERNAME), desired.database.every_login
    if kept is None and desired.shape.adopts:
        return desired.database.username
    named = kept.outputs[VALUE] if kept else None
    login = next((login for login in logins if Value.of_text(login) == named), None)
    if login is None:
        raise Stalled(
            ErrorReason.USERNAME_DIFFERS,
            f"the key {USERNAME!r} of the Secret {desired.secret!r} names no login of the account"
            f" {desired.database.username!r}; write {' or '.join(logins)}, the one that its"
            " password belongs to",
        )
    return login


def _recipe_of(item: Item, outputs: Outputs) -> str:
    if item.is_login:
        return LOGIN
    if item.recipe is None:
        return item.source.text if item.source else LITERAL
    return item.recipe.text if generator_for(item.recipe).accepts(outputs) else ""


def _life_of(item: Item, outputs: Outputs) -> Validity | None:
    if item.recipe is None or not generator_for(item.recipe).accepts(outputs):
        return None
    return generator_for(item.recipe).life(outputs)
