"""Limits of requests to stores: rate, circuit breaker, and pending reads of a namespace.

Rate limiter and breaker take the time as an argument and do no I/O, so that tests can use tables of moments. The
circuit breaker of database servers, which counts operations, is in `controllers.managedsecret.account.breaker`.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.times import backoff

from .providers.errors import Denied, Refused, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .providers.errors import StoreError

_BURST_SECONDS: Final = 0.2
"""Seconds' worth of requests that may be sent at once."""
_MAX_FAILURES: Final = 5
"""Consecutive failures after which a store counts as down."""
_MAX_FAILED_CHECKS: Final = 2
"""Consecutive failed checks after which a store counts as down, also without readers."""
_MAX_THROTTLED: Final = 3
"""Consecutive throttled requests after which a store counts as throttling."""
_MAX_PAUSE: Final = 3600.0
_MAX_GUESSED_PAUSE: Final = 30.0
_LONG_PAUSE: Final = 30.0


class PreviousClient(NamedTuple):
    """State of the breaker that outlasts a change of the store's spec."""

    failures: int
    """Consecutive requests without an answer."""
    asked: float
    """Time of the last request."""
    ended: float


class RateLimiter:
    """Limits requests to `rate` per second, with a small burst."""

    def __init__(self, rate: float, *, last: float = -inf) -> None:
        """`last` is the time of the last request."""
        self._step = 1 / rate
        self._slack = max(_BURST_SECONDS - self._step, 0.0)
        self._next = last + self._step

    @property
    def last(self) -> float:
        """Time of the last admitted request."""
        return self._next - self._step

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may be sent."""
        return max(self._next - now, 0.0)

    def take(self, now: float, count: int = 1) -> float:
        """Reserve `count` requests; return the seconds until they may be sent."""
        at = max(self._next, now - self._slack)
        self._next = at + self._step * count
        return max(at - now, 0.0)


@dataclass(slots=True)
class Breaker:
    """Circuit breaker: decides from the answers of a store whether it is asked again.

    Only silence counts as failure, and makes a check due at once: a refusal shows that the store is up. A server
    error may concern one key only, which is no reason to stop reads of others; a check decides. A request that the
    operator itself refused says nothing about the store, and a rejected credential may be one of many.
    """

    failures: int = 0
    """Consecutive requests without an answer."""
    doubts: int = 0
    """Consecutive requests that were answered by a server error."""
    failed_checks: int = 0
    """Consecutive checks without an answer."""
    refusals: int = 0
    """How often in a row the store requested a pause (Retry-After) and throttled the next request."""
    quiet_until: float = -inf
    wished: float = 0.0
    """Length of the pause that the store last asked for."""

    @property
    def is_open(self) -> bool:
        """Whether only a check may send a request."""
        return self.failures >= _MAX_FAILURES

    @property
    def is_doubted(self) -> bool:
        """Whether a check is due, while requests continue."""
        return self.failures > 0 or self.doubts >= _MAX_FAILURES

    @property
    def is_down(self) -> bool:
        """Whether the store is down for longer than one failure: a check failed as well."""
        return (self.is_open and self.failed_checks > 0) or self.failed_checks >= _MAX_FAILED_CHECKS

    @property
    def is_throttled(self) -> bool:
        """Whether the store throttles for longer than one request."""
        return self.refusals >= _MAX_THROTTLED or self.wished > _LONG_PAUSE

    def record_result(self, error: StoreError | None, now: float, *, of_check: bool = False) -> None:
        """Record the result of a request."""
        match error:
            case Unreachable(was_answered=True):
                self.doubts += 1
                self.failed_checks += of_check
            case Unreachable():
                self.failures += 1
                self.failed_checks += of_check
            case Throttled():
                self._record_throttled(error, now)
            case Unauthorized() if not isinstance(error, Denied):
                self._was_there(of_check=of_check)
            case Refused():
                self._was_there(of_check=of_check)
            case _:
                self.failures = self.doubts = self.failed_checks = self.refusals = 0
                self.wished = 0.0

    def _was_there(self, *, of_check: bool) -> None:
        """Reset after a check that found the store up, whatever else is wrong."""
        if of_check:
            self.failures = self.doubts = self.failed_checks = 0

    def _record_throttled(self, error: Throttled, now: float) -> None:
        self.failures = self.doubts = self.failed_checks = 0
        if now < self.quiet_until:
            return  # sent before the pause began
        self.refusals += 1
        guess = backoff(1.0, self.refusals, _MAX_GUESSED_PAUSE)
        self.wished = guess if error.retry_after is None else min(error.retry_after, _MAX_PAUSE)
        self.quiet_until = now + self.wished

    def quiet(self, now: float) -> float:
        """Return the seconds of the pause that the store asked for."""
        return max(self.quiet_until - now, 0.0)


# Pending reads

_RETRY_AFTER: Final = 10.0
"""Retry-After in seconds: about half the time limit of a read."""


class PendingReads:
    """Counts reads by namespace, and rejects those above the limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    @contextmanager
    def join(self, namespace: str) -> Iterator[None]:
        """Count one more read of `namespace`.

        Raises:
            Throttled: The limit is reached.
        """
        if self._inside[namespace] >= self._most:
            raise Throttled(
                "TooManyReads",
                f"{self._most} reads of its namespace are in progress, because stores answer slowly",
                retry_after=_RETRY_AFTER,
            )
        self._inside[namespace] += 1
        try:
            yield
        finally:
            self._inside[namespace] -= 1
            if not self._inside[namespace]:
                del self._inside[namespace]
