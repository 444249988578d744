"""What is said of a workload whose rollout has not ended: whatever keeps it from that, as far as it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pods import trouble_of, worst_of
from .stuck import told_of_stuck

if TYPE_CHECKING:
    from .seen import Consumer

__all__ = ["when_late", "while_rolling", "while_waiting"]


def while_rolling(consumer: Consumer) -> str | None:
    """Say what keeps the rollout of the current revision from its end."""
    return _joined(consumer.workload.hint, consumer.workload.complaint, _of_pods(consumer)) or None


def while_waiting(consumer: Consumer) -> str:
    """Say what keeps an earlier rollout from its end."""
    return _joined(consumer.workload.complaint or "waits for its last rollout to finish", _of_pods(consumer))


def when_late(consumer: Consumer) -> str:
    """Say why a workload has missed its deadline."""
    known = _joined(consumer.workload.complaint, told_of_stuck([consumer]) or worst_of(consumer))
    return f"its pods did not become available in time; {known or 'see its events and its pods'}"


def _of_pods(consumer: Consumer) -> str | None:
    return told_of_stuck([consumer]) or trouble_of(consumer)


def _joined(*parts: str | None) -> str:
    return "; ".join(part for part in parts if part)
