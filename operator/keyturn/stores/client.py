"""Client of one store: caches and deduplicates reads, limits the rate, honours Retry-After."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from keyturn.core.keys import StoreKey
from keyturn.core.observation.external import HealthEvents
from keyturn.core.value import Value, size_of
from keyturn.runtime.clock import loop_time
from keyturn.runtime.concurrency import KeyedLimiter, Tasks
from keyturn.stores.providers.base import ProviderLease

from .health import CLUSTER_ERRORS, Breaker, HealthCheck, PreviousClient, RateLimiter, observe_request
from .login import ConnectionContext, ConnectionPool, StoreConnection, closed
from .providers import Content, Policy, Provider, RemoteValue, Written, errors
from .providers.base import Permit
from .settings import StoreSettings

T = TypeVar("T")
Outcome: TypeAlias = RemoteValue | errors.StoreError

_MAX_BYTES: Final = 16 * 1024 * 1024
"""Maximum bytes of all cached values; beyond that the oldest are dropped."""
_OVERHEAD: Final = 512
_PART_OVERHEAD: Final = 200
_MAX_CONCURRENT: Final = 20
"""Maximum concurrent requests of one store."""
_MAX_OF_ONE: Final = 16
"""Maximum concurrent requests of one namespace to a store that serves several."""
_MAX_WAITED_PAUSE: Final = 5.0
"""Seconds of a pause that a request waits for; a longer pause is an error for the caller."""
_MAX_RATE_WAIT: Final = 60.0
"""Maximum seconds that a request waits for the rate limit."""
_MAX_CREDENTIAL_AGE: Final = 180.0
"""Maximum age in seconds of a credential before it is read again for a request; less if the store is read often."""
_MIN_CREDENTIAL_AGE: Final = 1.0
_WRITE_COST: Final = 2
"""A write includes a read."""
_SILENT_AFTER: Final = 0.5
"""Seconds in which a store that is up usually begins to answer."""
_UNCACHED_ERRORS: Final = (errors.Throttled, errors.Unauthorized, errors.Unreachable, errors.Conflict)
_ACCEPTED: Final = (errors.NotFound, errors.Denied, errors.Conflict)
"""Errors of a store that has accepted the credential."""


class _Kept(NamedTuple):
    outcome: Outcome
    size: int
    timer: asyncio.TimerHandle


def memory_of(content: Content) -> int:
    """Return the bytes that a content takes in memory, about; many small parts take more than their bytes."""
    of_parts = 0 if isinstance(content, Value) else sum(len(name) + _PART_OVERHEAD for name in content)
    return size_of(content) + of_parts


class Cache:
    """Keeps each result for the time that is passed with it, by a timer."""

    def __init__(self, largest: int = _MAX_BYTES) -> None:
        self._largest = largest
        self._kept: dict[Hashable, _Kept] = {}
        self._size = 0

    def get(self, key: Hashable) -> Outcome | None:
        kept = self._kept.get(key)
        return kept.outcome if kept else None

    def put(self, key: Hashable, outcome: Outcome, seconds: float) -> None:
        self.drop(key)
        size = _OVERHEAD + (memory_of(outcome.content) if isinstance(outcome, RemoteValue) else 0)
        timer = asyncio.get_running_loop().call_later(seconds, self.drop, key)
        self._kept[key] = _Kept(outcome, size, timer)
        self._size += size
        while self._size > self._largest:
            self.drop(next(iter(self._kept)))

    def drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept:
            kept.timer.cancel()
            self._size -= kept.size

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._kept)

    def clear(self) -> None:
        for key in list(self._kept):
            self.drop(key)

    def __len__(self) -> int:
        return len(self._kept)


# Single-flight: concurrent reads of a key share one request, which completes even if a caller is cancelled. A fresh
# read never gets the answer to a request that was sent before it: such reads of a key share one follow-up.

Read: TypeAlias = "Callable[[], Coroutine[Any, Any, Outcome]]"


class SingleFlight:
    """Reads of one store that are in progress."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._flying: dict[Hashable, asyncio.Task[Outcome]] = {}
        self._follow_ups: dict[Hashable, asyncio.Task[Outcome]] = {}
        """Reads that begin when the one in progress has ended."""
        self._sent: set[asyncio.Task[Outcome]] = set()
        """Reads whose answer may be older than a caller from now on."""
        self._all: set[asyncio.Task[Outcome]] = set()
        """All reads, including those that accept no further caller."""

    async def share(self, key: Hashable, read: Read, *, fresh: bool = False) -> RemoteValue:
        """Wait for the read of `key` in progress, or start `read`.

        With `fresh`, wait for the follow-up of a read that was sent already.

        Raises:
            StoreError: The error of the read.
        """
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = self._start(key, read())
        elif fresh and flight in self._sent:
            follow_up = self._follow_ups.get(key) or self._start(key, _after(flight, read))
            flight = self._follow_ups[key] = follow_up
        await asyncio.wait([flight])  # cancellation ends the wait, not the request
        if flight.cancelled():
            raise closed()
        outcome = flight.result()
        if isinstance(outcome, errors.StoreError):
            raise outcome.again()
        return outcome

    def mark_sent(self) -> None:
        """Let no further fresh caller join the read of the current task."""
        flight = asyncio.current_task()
        if flight is not None:
            self._sent.add(flight)

    def drop(self, key: Hashable) -> None:
        """Let no further caller join the reads of `key`, since the key was just written."""
        self._flying.pop(key, None)
        self._follow_ups.pop(key, None)

    def close(self) -> None:
        """Cancel all reads; their callers get an error."""
        for flight in self._all:
            flight.cancel()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._flying)

    def is_current(self, key: Hashable) -> bool:
        """Whether the current task is the read of `key` that new callers join."""
        flight = self._flying.get(key)
        return flight is not None and flight is asyncio.current_task()

    def _start(self, key: Hashable, read: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
        flight = self._tasks.start(read)
        self._all.add(flight)
        flight.add_done_callback(partial(self._end, key))
        return flight

    def _end(self, key: Hashable, flight: asyncio.Task[Outcome]) -> None:
        self._all.discard(flight)
        self._sent.discard(flight)
        if self._flying.get(key) is not flight:
            return
        del self._flying[key]
        if follow_up := self._follow_ups.pop(key, None):
            self._flying[key] = follow_up


async def _after(flight: asyncio.Task[Outcome], read: Read) -> Outcome:
    await asyncio.wait([flight])
    return await read()


# Requests of one store


class _ReadKey(NamedTuple):
    store: str
    user: str
    path: str
    version: str | None


class _Paused(Exception):  # noqa: N818  # a state, whose cause the caller gets
    """A credential is not used, because the store has just rejected it."""

    def __init__(self, cause: errors.StoreError) -> None:
        super().__init__()
        self.cause = cause


class StoreClient:
    """A store in one generation of its spec."""

    def __init__(
        self,
        identity: str,
        plan: StoreSettings,
        context: ConnectionContext,
        cache: Cache,
        tasks: Tasks,
        health_events: Callable[[], HealthEvents[StoreKey]],
        previous: PreviousClient | None = None,
    ) -> None:
        """`previous` is the state of the breaker from an earlier spec."""
        self.identity = identity
        self.plan = plan
        self.connections = ConnectionPool(plan, context, tasks)
        self._breaker = Breaker(failures=previous.failures if previous else 0)
        self.health_check = HealthCheck(
            plan, self.connections, self._breaker, tasks, health_events, context.checks
        )
        self._tokens = context.tokens
        self._cache = cache
        self._flights = SingleFlight(tasks)
        self._bucket = RateLimiter(plan.rate, last=previous.asked if previous else -inf)
        each = _MAX_CONCURRENT if plan.key.namespace else _MAX_OF_ONE
        self._slots = KeyedLimiter(each, _MAX_CONCURRENT)
        self._tenant_slots, self._reads = context.requests, context.reads
        self._one_by_one = asyncio.Lock()
        self._unanswered: list[float] = []
        """Start times of requests that are in progress."""
        if self._breaker.is_open:
            self.health_check.look()

    async def read(self, namespace: str, path: str, version: str | None, *, fresh: bool) -> RemoteValue:
        """Read a key; callers within the store's minInterval share one request.

        The request behind a `fresh` read begins after the call.

        Raises:
            StoreError: The provider's error, or the store is not asked now.
        """
        key = _ReadKey(self.identity, self._user(namespace), path, version)
        kept = None if fresh else self._cache.get(key)
        if isinstance(kept, errors.StoreError):
            raise kept.again()
        read = partial(self._read, key, namespace, fresh=fresh)
        return kept or await self._flights.share(key, read, fresh=fresh)

    async def inspect(self, namespace: str, path: str) -> RemoteValue:
        with self._reads.join(namespace):
            return await self._request(namespace, "read", lambda provider: provider.inspect(path))

    async def write(
        self, namespace: str, path: str, content: Content, policy: Policy, permit: Permit
    ) -> Written:
        return await self._change(
            namespace, path, "write", lambda provider: provider.write(path, content, policy, permit)
        )

    async def delete(self, namespace: str, path: str, permit: Permit) -> None:
        await self._change(namespace, path, "delete", lambda provider: provider.delete(path, permit))

    # Dynamic credentials, one per caller

    async def lease(self, namespace: str, path: str) -> RemoteValue:
        return await self._request(namespace, "read", lambda provider: provider.read(path))

    async def renew_lease(self, namespace: str, path: str, lease: ProviderLease) -> timedelta | None:
        return await self._request(namespace, "renew", lambda provider: provider.renew_lease(path, lease))

    async def revoke_lease(self, namespace: str, path: str, lease: ProviderLease) -> None:
        """Revoke a lease; a ServiceAccount without consent is no reason that earlier credentials stay valid.

        Such an account gets no new login: its stored session revokes the lease, if there is one.
        """

        def revoke(provider: Provider[Any]) -> Awaitable[None]:
            return provider.revoke_lease(path, lease)

        self.plan.provider.hold_to_issuer(self.plan.config, lease)
        try:
            return await self._request(namespace, "revoke", revoke)
        except errors.Unauthorized as error:
            if error.code not in CLUSTER_ERRORS:
                raise
            refused = error
        # Outside the except block, so that the refusal is not the context of further errors.
        connection = await self.connections.resume_session(namespace)
        try:
            await self._send(connection, namespace, "revoke", revoke, cost=1)
        except errors.Refused:
            raise refused.again() from None
        finally:
            connection.retire()

    def close(self) -> PreviousClient:
        """Cancel all reads, let writes finish, and admit no further request; return the state for the next spec."""
        # A cancelled request counts as a failure only if the store had time to answer.
        is_silent = any(began <= loop_time() - _SILENT_AFTER for began in self._unanswered)
        failures = self._breaker.failures + is_silent
        self._flights.close()
        self.health_check.close()
        self.connections.close()
        return PreviousClient(failures, min(self._bucket.last, loop_time()), loop_time())

    def _user(self, namespace: str) -> str:
        """Return the key of the connection for `namespace`; a shared connection has no consumer."""
        return namespace if self.plan.is_personal else self.plan.key.namespace

    async def _read(self, key: _ReadKey, namespace: str, *, fresh: bool) -> Outcome:
        async def send(provider: Provider[Any]) -> RemoteValue:
            self._flights.mark_sent()
            return await provider.read(key.path, key.version)

        outcome: Outcome
        oldest = _MIN_CREDENTIAL_AGE if fresh else min(self.plan.min_interval, _MAX_CREDENTIAL_AGE)
        if self.plan.provider.references_have_values:
            oldest = 0.0
            self._flights.mark_sent()
        try:
            with self._reads.join(namespace):
                outcome = await self._request(namespace, "read", send, oldest=oldest)
        except errors.StoreError as error:
            outcome = error.with_traceback(None)
        keeps = isinstance(outcome, errors.Denied) or not isinstance(outcome, _UNCACHED_ERRORS)
        if keeps and self._flights.is_current(key):
            self._cache.put(key, outcome, self.plan.min_interval)
        return outcome

    async def _change(
        self, namespace: str, path: str, operation: str, doing: Callable[[Provider[Any]], Awaitable[T]]
    ) -> T:
        # Drop cached values as soon as the store may have the new one, which is before its answer arrives.
        self._forget(path)
        try:
            return await self._request(namespace, operation, doing, cost=_WRITE_COST)
        finally:
            self._forget(path)

    def _forget(self, path: str) -> None:
        for kept in (self._flights, self._cache):
            for key in list(kept):
                if isinstance(key, _ReadKey) and (key.store, key.path) == (self.identity, path):
                    kept.drop(key)

    # Requests

    async def _request(
        self,
        namespace: str,
        operation: str,
        doing: Callable[[Provider[Any]], Awaitable[T]],
        *,
        oldest: float = _MAX_CREDENTIAL_AGE,
        cost: int = 1,
    ) -> T:
        """Send a request for a namespace, and repeat it once if the credential has changed meanwhile."""
        user = self._user(namespace)
        connection = await self._connection(user, loop_time() - oldest)
        while True:
            began = loop_time()
            try:
                return await self._send(connection, namespace, operation, doing, cost)
            except _Paused as paused:
                refused, is_answer = paused.cause, False
            except errors.Unauthorized as error:
                if isinstance(error, errors.Denied):
                    raise
                refused, is_answer = error, True
                connection.record_rejection(namespace, refused)
                self._tokens.forget(user)
            newer = await self._connection(user, began)
            if newer is connection:
                # A check decides about a rejection that may concern a key only.
                if is_answer and (connection.is_refused or self.plan.key.namespace or self.plan.is_personal):
                    self.health_check.record_result(refused, connection.namespace)
                elif is_answer:
                    self.health_check.look()
                raise refused.again()
            connection = newer

    async def _connection(self, user: str, looked_at: float) -> StoreConnection:
        try:
            return await self.connections.connection(user, looked_at, self.health_check.mark_unverified)
        except errors.StoreError as error:
            self.health_check.record_no_connection(error)
            raise

    async def _send(
        self,
        connection: StoreConnection,
        namespace: str,
        operation: str,
        doing: Callable[[Provider[Any]], Awaitable[T]],
        cost: int,
    ) -> T:
        """Send a request within the rate limit, and repeat it once after a short pause that the store asked for.

        Namespaces take turns: what waits for the rate is no more than has a slot. After a throttled request one
        proceeds, and the others follow once it is answered.
        """
        wait = self._bucket.wait(loop_time()) + self._slots.waiting(namespace) / self.plan.rate
        if wait > _MAX_RATE_WAIT:
            raise errors.Throttled("RateLimit", "requests exceed the store's ratePerSecond", retry_after=wait)
        mine = self._tenant_slots.hold(connection.namespace or str(self.plan.key))
        async with (
            self._slots.hold(namespace),
            mine,
            self._one_by_one if self._breaker.refusals else nullcontext(),
        ):
            await asyncio.sleep(self._bucket.take(loop_time(), cost))
            await self._wait_for_pause(connection, namespace)
            try:
                return await self._call_provider(connection, operation, doing)
            except errors.Throttled:
                if self._breaker.quiet(loop_time()) > _MAX_WAITED_PAUSE:
                    raise
            await self._wait_for_pause(connection, namespace)
            return await self._call_provider(connection, operation, doing)

    async def _wait_for_pause(self, connection: StoreConnection, namespace: str) -> None:
        """Wait for a pause that the store asked for.

        Raises:
            _Paused: It has just rejected this credential.
            Unreachable: The breaker is open; a check closes it.
            Throttled: The pause is long.
        """
        if self._breaker.is_open:
            if cause := self.health_check.lasting:
                raise cause.again()
            raise errors.Unreachable(
                "NoAnswer", "requests resume when a probe succeeds; the store's condition Ready has the cause"
            )
        if (quiet := self._breaker.quiet(loop_time())) > _MAX_WAITED_PAUSE:
            raise errors.Throttled("Paused", "the store requested a pause (Retry-After)", retry_after=quiet)
        if refusal := connection.refusal(namespace):
            raise _Paused(refusal)
        await asyncio.sleep(quiet)

    async def _call_provider(
        self, connection: StoreConnection, operation: str, doing: Callable[[Provider[Any]], Awaitable[T]]
    ) -> T:
        began = loop_time()
        self._unanswered.append(began)
        try:
            async with connection.use() as provider:
                done = await doing(provider)
        except errors.StoreError as error:
            self._record_result(operation, error, connection, began)
            raise
        finally:
            self._unanswered.remove(began)
        self._record_result(operation, None, connection, began)
        return done

    def _record_result(
        self, operation: str, error: errors.StoreError | None, connection: StoreConnection, began: float
    ) -> None:
        observe_request(self.plan.provider.kind, operation, error, loop_time() - began)
        if connection.is_apart:
            return
        if error is None or isinstance(error, _ACCEPTED):
            connection.record_success(began)
        # A rejected credential may have been replaced; it is read again before the error is reported.
        if not isinstance(error, errors.Unauthorized) or isinstance(error, errors.Denied):
            self.health_check.record_result(error, connection.namespace)
