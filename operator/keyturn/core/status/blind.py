"""What the status says after a look that could not be ended: that nobody knows, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conditions import Verdict, stamped

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus
    from keyturn.core.errors import Wait

__all__ = ["status_unseen"]

_TOLD = ("Ready", "Reconciling", "Stalled")


def status_unseen(managed: ManagedSecret, error: Wait, now: datetime) -> ManagedSecretStatus:
    """Say why nobody knows whether the Secret is whole; all else stays as it was said last."""
    before, generation = managed.status, managed.metadata.generation
    kept = [one for one in before.conditions if one.type not in _TOLD]
    ready = Verdict("Unknown", error.reason, error.message)
    waits = Verdict("True", error.reason, error.message)
    conditions = [
        stamped("Ready", ready, before.conditions, now, generation),
        *kept,
        stamped("Reconciling", waits, before.conditions, now, generation),
    ]
    return before.model_copy(update={"conditions": conditions})
