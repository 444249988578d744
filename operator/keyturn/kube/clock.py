"""What time it is at the API server, whose clock stamps everything that we compare ours with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

import structlog

__all__ = ["ServerClock"]

_TOLERANCE = timedelta(seconds=2)
_TOLD = timedelta(minutes=1)
"""A wall clock that is off by less is usual; by more, tokens and certificates begin to be refused."""

_log = structlog.get_logger()


class ServerClock:
    """The API server's time, from the Date headers of its answers and our monotonic clock.

    Our own wall clock counts until the first answer only: it may be wrong, or be set while we run.
    """

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        """How far our wall clock is ahead of the API server's, as last heard."""
        self._heard: str | None = None
        self._anchor: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._anchor is None:
            return datetime.now(UTC)
        at, ticks = self._anchor
        return at + timedelta(seconds=monotonic() - ticks)

    def seconds_ahead(self) -> float:
        """Return how far our wall clock is ahead of the API server's, as last heard."""
        return self.ahead.total_seconds()

    def heard(self, date: str | None) -> None:
        """Take in a Date header (RFC 9110, 6.6.1): whole seconds, so that small differences mean nothing."""
        if date is None or date == self._heard:
            return
        self._heard = date
        try:
            said = parsedate_to_datetime(date)
        except ValueError:
            return
        said = said if said.tzinfo else said.replace(tzinfo=UTC)  # HTTP knows no other zone
        self._compare(said)
        if self._anchor is None:
            ours = datetime.now(UTC)
            self._anchor = (ours if abs(ours - said) < _TOLERANCE else said, monotonic())
        elif abs(self.now() - said) >= _TOLERANCE:
            self._anchor = (said, monotonic())

    def _compare(self, said: datetime) -> None:
        """Tell when our wall clock begins to be off, and when it is right again."""
        was_off, self.ahead = abs(self.ahead) >= _TOLD, datetime.now(UTC) - said
        is_off = abs(self.ahead) >= _TOLD
        if is_off and not was_off:
            _log.warning("clock differs", ahead_seconds=round(self.ahead.total_seconds()))
        elif was_off and not is_off:
            _log.info("clock agrees")
