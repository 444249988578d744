"""Values that rotate on request only, because nothing applies them outside of the Secret (appliedBy: Nobody)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .triggers import is_requested, scheduled_time, start_time

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired

__all__ = ["breakage_of", "due_on_request", "is_due_on_request", "next_time"]

_MAX_NAMED = 5


def due_on_request(observed: Observed) -> datetime | None:
    """Return when values are due by schedule that rotate on request only; None for all others."""
    return scheduled_time(observed) if observed.desired and observed.desired.on_request else None


def is_due_on_request(observed: Observed) -> bool:
    """Whether values are due that wait for a request."""
    due = due_on_request(observed)
    return due is not None and due <= observed.now


def next_time(observed: Observed) -> datetime | None:
    """Return when the next rotation starts, or when values are due that wait for a request."""
    start, due = start_time(observed), due_on_request(observed)
    if start is None or due is None:
        return start or due
    return start if is_requested(observed) else min(start, due)


def breakage_of(desired: Desired) -> str:
    """Return what a rotation breaks."""
    names = sorted(desired.rotates)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return (
        f"a rotation changes {', '.join(names[:_MAX_NAMED])}{more} in the Secret alone (appliedBy: Nobody): until you"
        " apply the new value where it is used, servers refuse it, and data that the old one encrypted is unreadable"
    )
