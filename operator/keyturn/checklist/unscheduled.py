"""Generated values of a ManagedSecret without a rotation schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.generators import generator_for

if TYPE_CHECKING:
    from keyturn.core.spec.desired import Desired

__all__ = ["unscheduled"]


def unscheduled(desired: Desired) -> frozenset[str]:
    """Return the generated values that no schedule rotates; an immutable Secret is written once."""
    if desired.target_policy.immutable:
        return frozenset()
    turned = desired.rotates if desired.cadence else frozenset[str]()
    made = ((item.name, generator_for(item.recipe)) for item in desired.items if item.recipe)
    return frozenset(
        name for name, generator in made if name not in turned and generator.strength() and not generator.ends
    )
