"""Health of a store: what its answers say, when it is asked again, and the check that repeats until it succeeds.

Rate limiter and breaker take the time as an argument and do no I/O, so that tests can use tables of moments. The
circuit breaker of database servers, which counts operations, is in `controllers.managedsecret.account.memory`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Final, NamedTuple

from keyturn.core.keys import StoreKey
from keyturn.core.observation.external import Health, HealthEvents, reported
from keyturn.core.reasons import StoreReason
from keyturn.core.times import backoff
from keyturn.runtime import metrics
from keyturn.runtime.clock import loop_time
from keyturn.runtime.concurrency import KeyedLimiter, Tasks

from .login import NO_ACCOUNT, NO_RIGHT, ConnectionPool, StoreConnection
from .providers import errors
from .settings import LOGIN_NOT_FOUND, NO_CONSENT, StoreSettings

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

    def record_result(self, error: errors.StoreError | None, now: float, *, of_check: bool = False) -> None:
        """Record the result of a request."""
        match error:
            case errors.Unreachable(was_answered=True):
                self.doubts += 1
                self.failed_checks += of_check
            case errors.Unreachable():
                self.failures += 1
                self.failed_checks += of_check
            case errors.Throttled():
                self._record_throttled(error, now)
            case errors.Unauthorized() if not isinstance(error, errors.Denied):
                self._was_there(of_check=of_check)
            case errors.Refused():
                self._was_there(of_check=of_check)
            case _:
                self.failures = self.doubts = self.failed_checks = self.refusals = 0
                self.wished = 0.0

    def _was_there(self, *, of_check: bool) -> None:
        """Reset after a check that found the store up, whatever else is wrong."""
        if of_check:
            self.failures = self.doubts = self.failed_checks = 0

    def _record_throttled(self, error: errors.Throttled, now: float) -> None:
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


# Health

_DONE: Final = "OK"


def observe_request(provider: str, operation: str, error: errors.StoreError | None, seconds: float) -> None:
    """Count a request by result and duration."""
    code = _DONE if error is None else type(error).__name__
    metrics.PROVIDER_REQUESTS.labels(provider, operation, code).inc()
    metrics.PROVIDER_REQUEST_SECONDS.labels(provider, operation).observe(seconds)
    if isinstance(error, errors.Throttled):
        metrics.PROVIDER_THROTTLED.labels(provider).inc()


VALID: Final = Health(
    is_ready=True, reason=StoreReason.VALID, message="the last check of the store succeeded"
)
IN_USE: Final = Health(
    is_ready=True,
    reason=StoreReason.VALID,
    message="the settings are valid; each namespace has its own credentials, which are checked on first use",
)


def health_of(error: errors.StoreError) -> Health:
    """Return the health for an error."""
    match error:
        case errors.Unauthorized(code=code) if code == LOGIN_NOT_FOUND:
            return Health(is_ready=False, reason=StoreReason.LOGIN_NOT_FOUND, message=error.hint)
        case errors.Unauthorized():
            return _with_details(error, StoreReason.AUTHENTICATION_FAILED, "authentication failed")
        case errors.Throttled():
            return _with_details(error, StoreReason.THROTTLED, "the store throttles requests", passes=True)
        case errors.Unreachable():
            lasting = StoreReason.HOST_NOT_FOUND
            if error.code in errors.CERTIFICATES:
                lasting = StoreReason.CERTIFICATE_INVALID
            reason = lasting if error.is_lasting else StoreReason.UNREACHABLE
            message = (
                errors.detail_of(error)
                if errors.hint_of(error)
                else f"the store does not answer ({error.code})"
            )
            return Health(is_ready=False, reason=reason, message=message, passes=not error.is_lasting)
        case errors.Refused():
            return _with_details(error, StoreReason.INVALID_SETTINGS, "the settings of the store are invalid")
        case _:
            return _with_details(
                error, StoreReason.UNKNOWN, "the store did not execute the request", passes=True
            )


def _with_details(error: errors.StoreError, reason: str, sentence: str, *, passes: bool = False) -> Health:
    """Append the details of an error to a message."""
    hint = errors.hint_of(error)
    message = f"{sentence} ({error.code}){f': {hint}' if hint else ''}"
    return Health(is_ready=False, reason=reason, message=message, passes=passes)


# Check

_MIN_INTERVAL: Final = 1.0
_MAX_INTERVAL: Final = 30.0
_MAX_CREDENTIAL_INTERVAL: Final = 15.0
"""Maximum seconds between two reads of a credential that is rejected or missing."""
_RETRY_INTERVAL: Final = 300.0
"""Seconds after which a rejected credential, or invalid settings, are tried again unchanged."""
_REQUEST_TIMEOUT: Final = 10.0
CLUSTER_ERRORS: Final = frozenset({NO_ACCOUNT, NO_CONSENT, NO_RIGHT})
"""Codes of errors that occur in this cluster, so that a retry costs the store nothing."""


class HealthCheck:
    """Health of one store; unknown before the first result, ready after any success."""

    def __init__(
        self,
        plan: StoreSettings,
        connections: ConnectionPool,
        breaker: Breaker,
        tasks: Tasks,
        health_events: Callable[[], HealthEvents[StoreKey]],
        checks: KeyedLimiter,
    ) -> None:
        """`checks` is the concurrency limit of all stores' checks."""
        self.health: Health | None = None
        """None while unknown."""
        self._plan, self._connections, self._breaker, self._tasks = plan, connections, breaker, tasks
        self._health_events, self._checks = health_events, checks
        self._trouble: errors.StoreError | None = None
        self._silence: errors.Unreachable | None = None
        self._wish: errors.Throttled | None = None
        # A store with one credential per namespace has no other health.
        self._works = plan.is_personal
        self._user = None if plan.is_personal else plan.key.namespace
        """The namespace whose connection is used for checks."""
        self._tried: tuple[frozenset[str], float] | None = None
        """The credential of the last check, and its time."""
        self._tending: asyncio.Task[None] | None = None
        self._is_closed = False

    def look(self) -> None:
        """Start checks until one succeeds; no effect while checks run."""
        if not self._is_closed and (self._tending is None or self._tending.done()):
            self._tending = self._tasks.start(self._tend())

    def close(self) -> None:
        self._is_closed = True
        if self._tending is not None:
            self._tending.cancel()

    @property
    def lasting(self) -> errors.Unreachable | None:
        """Why the store is down, if that needs manual action."""
        return self._silence if self._silence and self._silence.is_lasting and self._breaker.is_down else None

    def mark_unverified(self) -> None:
        """Spare the API server a read of a credential that was missing a moment ago.

        Raises:
            Unauthorized: It was missing.
        """
        if self._trouble is not None and self._trouble.code == LOGIN_NOT_FOUND:
            raise self._trouble.again()

    def record_result(self, error: errors.StoreError | None, user: str, *, of_check: bool = False) -> None:
        """Record the result of a request on the connection of `user`."""
        was_open, self._user = self._breaker.is_open, user
        self._breaker.record_result(error, loop_time(), of_check=of_check)
        match error:
            case None | errors.NotFound() | errors.Denied() | errors.Conflict():
                self._trouble, self._works = None, True
            case errors.Unreachable():
                self._silence = error
            case errors.Throttled():
                self._wish = error
            case errors.Unauthorized() if not self._plan.is_personal:
                self._trouble = error
            case errors.Refused() if of_check:
                self._trouble = error
        self._judge(was_open=was_open)

    def record_no_connection(self, error: errors.StoreError) -> None:
        """Record that a referenced object is missing or cannot be used."""
        is_of_one = self._plan.is_personal and error.code in CLUSTER_ERRORS
        if isinstance(error, errors.Unauthorized | errors.Refused) and not is_of_one:
            self._trouble = error
            self._judge(was_open=self._breaker.is_open)

    def _judge(self, *, was_open: bool) -> None:
        before, found = self.health, self._found()
        if found and found != before and (after := reported(before, found)) != before:
            self.health = after
            self._health_events().turned(self._plan.key)
        is_well = not self._breaker.is_open and bool(found and found.is_ready)
        if is_well and (was_open or (before and not before.is_ready)):
            self._health_events().recovered(self._plan.key)
        if not is_well or self._breaker.is_doubted:
            self.look()

    def _found(self) -> Health | None:
        if self._trouble is not None:
            return health_of(self._trouble)
        if self._silence is not None and self._breaker.is_down:
            return health_of(self._silence)
        if self._wish is not None and self._breaker.is_throttled:
            return health_of(self._wish)
        if self._works:
            return IN_USE if self._plan.is_personal else VALID
        return self.health if self._breaker.is_open else None

    # Checks

    async def _tend(self) -> None:
        for attempts in count(1):
            await self._check()
            in_order = self.health is not None and self.health.is_ready
            if in_order and not self._breaker.is_open and not self._breaker.is_doubted:
                return
            pause = backoff(_MIN_INTERVAL, attempts, self._longest)
            await asyncio.sleep(max(pause, self._breaker.quiet(loop_time())))

    @property
    def _longest(self) -> float:
        match self._trouble:
            case None:
                return min(_MAX_INTERVAL, self._plan.min_interval)
            case errors.Unauthorized():
                return _MAX_CREDENTIAL_INTERVAL
            case _:
                return _MAX_CREDENTIAL_INTERVAL if self._connections.needs_something else _RETRY_INTERVAL

    async def _check(self) -> None:
        user = self._user
        if user is None:  # no namespace has opened a connection yet
            self._judge(was_open=False)
            return
        try:
            connection = await self._connections.connection(user, loop_time())
        except errors.StoreError as missing:
            self.record_no_connection(missing)
            return
        if self._was_tried(connection):
            return
        async with self._checks.hold(user or str(self._plan.key)):
            began = loop_time()
            error = await _probe(connection)
        if error is None:
            connection.record_success(began)
        is_rejected = isinstance(error, errors.Unauthorized | errors.Refused)
        self._tried = (connection.login.versions, loop_time()) if is_rejected else None
        observe_request(self._plan.provider.kind, "check", error, loop_time() - began)
        self.record_result(error, user, of_check=True)

    def _was_tried(self, connection: StoreConnection) -> bool:
        """Whether the store has rejected this credential recently."""
        if self._trouble is not None and self._trouble.code in CLUSTER_ERRORS:
            return False
        tried, at = self._tried or (None, -inf)
        return (
            self._trouble is not None
            and tried == connection.login.versions
            and loop_time() < at + _RETRY_INTERVAL
        )


async def _probe(connection: StoreConnection) -> errors.StoreError | None:
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT), connection.use() as provider:
            await provider.check()
    except TimeoutError:
        return errors.Unreachable("Timeout")
    except errors.StoreError as error:
        return error.with_traceback(None)
    return None
