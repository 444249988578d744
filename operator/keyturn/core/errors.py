"""Exceptions that end a reconcile: `Wait` is retried automatically, `Stalled` requires manual action."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

__all__ = ["Stalled", "Wait"]


class Wait(Exception):  # noqa: N818 - it says what happens next, not what went wrong
    """The reconcile is retried after `after`; `reason` and `message` become a condition."""

    def __init__(self, reason: str, message: str, after: timedelta) -> None:
        self.reason = str(reason)  # plain text, which every serializer takes
        super().__init__(self.reason, message)
        self.message = message
        self.after = after


class Stalled(Exception):  # noqa: N818
    """Manual action is required; `message` says what to write or do instead.

    It is checked again after a minute, or at `again` if that is earlier.
    """

    def __init__(self, reason: str, message: str, again: datetime | None = None) -> None:
        self.reason = str(reason)  # plain text, which every serializer takes
        super().__init__(self.reason, message)
        self.message = message
        self.again = again
