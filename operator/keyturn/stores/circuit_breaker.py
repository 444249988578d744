"""Whether a store may be asked now: by its rate, its own wishes, and whether it answered lately.

Both are told the time and ask nobody, so that a table of moments can test them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from .providers.errors import Denied, Refused, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from .providers.errors import StoreError

__all__ = ["Breaker", "Past", "RateLimiter"]

_BURST: Final = 0.2
"""Seconds whose requests may come at once."""
_MOST_FAILURES: Final = 5
"""In a row, by which a store counts as away."""
_MOST_CHECKS: Final = 2
"""Failed checks in a row by which it does, too: where nobody reads, nobody fails."""
_MOST_REFUSALS: Final = 3
"""In a row, by which a store counts as one that throttles us, and not as one that did so once."""
_LONGEST_WISH: Final = 3600.0
_LONGEST_GUESS: Final = 30.0
_LONG_WISH: Final = 30.0


class Past(NamedTuple):
    """What was known of a store when its spec was changed, or the store went."""

    failures: int
    """Requests in a row that got no answer."""
    asked: float
    """When the last request went."""
    ended: float


class RateLimiter:
    """Spreads requests so that there are no more than `rate` per second; a small burst passes at once."""

    def __init__(self, rate: float, *, last: float = -inf) -> None:
        """Take `last` as when the last request went."""
        self._step = 1 / rate
        self._slack = max(_BURST - self._step, 0.0)
        self._next = last + self._step

    @property
    def last(self) -> float:
        """When the last request that was taken goes."""
        return self._next - self._step

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may go."""
        return max(self._next - now, 0.0)

    def take(self, now: float, count: int = 1) -> float:
        """Take the next turn, for `count` requests; return the seconds until it."""
        at = max(self._next, now - self._slack)
        self._next = at + self._step * count
        return max(at - now, 0.0)


@dataclass(slots=True)
class Breaker:
    """What the answers of a store say about asking it again.

    Only silence counts as failure: who says no is there. One who answers that all is broken may say so of a single
    key, which is no reason to keep others from theirs: only a check finds out. What we refuse ourselves says nothing
    of the store, and a login that is not taken may be one of many.
    """

    failures: int = 0
    """Requests in a row that got no answer."""
    doubts: int = 0
    """Requests in a row that somebody answered with nothing worth having."""
    failed_checks: int = 0
    """Checks in a row that got none."""
    refusals: int = 0
    """How often in a row the store asked for a pause and threw us back after it."""
    quiet_until: float = -inf
    wished: float = 0.0
    """How long the pause was that it asked for last."""

    @property
    def is_open(self) -> bool:
        """Whether nobody but a check may ask the store."""
        return self.failures >= _MOST_FAILURES

    @property
    def is_doubted(self) -> bool:
        """Whether a check is to find out how the store is, while all go on asking it."""
        return self.doubts >= _MOST_FAILURES

    @property
    def is_down(self) -> bool:
        """Whether the store is away for longer than a hiccup: a check failed as well."""
        return (self.is_open and self.failed_checks > 0) or self.failed_checks >= _MOST_CHECKS

    @property
    def is_throttled(self) -> bool:
        """Whether the store throttles us for longer than a moment."""
        return self.refusals >= _MOST_REFUSALS or self.wished > _LONG_WISH

    def heard(self, error: StoreError | None, now: float, *, of_check: bool = False) -> None:
        """Take in how a request ended."""
        match error:
            case Unreachable(was_answered=True):
                self.doubts += 1
                self.failed_checks += of_check
            case Unreachable():
                self.failures += 1
                self.failed_checks += of_check
            case Throttled():
                self._throttled(error, now)
            case Unauthorized() if not isinstance(error, Denied):
                self._was_there(of_check=of_check)
            case Refused():
                self._was_there(of_check=of_check)
            case _:
                self.failures = self.doubts = self.failed_checks = self.refusals = 0
                self.wished = 0.0

    def _was_there(self, *, of_check: bool) -> None:
        """End the search for a store that a check found, whatever else is wrong with it."""
        if of_check:
            self.failures = self.doubts = self.failed_checks = 0

    def _throttled(self, error: Throttled, now: float) -> None:
        self.failures = self.doubts = self.failed_checks = 0
        if now < self.quiet_until:
            return  # asked before the pause began
        self.refusals += 1
        guess = min(2.0 ** (min(self.refusals, 16) - 1), _LONGEST_GUESS)
        self.wished = guess if error.retry_after is None else min(error.retry_after, _LONGEST_WISH)
        self.quiet_until = now + self.wished

    def quiet(self, now: float) -> float:
        """Return the seconds for which the store wants to be left alone."""
        return max(self.quiet_until - now, 0.0)
