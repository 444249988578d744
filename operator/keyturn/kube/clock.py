"""The API server's time; its timestamps are compared only with this clock, not with the local one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

import structlog

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
        return self._time_at(monotonic())

    def seconds_ahead(self) -> float:
        """Return the lead of the local wall clock over the API server's at the last answer, in seconds."""
        return self.ahead.total_seconds()

    def heard(self, date: str | None, asked: float, arrived: float) -> None:
        """Record a Date header (RFC 9110, section 6.6.1) and the monotonic times of the request and of the headers.

        The server wrote the date between these times. The clock changes only if it contradicts that by more than
        the whole seconds of a date explain, and then by as little as possible. A date that the server may have
        written before the last change says nothing about the time since.
        """
        if date is None or date == self._heard or (self._anchor and asked < self._anchor[1]):
            return
        self._heard = date
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)  # HTTP dates are in GMT
        ours = self._time_at(arrived)
        nearest = min(max(ours, theirs), theirs + timedelta(seconds=arrived - asked))
        is_off = abs(ours - nearest) >= _TOLERANCE
        if is_off or self._anchor is None:
            self._anchor = (nearest if is_off else ours, arrived)
        self._compare()

    def _time_at(self, ticks: float) -> datetime:
        """Return the server's time at a time of the monotonic clock."""
        if self._anchor is None:
            return datetime.now(UTC) - timedelta(seconds=monotonic() - ticks)
        at, since = self._anchor
        return at + timedelta(seconds=ticks - since)

    def _compare(self) -> None:
        """Log when the local wall clock begins to differ, and when it agrees again."""
        was_off, self.ahead = abs(self.ahead) >= _MAX_SKEW, datetime.now(UTC) - self.now()
        is_off = abs(self.ahead) >= _MAX_SKEW
        if is_off and not was_off:
            _log.warning("clock out of sync", ahead_seconds=round(self.ahead.total_seconds()))
        elif was_off and not is_off:
            _log.info("clock in sync")
