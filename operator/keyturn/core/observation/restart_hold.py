"""Hold of restarts by the restart budget of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["RestartHold"]


@dataclass(frozen=True, slots=True)
class RestartHold:
    """Why the restarts of a ManagedSecret wait for others."""

    again: datetime
    """When to look again, if nothing wakes the object before."""
    limits: str
    """The limits, as options of `keyturn run`."""
