"""What a managed secret asks for, once its class has spoken and every default is filled in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.managedsecret import ManagedSecret, Restart, SecretType

from .errors import Stalled
from .keys import WorkloadKey
from .value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.api.recipe import Recipe
    from keyturn.api.rotation import Cadence
    from keyturn.api.secretclass import SecretClass

__all__ = ["Cron", "Every", "Item", "Wanted", "cadence_of", "secret_of", "wanted_by"]

_DEFAULT_JITTER = 10
_DEFAULT_DEBOUNCE = timedelta(seconds=5)
_DEFAULT_CONCURRENT = 1


@dataclass(frozen=True, slots=True)
class Item:
    """One value: made by a recipe, or given."""

    name: str
    recipe: Recipe | None
    literal: Value | None


@dataclass(frozen=True, slots=True)
class Every:
    """Replace after an interval, up to `jitter` percent of it earlier."""

    interval: timedelta
    jitter: int


@dataclass(frozen=True, slots=True)
class Cron:
    """Replace at fixed points in time."""

    expression: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A ManagedSecret's spec with nothing left open."""

    secret: str
    type: SecretType
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    items: tuple[Item, ...]
    cadence: Every | Cron | None
    rotates: frozenset[str]
    restart: Restart
    targets: tuple[WorkloadKey, ...]
    debounce: timedelta
    max_concurrent: int

    @property
    def names(self) -> frozenset[str]:
        return frozenset(item.name for item in self.items)


def secret_of(managed: ManagedSecret) -> str:
    """Return the name of the native Secret."""
    return managed.spec.target.name or managed.metadata.name


def wanted_by(managed: ManagedSecret, secret_class: SecretClass | None) -> Wanted:
    """Fill in what the spec leaves open from the class, then from the defaults.

    Raises:
        Stalled: An item has no source.
    """
    spec, rollout = managed.spec, managed.spec.rollout
    items = _items(managed, secret_class)
    template = spec.target.template.metadata
    return Wanted(
        secret=secret_of(managed),
        type=spec.target.type or SecretType.OPAQUE,
        labels=template.labels,
        annotations=template.annotations,
        items=items,
        cadence=cadence_of(spec.rotation, secret_class.spec.rotation if secret_class else None),
        rotates=_rotates(managed, items),
        restart=rollout.restart or Restart.AUTO,
        targets=tuple(
            WorkloadKey(managed.metadata.namespace, ref.kind, ref.name) for ref in rollout.targets or ()
        ),
        debounce=_DEFAULT_DEBOUNCE if rollout.debounce is None else rollout.debounce,
        max_concurrent=rollout.max_concurrent or _DEFAULT_CONCURRENT,
    )


def _items(managed: ManagedSecret, secret_class: SecretClass | None) -> tuple[Item, ...]:
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
        items.append(Item(item.name, recipe, literal))
    return tuple(items)


def _rotates(managed: ManagedSecret, items: tuple[Item, ...]) -> frozenset[str]:
    generated = frozenset(item.name for item in items if item.recipe)
    only = managed.spec.rotation.only if managed.spec.rotation else None
    return generated if only is None else generated & frozenset(only)


def cadence_of(*cadences: Cadence | None) -> Every | Cron | None:
    """Return when to rotate by the first of these that says so; the jitter may come from a later one."""
    for cadence in cadences:
        if cadence and cadence.schedule:
            return Cron(cadence.schedule.cron, cadence.schedule.time_zone or "UTC")
        if cadence and cadence.every:
            return Every(cadence.every, _jitter(cadences))
    return None


def _jitter(cadences: Iterable[Cadence | None]) -> int:
    written = (cadence.jitter for cadence in cadences if cadence and cadence.jitter)
    return int(next(written, f"{_DEFAULT_JITTER}%").removesuffix("%"))
