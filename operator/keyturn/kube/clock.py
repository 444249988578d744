"""The API server's time; its timestamps are compared only with this clock, not with the local one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

import structlog

__all__ = ["ServerClock"]

_TOLERANCE = timedelta(seconds=2)
_MAX_SKEW = timedelta(minutes=1)
"""Skew that is logged: less is usual, more makes tokens and certificates fail."""

_log = structlog.get_logger()


class ServerClock:
    """The API server's time, from the Date headers of its answers and the local monotonic clock.

    Until the first answer it is the local wall clock, which may be wrong or be changed later.
    """

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        """Lead of the local wall clock over the API server's, at the last answer."""
        self._heard: str | None = None
        self._anchor: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._anchor is None:
            return datetime.now(UTC)
        at, ticks = self._anchor
        return at + timedelta(seconds=monotonic() - ticks)

    def seconds_ahead(self) -> float:
        """Return the lead of the local wall clock over the API server's at the last answer, in seconds."""
        return self.ahead.total_seconds()

    def heard(self, date: str | None) -> None:
        """Record a Date header (RFC 9110, section 6.6.1); it has whole seconds, so small differences are ignored."""
        if date is None or date == self._heard:
            return
        self._heard = date
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)  # HTTP dates are in GMT
        self._compare(theirs)
        if self._anchor is None:
            ours = datetime.now(UTC)
            self._anchor = (ours if abs(ours - theirs) < _TOLERANCE else theirs, monotonic())
        elif abs(self.now() - theirs) >= _TOLERANCE:
            self._anchor = (theirs, monotonic())

    def _compare(self, said: datetime) -> None:
        """Log when the local wall clock begins to differ, and when it agrees again."""
        was_off, self.ahead = abs(self.ahead) >= _MAX_SKEW, datetime.now(UTC) - said
        is_off = abs(self.ahead) >= _MAX_SKEW
        if is_off and not was_off:
            _log.warning("clock out of sync", ahead_seconds=round(self.ahead.total_seconds()))
        elif was_off and not is_off:
            _log.info("clock in sync")
