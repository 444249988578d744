"""Dynamic credentials of one ManagedSecret: one lease per key, renewed at half of its duration, then replaced.

An acquired credential stays in memory until a revision records it, so that a cancelled read acquires none twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import structlog

from keyturn.controllers.context import BackgroundJob, Context, begin
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import RevocationProblem
from keyturn.core.rotation import steps
from keyturn.core.rotation.completion import freed_keys
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import is_spread
from keyturn.core.spec.references import Source
from keyturn.core.state.records import ItemValues, StoreLease
from keyturn.core.state.state import State, StateFacts
from keyturn.core.times import backoff
from keyturn.stores import Failure, Stores
from keyturn.stores.providers.base import ProviderLease, RemoteValue
from keyturn.stores.providers.errors import StoreError, Throttled, Unreachable, detail_of

T = TypeVar("T")

_log = structlog.get_logger()

_RETRY_DELAY: Final = timedelta(seconds=30)
_MAX_RETRY_DELAY: Final = timedelta(minutes=5)
_REFUSED_DELAY: Final = timedelta(minutes=5)
_MAX_REFUSED_DELAY: Final = timedelta(hours=1)
_MIN_DURATION: Final = timedelta(seconds=1)


@dataclass(slots=True, eq=False)
class _Request:
    """A dynamic credential that is being requested."""

    since: datetime
    task: asyncio.Task[RemoteValue | Failure]
    is_dropped: bool = False
    """Whether it is revoked once it is issued, and no read uses it."""


class _Acquired(NamedTuple):
    """A dynamic credential that was acquired, and that no revision records yet."""

    lease: StoreLease
    found: RemoteValue


@dataclass(slots=True)
class UnrecordedLeases:
    """Dynamic credentials of one ManagedSecret that no revision records yet, by store and key.

    They outlive a pass, as a store issues each only once.
    """

    requests: dict[str, _Request] = field(default_factory=dict)
    """Shared by all waiting reads."""
    acquired: dict[str, _Acquired] = field(default_factory=dict, repr=False)
    sent: set[str] = field(default_factory=set)
    """Leases of states that were sent to the API server, which may have stored them without an answer."""

    def keep(self, places: Collection[str], state: StateFacts | None, key: ObjectKey, stores: Stores) -> None:
        """Drop credentials that the current revision has, and revoke those that the spec no longer asks for.

        A lease that the state records has its own step for that.
        """
        held = frozenset(state.leases_by_item.values()) if state else frozenset()
        recorded = held.union(lease.id for lease in state.leases) if state else held
        for place, one in list(self.acquired.items()):
            if place in places and one.lease.id not in held:
                continue
            del self.acquired[place]
            if one.lease.id not in recorded:
                _revoke_unrecorded(one.lease, key, stores)
        for place in self.requests.keys() - set(places):
            _drop_request(place, self.requests.pop(place), key, stores)

    def revoke(self, key: ObjectKey, stores: Stores) -> None:
        """Revoke those that no state can have, and those that are being requested once they are issued."""
        for one in self.acquired.values():
            if one.lease.id not in self.sent:
                _revoke_unrecorded(one.lease, key, stores)
        for place, request in self.requests.items():
            _drop_request(place, request, key, stores)


class LeaseMemory:
    """Leases that no revision records yet, and revocations in progress or postponed, by ManagedSecret."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unrecorded: dict[ObjectKey, UnrecordedLeases] = {}
        self._revoking: dict[ObjectKey, dict[str, BackgroundJob[Failure | None]]] = {}
        self._postponed: dict[ObjectKey, dict[str, RevocationProblem]] = {}

    def unrecorded(self, key: ObjectKey) -> UnrecordedLeases:
        return self._unrecorded.setdefault(key, UnrecordedLeases())

    def keep(self, key: ObjectKey, places: Collection[str], state: StateFacts | None) -> None:
        """Revoke the unrecorded leases of keys that are not among `places`, which the spec asks for."""
        if unrecorded := self._unrecorded.get(key):
            unrecorded.keep(places, state, key, self._context.stores)

    def note_sent(self, key: ObjectKey, state: StateFacts) -> None:
        """Note that a state is sent: whatever the answer, a later process may publish its leases."""
        if unrecorded := self._unrecorded.get(key):
            unrecorded.sent |= {lease.id for lease in state.leases}
            unrecorded.sent &= {one.lease.id for one in unrecorded.acquired.values()}

    def take_revocation(self, key: ObjectKey, lease: str) -> BackgroundJob[Failure | None] | None:
        """Remove and return the revocation of a lease that was started."""
        return self._revoking.get(key, {}).pop(lease, None)

    def keep_revocation(self, key: ObjectKey, job: BackgroundJob[Failure | None]) -> None:
        self._revoking.setdefault(key, {})[job.name] = job

    def postponed(self, key: ObjectKey) -> Mapping[str, RevocationProblem]:
        """Return the leases whose revocation failed or is in progress, as of now."""
        return dict(self._postponed.get(key, {}))

    def refusal(self, key: ObjectKey, lease: str) -> str:
        """Return why the store does not revoke a lease, as of its last answer."""
        return self._known(key, lease).refusal

    def keep_in_progress(self, key: ObjectKey, lease: str, until: datetime) -> None:
        """Record that a revocation is in progress; an earlier refusal counts until the store gives another answer."""
        self._put(key, lease, self._known(key, lease)._replace(again=until, refused=None))

    def postpone(self, key: ObjectKey, lease: str, until: datetime) -> None:
        """Record that a revocation failed for now; an earlier refusal counts."""
        known = self._known(key, lease)
        since = known.since or self._context.now()
        self._put(key, lease, known._replace(again=until, since=since, refused=None))

    def refuse(self, key: ObjectKey, lease: str, cause: str) -> None:
        """Record that a store does not revoke a lease; it is asked again with back-off."""
        known, now = self._known(key, lease), self._context.now()
        number = known.refusals + 1
        again = now + backoff(_REFUSED_DELAY, number, _MAX_REFUSED_DELAY)
        self._put(key, lease, RevocationProblem(again, cause, known.since or now, number, now))

    def resume(self, key: ObjectKey, lease: str) -> None:
        """Make the revocation of a lease due."""
        problems = self._postponed.get(key, {})
        if problem := problems.get(lease):
            problems[lease] = problem._replace(again=self._context.now())

    def retry(self, key: ObjectKey, now: datetime) -> None:
        """Make all failed revocations due, because a store has recovered or was changed."""
        problems = self._postponed.get(key, {})
        for lease, problem in problems.items():
            problems[lease] = problem._replace(again=now, refusals=0)

    def settle(self, key: ObjectKey, lease: str) -> None:
        """Drop the record of a lease that is revoked or has expired."""
        self._postponed.get(key, {}).pop(lease, None)

    def _known(self, key: ObjectKey, lease: str) -> RevocationProblem:
        return self._postponed.get(key, {}).get(lease) or RevocationProblem(self._context.now())

    def _put(self, key: ObjectKey, lease: str, problem: RevocationProblem) -> None:
        self._postponed.setdefault(key, {})[lease] = problem

    def forget(self, key: ObjectKey) -> None:
        """Cancel revocations of an object that is deleted or of another process, and revoke unrecorded leases."""
        self._postponed.pop(key, None)
        for job in self._revoking.pop(key, {}).values():
            job.task.cancel()
        if unrecorded := self._unrecorded.pop(key, None):
            unrecorded.revoke(key, self._context.stores)


class LeasedValue(NamedTuple):
    """A leased credential, or a plain value if the store has no lease for it."""

    lease: StoreLease | None
    found: RemoteValue | None
    """None if the current revision has its values."""
    kept: Mapping[str, ItemValues] = MappingProxyType({})
    """Those values, by the text of their source."""


class LeaseManager:
    """Leases of one ManagedSecret during one read."""

    def __init__(
        self,
        key: ObjectKey,
        desired: Desired,
        state: State | None,
        unrecorded: UnrecordedLeases,
        stores: Stores,
        now: Callable[[], datetime],
        *,
        reissue: Collection[str],
        refusal: Wait | Stalled | None = None,
    ) -> None:
        """Recorded leases of the places `reissue` are not reused; with `refusal`, no others are requested."""
        self._key, self._desired, self._state = key, desired, state
        self._unrecorded, self._stores, self._now, self._reissue = unrecorded, stores, now, reissue
        self._refusal = refusal
        self._asked: dict[str, asyncio.Task[LeasedValue | Failure]] = {}

    @property
    def leases(self) -> tuple[StoreLease, ...]:
        """Leases of this read, once all requests have ended."""
        results = (task.result() for task in self._asked.values() if task.done() and not task.cancelled())
        return tuple(result.lease for result in results if isinstance(result, LeasedValue) and result.lease)

    async def lease(self, source: Source) -> LeasedValue:
        """Return the credential of a key; all items that read the key share it.

        Raises:
            Stalled: The store does not exist, or is not permitted for this namespace.
            StoreError: The store issued no credential.
        """
        place = source.place
        if place not in self._asked:
            self._asked[place] = asyncio.ensure_future(_outcome(self._acquire_or_renew(source)))
        await asyncio.wait([self._asked[place]])
        outcome = self._asked[place].result()
        if isinstance(outcome, StoreError):
            raise outcome.again()
        if isinstance(outcome, Stalled):
            raise Stalled(outcome.reason, outcome.message)
        return outcome

    async def renew_others(self) -> tuple[StoreLease, ...]:
        """Renew the leases of the current revision that this read has not: it failed, so their values stay.

        Not in an emergency, which has exposed them.
        """
        if self._state is None:
            return ()
        facts, now = self._state.facts, self._now()
        others = {*facts.leases_by_item.values()} - {lease.id for lease in self.leases}
        kept = (lease for lease in facts.leases if lease.id in others and lease.place not in self._reissue)
        due = [lease for lease in kept if lease.due <= now < lease.ends]
        renewed = await asyncio.gather(*(_outcome(self._renew(lease)) for lease in due))
        return tuple(lease for lease in renewed if isinstance(lease, StoreLease))

    def close(self) -> None:
        for task in self._asked.values():
            task.cancel()

    async def _acquire_or_renew(self, source: Source) -> LeasedValue:
        acquired = self._unrecorded.acquired.get(source.place)
        held = LeasedValue(acquired.lease, acquired.found) if acquired else self._current(source)
        if held is None or held.lease is None or self._is_of_other_settings(held.lease, source):
            return await self._acquire(source)
        lease = held.lease
        if self._now() < lease.due:
            return held
        try:
            renewed = await self._renew(lease)
            if renewed is not None:
                return self._keep(source, held._replace(lease=renewed))
            return await self._acquire(source)
        except (Throttled, Unreachable):
            if self._now() >= lease.ends:
                raise
            return held

    def _is_of_other_settings(self, lease: StoreLease, source: Source) -> bool:
        """Whether the store names another server or engine than the one that issued a lease."""
        return lease.issuer != self._stores.lease_issuer(source.ref, self._key.namespace)

    def _current(self, source: Source) -> LeasedValue | None:
        """Return the recorded lease, if all items that read the key have all of their values from it.

        Such an item may have had another name, as entries of dataFrom have that of their place.
        """
        if self._state is None or source.place in self._reissue:
            return None
        sources = (item.source for item in self._desired.pulled)
        readers = [one for one in sources if one and one.place == source.place]
        kept = {one.text: found for one in readers if (found := _kept(one, self._state))}
        if kept.keys() != {one.text for one in readers}:
            return None
        if any(one.spreads for one in readers) and freed_keys(self._desired, self._state.facts):
            return None
        names = {one.lease for one in kept.values()}
        lease = next((lease for lease in self._state.facts.leases if {lease.id} == names), None)
        return LeasedValue(lease, None, kept) if lease else None

    async def _renew(self, lease: StoreLease) -> StoreLease | None:
        """Renew a lease; None if the rest of its duration is not extended beyond its half."""
        asked, where = self._now(), lease.where
        left = await self._stores.renew_lease(
            where.ref, self._key.namespace, where.key, _provider_lease(lease)
        )
        renewed = replace(lease, ends=asked + left) if left else None
        return renewed if renewed and asked < renewed.due else None

    async def _acquire(self, source: Source) -> LeasedValue:
        place, requests = source.place, self._unrecorded.requests
        was_asked_before = place in requests
        if not was_asked_before:
            if self._refusal:
                raise Stalled(self._refusal.reason, self._refusal.message)
            task = self._stores.lease(source.ref, self._key.namespace, source.key)
            requests[place] = _Request(self._now(), task)
        request = requests[place]
        await asyncio.wait([request.task])
        if request.is_dropped:
            raise Unreachable("Dropped", "the spec no longer asks for it")
        requests.pop(place, None)
        if request.task.cancelled():
            raise Unreachable("Closed", "the operator ends")
        outcome = request.task.result()
        if isinstance(outcome, StoreError | Stalled):
            raise outcome
        if outcome.lease is None:
            return LeasedValue(None, outcome)
        lease = _lease_of(place, outcome.lease, request.since)
        taken = self._keep(source, LeasedValue(lease, outcome))
        if not was_asked_before:
            return taken
        # It may be old, or of earlier settings, if it was acquired for a read that was cancelled.
        is_outdated = self._now() >= lease.due or self._is_of_other_settings(lease, source)
        return await self._acquire_or_renew(source) if is_outdated else taken

    def _keep(self, source: Source, leased: LeasedValue) -> LeasedValue:
        if leased.lease and leased.found:
            acquired = self._unrecorded.acquired
            before = acquired.get(source.place)
            acquired[source.place] = _Acquired(leased.lease, leased.found)
            if before and before.lease.id not in {leased.lease.id, *self._recorded}:
                _revoke_unrecorded(before.lease, self._key, self._stores)
        return leased

    @property
    def _recorded(self) -> Iterator[str]:
        return (lease.id for lease in self._state.facts.leases) if self._state else iter(())


async def _outcome(asking: Awaitable[T]) -> T | Failure:
    try:
        return await asking
    except (StoreError, Stalled) as error:
        return error.with_traceback(None)


def _lease_of(place: str, lease: ProviderLease, asked: datetime) -> StoreLease:
    lasts = max(timedelta(seconds=int(lease.lasts.total_seconds())), _MIN_DURATION)
    return StoreLease(place, lease.id, lease.login, lasts, asked + lasts, issuer=lease.issuer)


def _provider_lease(lease: StoreLease) -> ProviderLease:
    return ProviderLease(lease.id, lease.login, lease.lasts, lease.issuer)


# Revocation


async def revoke_lease(
    step: steps.GiveBack, key: ObjectKey, state: State, memory: LeaseMemory, context: Context
) -> State | None:
    """Revoke a lease; return the state without it, or None if the revocation is to be retried.

    A lease that has expired, or that a person states to have revoked, needs no revocation.
    """
    lease = step.lease
    is_over = step.is_stated or context.now() >= lease.ends or await _revoke(lease, key, memory, context)
    if not is_over and not (step.drops_refused and memory.refusal(key, lease.id)):
        return None
    if is_over and not step.is_stated:
        memory.settle(key, lease.id)
    memory.take_revocation(key, lease.id)
    return state.with_facts(state.facts.without_lease(step.lease.id))


async def _revoke(lease: StoreLease, key: ObjectKey, memory: LeaseMemory, context: Context) -> bool:
    job = memory.take_revocation(key, lease.id)
    if job is None:

        def wake() -> None:
            memory.resume(key, lease.id)
            context.queue.add(key)

        where = lease.where
        asking = _outcome(
            context.stores.revoke_lease(where.ref, key.namespace, where.key, _provider_lease(lease))
        )
        job = await begin(lease.id, asking, wake)
    if not job.task.done():
        memory.keep_revocation(key, job)
        memory.keep_in_progress(key, lease.id, lease.ends)
        return False
    failure = job.task.result()
    if failure is None:
        return True
    name = str(lease.where)
    if isinstance(failure, Throttled | Unreachable):
        wish = timedelta(seconds=failure.retry_after or 0)
        again = context.now() + min(max(wish, _RETRY_DELAY), _MAX_RETRY_DELAY)
        memory.postpone(key, lease.id, again)
        _log.warning("lease revocation postponed", secret=str(key), lease=name, code=failure.code)
        return False
    # Asked again until the lease expires: a right may be granted, and a login or a store created again.
    code = failure.reason if isinstance(failure, Stalled) else failure.code
    memory.refuse(key, lease.id, _cause(failure))
    _log.warning("lease revocation refused", secret=str(key), lease=name, code=code, ends=str(lease.ends))
    return False


def _cause(failure: Failure) -> str:
    return f"{failure.reason}: {failure.message}" if isinstance(failure, Stalled) else detail_of(failure)


def _drop_request(place: str, request: _Request, key: ObjectKey, stores: Stores) -> None:
    """Revoke a lease once it is issued."""

    def revoke_issued(task: asyncio.Task[RemoteValue | Failure]) -> None:
        outcome = None if task.cancelled() else task.result()
        if isinstance(outcome, RemoteValue) and outcome.lease:
            _revoke_unrecorded(_lease_of(place, outcome.lease, request.since), key, stores)

    request.is_dropped = True
    request.task.add_done_callback(revoke_issued)


def _revoke_unrecorded(lease: StoreLease, key: ObjectKey, stores: Stores) -> None:
    def log_failure(task: asyncio.Task[Failure | None]) -> None:
        if failure := None if task.cancelled() else task.result():
            named = {
                "secret": str(key),
                "lease": str(where),
                "cause": _cause(failure),
                "ends": str(lease.ends),
            }
            _log.warning("unused lease not revoked", **named)

    where = lease.where
    task = stores.drop_lease(where.ref, key.namespace, where.key, _provider_lease(lease))
    task.add_done_callback(log_failure)


def _kept(source: Source, state: State) -> ItemValues | None:
    """Return the recorded values of a source; an entry of dataFrom may have had another prefix.

    These lack a property whose key was then one of `data`, so no such key may begin with that prefix.
    """
    data = {key for name, keys in state.facts.keys.items() if not is_spread(name) for key in keys.values()}
    for one in state.current.values.values():
        if one.recipe == source.text:
            return one
        if not (source.spreads and one.keys):
            continue
        output, key = next(iter(one.keys.items()))
        before = replace(source, prefix=key.removesuffix(output))
        if before.text == one.recipe and not any(name.startswith(before.prefix or "") for name in data):
            keys = {property_: f"{source.prefix}{property_}" for property_ in one.outputs}
            return replace(one, recipe=source.text, keys=keys)
    return None
