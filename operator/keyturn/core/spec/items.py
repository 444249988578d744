"""Values of a ManagedSecret, each with its source and its keys, and which of them rotate together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from keyturn.api.account import USERNAME
from keyturn.api.base import FORMS, Recipe
from keyturn.api.managedsecret import DataItem, ManagedSecret
from keyturn.api.rotation import AppliedBy, Cadence, Timing
from keyturn.api.secretclass import SecretClass
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.value import Value

from . import schedule
from .references import Source, password_of, source_of, spread_of

VALUE = "value"
"""Name of the output of a generator with one value."""
_MAX_KEY_LENGTH = 253
"""Maximum length of a key of a Secret, in characters (Kubernetes API, Secret.data)."""
_SPREAD = "dataFrom["
"""Prefix of the names of dataFrom items; the name of a data item cannot contain `[`."""
_RING = "keyRing"
_ANNOUNCING = frozenset({"jwks", _RING})
"""Kinds of generators whose values name the key that the next rotation promotes."""
_MOST_GATHERED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OwnRotation:
    """Rotation of one value, where a class or a rotation of its own says so."""

    cadence: schedule.Every | schedule.Cron | None
    applied_by: AppliedBy | None
    overlap: timedelta

    @property
    def on_request(self) -> bool:
        """Whether a schedule only reports when it is due, because nothing applies the value where it is used."""
        return self.applied_by is AppliedBy.NOBODY


@dataclass(frozen=True, slots=True)
class Timetable:
    """Values that are due together: those that share the schedule of the object, or one with its own."""

    values: frozenset[str]
    cadence: schedule.Every | schedule.Cron | None
    on_request: bool = False
    """The schedule only reports when they are due, because nothing applies them where they are used."""
    own: str = ""
    """The value, if it has its own schedule; empty for those that share that of the object."""


@dataclass(frozen=True, slots=True)
class Item:
    """A value, or a bundle of values, that is generated, literal, read from a store, or the login of an account."""

    name: str
    recipe: Recipe | None
    literal: Value | None
    keys: Mapping[str, str]
    """Key of the Secret by output; empty for dataFrom, whose keys are known after a read."""
    keep_previous: bool = False
    announces: bool = False
    """A rotation promotes a key that the previous one announced, so that every pod must hold it."""
    of_class: bool = False
    """The recipe is the class's: values of an older recipe stay until the next rotation."""
    source: Source | None = None
    deletes: bool = False
    """Properties that the store no longer has are removed from the Secret."""
    is_login: bool = False
    """Its value is the login of the database account whose password the revision has."""
    secret_class: SecretClass | None = None
    """Its own class; None if it has that of the object."""
    own: OwnRotation | None = None
    """When it rotates, if that differs from the object; None for a value that does not rotate."""

    @property
    def is_generated(self) -> bool:
        """Whether it has a value of its own that a rotation replaces."""
        return self.recipe is not None and self.recipe.kind not in FORMS

    @property
    def is_ring(self) -> bool:
        """Whether it has the keys that stored data needs, so that no ring is published that lacks one in use."""
        return self.recipe is not None and self.recipe.kind == _RING

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
    classes: Mapping[str, SecretClass] = MappingProxyType({}),
) -> tuple[Item, ...]:
    """Return the items of `data`, then those of `dataFrom`.

    Raises:
        Stalled: An item has no source, or two items write one key.
    """
    written = tuple(
        _item(item, classes.get(item.class_name or ""), secret_class, outputs_of)
        for item in managed.spec.data
    )
    if managed.spec.account:
        password = _password_item(password_of(managed.spec.account), written)
        keys, kept = {VALUE: USERNAME}, password.keep_previous  # it changes with the password
        written += (Item(USERNAME, None, None, keys, keep_previous=kept, is_login=True),)
    _check_keys_distinct(written)
    spread = tuple(
        Item(f"{_SPREAD}{place}]", None, None, {}, source=spread_of(every), deletes=every.deletes)
        for place, every in enumerate(managed.spec.data_from or ())
    )
    return written + spread


def _password_item(name: str, items: tuple[Item, ...]) -> Item:
    """Return the item that is the password: one generated value, whose generator may be the class's."""
    if any(USERNAME in {item.name, *item.keys.values()} for item in items):
        raise Stalled(
            ErrorReason.INVALID_DATABASE,
            f"the key {USERNAME!r} of the Secret is the login of the database account; remove the item of data that"
            " writes it, or give it another name and key",
        )
    item = next((item for item in items if item.name == name), None)
    if item is None or item.recipe is None or len(item.keys) != 1:
        raise Stalled(
            ErrorReason.INVALID_DATABASE,
            f"account.passwordValue {name!r} names no item of data that generates one value;"
            " name an item with generate: {password: {}}",
        )
    if item.recipe.kind == "bytes" and item.recipe.settings.get("encoding") == "raw":
        remedy = "write generate: {password: {}} for it, or another encoding in its class"
        what = f"data item {item.name!r}, the database password, is raw bytes, which are no text; {remedy}"
        raise Stalled(ErrorReason.INVALID_DATABASE, what)
    return item


def _item(
    item: DataItem,
    own_class: SecretClass | None,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]],
) -> Item:
    if item.from_ is not None:
        keys, source = _keys(item, (VALUE,)), source_of(item.from_)
        return Item(item.name, None, None, keys, source=source, secret_class=own_class)
    if item.literal is not None:
        return Item(item.name, None, Value.of_text(item.literal), _keys(item, (VALUE,)))
    of_class = own_class or secret_class
    recipe = item.generate or (of_class.spec.generate if of_class else None)
    if recipe is None:
        absent = f"data item {item.name!r} has none of generate, from and literal"
        remedy = "write one, such as generate: {password: {}}, or a className whose class has generate"
        if of_class:
            absent += f", and the class {of_class.metadata.name!r} has no generate"
            remedy = "write one, such as generate: {password: {}}"
        raise Stalled(ErrorReason.NO_GENERATOR, f"{absent}; {remedy}")
    try:
        outputs = outputs_of(recipe)
    except Stalled as stalled:
        raise Stalled(stalled.reason, f"data item {item.name!r}: {stalled.message}") from None
    keys = _keys(item, outputs)
    return Item(
        item.name,
        recipe,
        None,
        keys,
        keep_previous=_keeps_previous(item, keys),
        announces=recipe.kind in _ANNOUNCING,
        of_class=item.generate is None,
        secret_class=own_class,
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
    """Whether the previous value stays readable under `<key>.previous`."""
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
    """Check that no two items of data write one key; `controllers.managedsecret.pull` checks those of dataFrom."""
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


# Which values rotate together


def own_rotation(
    item: DataItem,
    classes: Mapping[str, SecretClass],
    cadences: tuple[Cadence | None, ...],
    shared: OwnRotation,
    password: str | None,
    rings: frozenset[str],
) -> OwnRotation | None:
    """Return the rotation of an item, as far as it sets one from its class; None if that is the object's.

    A class for keys that nothing applies does not keep one of `rings` from its schedule: old keys stay readable.
    """
    named = classes.get(item.class_name or "")
    of_class = named.spec.rotation if named else None
    own: tuple[Timing | None, ...] = (item.rotation, of_class)
    applied_by = AppliedBy.KEYTURN if item.name == password else schedule.applied_by_of(*own)
    applied_by = applied_by or shared.applied_by
    if item.name in rings and schedule.applied_by_of(item.rotation) is None:
        applied_by = None
    rotation = OwnRotation(
        schedule.cadence_of(*own, *cadences),
        applied_by,
        schedule.overlap_of((*own, *cadences)),
    )
    return None if rotation == shared else rotation


def timetables_of(
    rotates: frozenset[str], shared: OwnRotation, own: Mapping[str, OwnRotation]
) -> tuple[Timetable, ...]:
    """Return the schedules of the values that rotate, that of the object first; `own` has those of single values."""
    alone = [Timetable(frozenset({name}), one.cadence, one.on_request, name) for name, one in own.items()]
    others = rotates.difference(own)
    together = [Timetable(others, shared.cadence, shared.on_request)] if others else []
    return (*together, *alone)


def usual_gather(tables: Iterable[Timetable]) -> timedelta:
    """Return a tenth of the shortest interval of several schedules, at most a day; zero for a single one."""
    every = [schedule.shortest_interval(one.cadence) for one in tables]
    known = [pause for pause in every if pause]
    return min(min(known) / 10, _MOST_GATHERED) if len(every) > 1 and known else timedelta(0)
