"""Elections of several shards: each replica holds some of their Leases, and writes in the namespaces of these only.

Two Leases permit a write: that of the shard, and the Lease `keyturn`, which all replicas with the same number of
shards hold together. The second excludes replicas with another number, by which a namespace belongs to another shard.

Replicas with fewer shards are first to acquire a free one. A replica that has two fewer than another asks it for one
by an annotation of the Lease; the holder ends its work there and releases the Lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from datetime import timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from keyturn.core.labels import CLUSTER_SESSION
from keyturn.core.shards import CLUSTER_SHARD, LEASE, layout_name, shard_lease, shard_of
from keyturn.runtime.clock import loop_time

from . import errors, paths
from .leader_election import TERMS, Elector, LeadershipLost

if TYPE_CHECKING:
    from .client import Api, Body

__all__ = ["Election", "ShardElection", "SoleElection"]

_HANDOVER_GRACE: Final = timedelta(seconds=5)
"""Time for reconciles in progress to end, before a shard is given to another replica."""
_NO_GRACE: Final = timedelta()
_UNEVEN_ROUNDS: Final = 3
"""Consecutive periods in which another replica has two shards more, before it is asked for one."""
_ANSWER_ROUNDS: Final = 8
"""Periods until another request; an answer takes up to two, and the grace."""

_log = structlog.get_logger()


class ShardWork(Protocol):
    """What a process does with the shards that it holds."""

    def gain(self, shard: int) -> None:
        """Begin to reconcile a shard; called when its Lease is acquired."""

    async def lose(self, shard: int, grace: timedelta) -> None:
        """End all work in a shard: reconciles after `grace` at the latest; afterwards nothing of it is in memory."""


class Election(Protocol):
    """Participant of the election of one leader, or of one per shard."""

    identity: str

    @property
    def leader(self) -> str:
        """Identity of this process if it leads, else of the leader; empty if there is none."""

    def deadline(self, path: str) -> float:
        """Return the loop time until which this process may write the object or collection at a path."""

    def problems(self) -> list[str]:
        """Return why this process could not acquire a Lease now; empty if it could."""

    async def run(self, work: ShardWork, is_primed: asyncio.Event) -> None:
        """Acquire and keep Leases until `release`.

        Raises:
            LeadershipLost: The Lease of the only shard was lost.
        """

    async def release(self) -> None:
        """Release all Leases. Call it after the last write has ended."""


class SoleElection:
    """Election of one leader for all namespaces, whose process ends when it loses the Lease.

    A process without a cache observes the Lease and does not acquire it: it would reconcile nothing.
    """

    def __init__(self, api: Api, namespace: str, identity: str) -> None:
        self.identity = identity
        self._may_lead = False
        self.elector = Elector(api, namespace, LEASE, identity, may_take=lambda: self._may_lead)

    @property
    def leader(self) -> str:
        return self.elector.leader

    def deadline(self, path: str) -> float:  # noqa: ARG002  # the same for all
        return self.elector.deadline()

    def problems(self) -> list[str]:
        return self.elector.problems()

    async def run(self, work: ShardWork, is_primed: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.elector.run())
            await is_primed.wait()
            self._may_lead = True
            await self.elector.attempt()  # not as late as the next period
            await self.elector.leading()
            work.gain(CLUSTER_SHARD)

    async def release(self) -> None:
        await self.elector.release()


class ShardElection:
    """Elections of `count` shards, of which this process holds any number."""

    def __init__(self, api: Api, namespace: str, count: int, identity: str) -> None:
        """`api` has no fence; `identity` is globally unique for this process."""
        self.identity = identity
        self._api, self._namespace, self._count = api, namespace, count
        self._layout = _Layout(api, namespace, LEASE, layout_name(count))
        self._electors = [self._elector(shard) for shard in range(count)]
        self._held: set[int] = set()
        self._leaving: set[int] = set()
        self._free_since: dict[int, float] = {}
        self._term: dict[int, int] = {}
        """The term of the number of shards in which each was acquired."""
        self._next_take = 0.0
        self._over = asyncio.Event()
        self._session_prefix = paths.secret(namespace, CLUSTER_SESSION)

    @property
    def leader(self) -> str:
        return self.identity if self._held else self._electors[CLUSTER_SHARD].leader

    def deadline(self, path: str) -> float:
        if self._is_common(path):
            return max(map(self._deadline_of, range(self._count)))
        return self._deadline_of(shard_of(paths.namespace_in(path), self._count))

    def problems(self) -> list[str]:
        return next((found for one in (self._layout, *self._electors) if (found := one.problems())), [])

    async def run(self, work: ShardWork, is_primed: asyncio.Event) -> None:
        await is_primed.wait()  # a replica without a cache would hold shards and reconcile nothing
        async with asyncio.TaskGroup() as group:
            group.create_task(self._layout.run())
            group.create_task(self._balance())
            for shard in range(self._count):
                group.create_task(self._hold_shard(shard, work))

    async def release(self) -> None:
        self._over.set()
        await asyncio.gather(*(elector.release() for elector in (self._layout, *self._electors)))
        self._held.clear()

    def _deadline_of(self, shard: int) -> float:
        """Return until when a shard may be written; work of an earlier term of the number of shards may not write."""
        if self._term.get(shard) != self._layout.term:
            return -inf
        return min(self._electors[shard].deadline(), self._layout.deadline())

    def _is_common(self, path: str) -> bool:
        """Whether any holder writes there: Events, and sessions of ClusterSecretStores in the own namespace.

        A session is written by resourceVersion, and a create fails if the name exists.
        """
        return (
            paths.resource(path) == "events"
            or path == paths.secrets(self._namespace)
            or path.startswith(self._session_prefix)
        )

    def _elector(self, shard: int) -> Elector:
        may_take = partial(self._may_take, shard)
        return Elector(self._api, self._namespace, shard_lease(shard), self.identity, may_take=may_take)

    # One shard

    async def _hold_shard(self, shard: int, work: ShardWork) -> None:
        """Acquire and hold a shard, again after each loss."""
        await asyncio.sleep(random.uniform(0, TERMS.retry_period))  # noqa: S311  # spreads, guards nothing
        while not self._over.is_set():
            elector = self._electors[shard] = self._elector(shard)
            await self._await_shard(shard, elector)
            if not elector.is_leading:
                return
            self._held.add(shard)
            del self._free_since[shard]
            work.gain(shard)
            try:
                await self._keep(shard, elector, work)
            except LeadershipLost:
                self._held.discard(shard)
                await work.lose(shard, _NO_GRACE)
                if elector.deadline() > loop_time():  # the number of shards was lost, and not this one
                    await elector.release()

    async def _await_shard(self, shard: int, elector: Elector) -> None:
        """Stand by until the Lease is acquired, or the election is over."""
        while not self._over.is_set():
            await elector.attempt()
            if elector.is_leading:
                return
            if not elector.is_free:
                self._free_since.pop(shard, None)
            await elector.pause()

    async def _keep(self, shard: int, elector: Elector, work: ShardWork) -> None:
        """Renew the Lease until it is given to another replica, or the election is over.

        Raises:
            LeadershipLost: The shard was lost.
        """
        while not self._over.is_set():
            await elector.pause()
            if self._over.is_set():
                return
            self._require_layout(shard)
            await elector.attempt()
            requester, elector.wanted_by = elector.wanted_by, ""
            if requester and self._is_entitled(requester):
                await self._hand_over(shard, elector, work, requester)
                return

    def _require_layout(self, shard: int) -> None:
        """Detect that replicas with another number of shards may have had a namespace of this one.

        Raises:
            LeadershipLost: The Lease of the number of shards was not renewed in time.
        """
        if self._layout.deadline() > loop_time() and self._layout.term == self._term[shard]:
            return
        _log.error(
            "leadership lost", lease=shard_lease(shard), identity=self.identity, reason="shards not agreed"
        )
        raise LeadershipLost(f"lease {self._namespace}/{LEASE}: not renewed in time")

    async def _hand_over(self, shard: int, elector: Elector, work: ShardWork, requester: str) -> None:
        """End the work in a shard while its Lease is renewed, and release it."""
        _log.info("shard given", shard=shard, to=requester)
        self._leaving.add(shard)
        ending = asyncio.create_task(work.lose(shard, _HANDOVER_GRACE))
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=TERMS.retry_period)
                if not ending.done():
                    await elector.attempt()
            ending.result()
        finally:
            self._leaving.discard(shard)
            self._held.discard(shard)
            if not ending.done():
                ending.cancel()
                await asyncio.wait([ending])
        await elector.release()

    # All shards

    def _may_take(self, shard: int) -> bool:
        """Whether to acquire a free shard now: one per period, and later the more shards this process holds."""
        now, period = loop_time(), TERMS.retry_period
        since = self._free_since.setdefault(shard, now)
        is_agreed = self._layout.deadline() > now
        if not is_agreed or now < max(self._next_take, since + len(self._held) * period):
            return False
        self._next_take, self._term[shard] = now + period, self._layout.term
        return True

    def _counts(self) -> Counter[str]:
        """Return the number of shards of each replica, as last observed."""
        others = Counter(one.leader for shard, one in enumerate(self._electors) if shard not in self._held)
        del others[""]
        del others[self.identity]
        return others

    def _is_entitled(self, requester: str) -> bool:
        """Whether a replica that asks for a shard has two fewer than this one."""
        return not self._leaving and len(self._held) >= self._counts()[requester] + 2

    def _shard_to_ask_for(self) -> int | None:
        """Return a shard of the replica with most of them, if it has two more than this one; None otherwise."""
        free = [one for shard, one in enumerate(self._electors) if shard not in self._held and one.is_free]
        most = max(self._counts().items(), key=lambda one: one[1], default=None)
        if free or most is None or most[1] < len(self._held) + 2 or self._layout.deadline() <= loop_time():
            return None
        # Shard 0 has the work of the cluster, and moves last.
        return max(shard for shard, one in enumerate(self._electors) if one.leader == most[0])

    async def _balance(self) -> None:
        """Ask for shards until no replica has two more than this one."""
        rounds = 0
        while not self._over.is_set():
            await asyncio.sleep(TERMS.retry_period)
            shard = self._shard_to_ask_for()
            rounds = 0 if shard is None else rounds + 1
            if shard is None or rounds < _UNEVEN_ROUNDS:
                continue
            rounds = _UNEVEN_ROUNDS - _ANSWER_ROUNDS
            with contextlib.suppress(errors.ApiError, TimeoutError):  # asked again while it is uneven
                await self._electors[shard].ask()


class _Layout(Elector):
    """The Lease `keyturn`, as all replicas with one number of shards hold it together.

    Their common identity is the number. A renewal by any of them counts for all that observe it.
    """

    term = 0
    """Number of times that it was acquired, or renewed too late; work of an earlier term has to end."""

    async def attempt(self) -> None:
        started = loop_time()
        try:
            is_held = await self._hold()
        except (errors.ApiError, TimeoutError) as error:
            self._hindrance.record_failure(error)
            return
        self._hindrance.record_success()
        if is_held and not self._over.is_set():
            if self._until <= started:
                self.term += 1
                _log.info("shards agreed", shards=self.identity)
            self._until = started + self._terms.renew_deadline

    async def release(self) -> None:
        """Write no more under it; other replicas hold it, or it expires."""
        self._over.set()

    async def _hold(self) -> bool:
        """Renew or acquire the Lease; return whether it was written by a replica of this number since the call."""
        lease = await self._read()
        if not self._is_free(lease):
            return False
        try:
            await self._write(lease)
        except (errors.Conflict, errors.AlreadyExists):
            other = await self._read()
            spec = (other or {}).get("spec") or {}
            # An edit of the metadata is no renewal.
            return spec.get("holderIdentity") == self.identity and spec != (lease or {}).get("spec")
        return True

    def _with_signature(self, lease: Body) -> Body:
        self._has_reconciled_all = False  # no replica reconciles all objects
        return super()._with_signature(lease)

    async def _write(self, lease: Body | None) -> None:
        if lease is not None and (lease.get("spec") or {}).get("holderIdentity") == self.identity:
            await self._extend(lease)
        else:
            await self._acquire(lease)
