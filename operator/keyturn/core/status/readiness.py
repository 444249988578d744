"""Conditions of an object whose health is checked, such as a store: Ready, and Stalled if a person must act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .conditions import ConditionVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.meta import Condition

__all__ = ["CheckedHealth", "changes_readiness", "readiness_of"]


class CheckedHealth(Protocol):
    """Result of a health check."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def passes(self) -> bool:
        """Whether the trouble ends without a person."""

    @property
    def reason(self) -> str: ...

    @property
    def message(self) -> str: ...


def readiness_of(health: CheckedHealth) -> list[tuple[str, ConditionVerdict]]:
    verdicts = [
        ("Ready", ConditionVerdict("True" if health.is_ready else "False", health.reason, health.message))
    ]
    if not health.is_ready and not health.passes:
        verdicts.append(("Stalled", ConditionVerdict("True", health.reason, health.message)))
    return verdicts


def changes_readiness(health: CheckedHealth, before: Iterable[Condition]) -> bool:
    """Whether Ready has another status or reason than in the conditions before."""
    ready = next((one for one in before if one.type == "Ready"), None)
    return ready is None or (ready.status == "True", ready.reason) != (health.is_ready, health.reason)
