"""What a managed secret asks for, once its class has spoken and every default is filled in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.rollout import OnFailure, Restart
from keyturn.api.target import Adopt, CreationPolicy, DeletionPolicy, SecretType

from .errors import Stalled
from .keys import WorkloadKey
from .value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.api.managedsecret import DataItem, ManagedSecret
    from keyturn.api.recipe import Recipe
    from keyturn.api.secretclass import SecretClass

from .cadence import Cron, Every, Window, cadence_of, overlap_of, windows_of

__all__ = ["VALUE", "Item", "Shape", "Wanted", "secret_of", "wanted_by"]

VALUE = "value"
"""The output of whatever makes one value."""
_DEFAULT_DEBOUNCE = timedelta(seconds=5)
_DEFAULT_CONCURRENT = 1
_DEFAULT_HISTORY = 3
_DEFAULT_DEADLINE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Item:
    """One value: made by a recipe, or given."""

    name: str
    recipe: Recipe | None
    literal: Value | None
    keys: Mapping[str, str]
    """Under which key of the Secret each of its outputs is written."""
    keep_previous: bool = False
    of_class: bool = False
    """The recipe is the class's: values that an older one made stay until the next rotation."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Whose the Secret is, and how long."""

    creation: CreationPolicy = CreationPolicy.CREATE
    adopt: Adopt = Adopt.NEVER
    deletion: DeletionPolicy = DeletionPolicy.RETAIN
    immutable: bool = False
    any_type: bool = False
    """The type is left to whoever made the Secret."""

    @property
    def merges(self) -> bool:
        return self.creation is CreationPolicy.MERGE

    @property
    def adopts(self) -> bool:
        return self.adopt is Adopt.IF_UNOWNED

    @property
    def deletes(self) -> bool:
        return self.deletion is DeletionPolicy.DELETE


@dataclass(frozen=True, slots=True)
class Wanted:
    """A ManagedSecret's spec with nothing left open."""

    secret: str
    type: SecretType
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    items: tuple[Item, ...]
    cadence: Every | Cron | None
    windows: tuple[Window, ...]
    overlap: timedelta
    history_limit: int
    rotates: frozenset[str]
    restart: Restart
    targets: tuple[WorkloadKey, ...]
    debounce: timedelta
    waves: Mapping[WorkloadKey, int]
    max_concurrent: int
    progress_deadline: timedelta
    on_failure: OnFailure
    templates: Mapping[str, str]
    shape: Shape = Shape()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(item.name for item in self.items)

    @property
    def keys(self) -> Mapping[str, Mapping[str, str]]:
        return {item.name: item.keys for item in self.items}

    @property
    def every_key(self) -> frozenset[str]:
        return frozenset(key for item in self.items for key in item.keys.values()) | self.templates.keys()


def secret_of(managed: ManagedSecret) -> str:
    """Return the name of the native Secret."""
    return managed.spec.target.name or managed.metadata.name


def wanted_by(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]] = lambda _: (VALUE,),
) -> Wanted:
    """Fill in what the spec leaves open from the class, then from the defaults.

    `outputs_of` says what a recipe makes; that is the generators' knowledge.

    Raises:
        Stalled: An item has no source, or two of them would be written under one key.
    """
    spec, rollout = managed.spec, managed.spec.rollout
    items = _items(managed, secret_class, outputs_of)
    _hold_keys_apart(items)
    shape = _shape(managed)
    # An immutable Secret is written once, whatever its class says.
    of_class = secret_class.spec.rotation if secret_class and not shape.immutable else None
    cadences = (spec.rotation, of_class)
    template = spec.target.template.metadata
    wanted = Wanted(
        secret=secret_of(managed),
        type=spec.target.type or SecretType.OPAQUE,
        labels=template.labels,
        annotations=template.annotations,
        items=items,
        cadence=cadence_of(*cadences),
        windows=windows_of(*cadences),
        overlap=overlap_of(cadences),
        history_limit=_history_limit(managed),
        rotates=frozenset() if shape.immutable else _rotates(managed, items),
        restart=rollout.restart or Restart.AUTO,
        targets=tuple(
            WorkloadKey(managed.metadata.namespace, ref.kind, ref.name) for ref in rollout.targets or ()
        ),
        debounce=_DEFAULT_DEBOUNCE if rollout.debounce is None else rollout.debounce,
        waves={
            WorkloadKey(managed.metadata.namespace, ref.kind, ref.name): ref.wave
            for ref in rollout.targets or ()
            if ref.wave
        },
        max_concurrent=rollout.max_concurrent or _DEFAULT_CONCURRENT,
        progress_deadline=rollout.progress_deadline or _DEFAULT_DEADLINE,
        on_failure=rollout.on_failure or OnFailure.ROLLBACK,
        templates=spec.target.template.data or {},
        shape=shape,
    )
    _hold_to_type(wanted)
    return wanted


def _shape(managed: ManagedSecret) -> Shape:
    target = managed.spec.target
    return Shape(
        creation=target.creation_policy or CreationPolicy.CREATE,
        adopt=target.adopt or Adopt.NEVER,
        deletion=target.deletion_policy or DeletionPolicy.RETAIN,
        immutable=bool(target.immutable),
        any_type=target.creation_policy is CreationPolicy.MERGE and target.type is None,
    )


_ALL_OF_TYPE = {
    SecretType.TLS: ("tls.crt", "tls.key"),
    SecretType.SSH_AUTH: ("ssh-privatekey",),
    SecretType.DOCKER_CONFIG_JSON: (".dockerconfigjson",),
}
_ONE_OF_TYPE = {SecretType.BASIC_AUTH: ("username", "password")}


def _hold_to_type(wanted: Wanted) -> None:
    """Find the keys that a type needs among those that are written; in a Secret of others they may be there.

    Raises:
        Stalled: One is missing.
    """
    if wanted.shape.merges:
        return
    one_of, all_of = _ONE_OF_TYPE.get(wanted.type, ()), _ALL_OF_TYPE.get(wanted.type, ())
    lacks_all = bool(one_of) and wanted.every_key.isdisjoint(one_of)
    missing = one_of if lacks_all else tuple(key for key in all_of if key not in wanted.every_key)
    if missing:
        raise Stalled(
            "MissingKey",
            f"type {wanted.type} needs the key {' or '.join(missing)}; name an item so,"
            " or write an output under it by keys, or a template",
        )


def _items(
    managed: ManagedSecret,
    secret_class: SecretClass | None,
    outputs_of: Callable[[Recipe], tuple[str, ...]],
) -> tuple[Item, ...]:
    default = secret_class.spec.generate if secret_class else None
    items = []
    for item in managed.spec.data:
        recipe = item.generate or (default if item.literal is None else None)
        if recipe is None and item.literal is None:
            raise Stalled(
                "NoGenerator",
                f"data item {item.name!r} has neither generate nor literal and the class"
                f" {managed.spec.class_name!r} brings no generator; write generate: {{password: {{}}}}",
            )
        literal = None if item.literal is None else Value.of_text(item.literal)
        outputs = outputs_of(recipe) if recipe else (VALUE,)
        items.append(
            Item(
                item.name,
                recipe,
                literal,
                _keys(item, outputs),
                keep_previous=bool(item.keep_previous),
                of_class=recipe is not None and item.generate is None,
            )
        )
    return tuple(items)


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


def _rotates(managed: ManagedSecret, items: tuple[Item, ...]) -> frozenset[str]:
    generated = frozenset(item.name for item in items if item.recipe)
    only = managed.spec.rotation.only if managed.spec.rotation else None
    return generated if only is None else generated & frozenset(only)


def _history_limit(managed: ManagedSecret) -> int:
    limit = managed.spec.rotation.revision_history_limit if managed.spec.rotation else None
    return _DEFAULT_HISTORY if limit is None else limit
