"""Conditions of an object whose health is checked, such as a store: Ready, and Stalled for manual action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conditions import ConditionVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.meta import Condition
    from keyturn.core.observation.health import Health

__all__ = ["changes_readiness", "readiness_of"]


def readiness_of(health: Health) -> list[tuple[str, ConditionVerdict]]:
    verdicts = [
        ("Ready", ConditionVerdict("True" if health.is_ready else "False", health.reason, health.message))
    ]
    if not health.is_ready and not health.passes:
        verdicts.append(("Stalled", ConditionVerdict("True", health.reason, health.message)))
    return verdicts


def changes_readiness(health: Health, before: Iterable[Condition]) -> bool:
    """Whether Ready has another status or reason than in the conditions before."""
    ready = next((one for one in before if one.type == "Ready"), None)
    return ready is None or (ready.status == "True", ready.reason) != (health.is_ready, health.reason)
