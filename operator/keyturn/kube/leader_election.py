"""Which one of several processes leads, so that only one writes.

A Lease in the API server says who; its resourceVersion is the compare-and-swap by which one process at a time
can take or renew it. The rules are those of client-go's `tools/leaderelection`: a follower counts a leader's
term from when it saw the Lease change, by its own monotonic clock, so that no two clocks are ever compared.
The leader stops writing (`deadline`, the fence of `Api`) well before a follower may take over.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any, Final

import structlog

from . import errors, paths
from .client import Api, Body
from .lease_hindrance import Hindrance
from .lease_holder import signature

_PATIENCE: Final = 1.5
"""Retry periods that one call may take: a hung connection must leave time for another try."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """The times of an election, in seconds."""

    lease_duration: float = 10.0
    """How long a follower lets an unrenewed Lease stand."""
    renew_deadline: float = 7.0
    """How long a leader writes on without having renewed; what is under way must end within the rest."""
    retry_period: float = 2.0
    """How often a leader renews, and a follower looks."""


_TERMS: Final = Terms()


class LeadershipLost(Exception):  # noqa: N818  # an event, not a mistake
    """This process led and may no longer; it should end, and a fresh one follow."""


class Elector:
    """One process's part in the election."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, terms: Terms = _TERMS) -> None:
        """Take an `api` without a fence, and an `identity` that no other process ever had or will have."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._terms = terms
        self._path = paths.lease(namespace, name)
        self._lease: Body | None = None
        self._seen: Body = {}
        self._seen_at = -inf
        self._until = -inf
        self._leading = asyncio.Event()
        self._over = asyncio.Event()
        self._turn = asyncio.Lock()
        self._hindrance = Hindrance(namespace)

    def deadline(self) -> float:
        """Say until which loop time this process may write."""
        return -inf if self._over.is_set() else self._until

    @property
    def leader(self) -> str:
        """Name the process that leads, as far as this one has seen; empty where none does."""
        if self._leading.is_set() and not self._over.is_set():
            return self.identity
        return str(self._seen.get("holderIdentity") or "")

    def problems(self) -> list[str]:
        """Say what keeps this process from the Lease, so that it could not lead now; empty while nothing does."""
        return self._hindrance.problems()

    async def leading(self) -> None:
        """Wait until this process has become the leader."""
        await self._leading.wait()

    async def run(self) -> None:
        """Become the leader and stay it until `release`. Raises LeadershipLost when that fails."""
        while not self._over.is_set():
            async with self._turn:
                await (self._keep() if self._leading.is_set() else self._seek())
            await self._pause()

    async def release(self) -> None:
        """Let a follower lead at its next look. Call it when nothing of ours is being written any more."""
        self._over.set()
        async with self._turn:
            if self._lease is None:
                return
            now = _micro_time()
            given_up = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
            try:
                await self._replaced(self._lease, given_up)
            except (errors.ApiError, TimeoutError) as error:
                # The follower then waits until the term is over.
                _log.warning("lease not released", error=error)
            self._lease = None

    # A follower

    async def _seek(self) -> None:
        """Look whether the Lease is free, and take it if it is."""
        started = _now()
        try:
            lease = await self._read()
            if self._is_free(lease):
                self._lease = await self._taken(lease)
                self._begin(started)
        except (errors.Conflict, errors.AlreadyExists):
            self._hindrance.passed()  # another one was faster
        except (errors.ApiError, TimeoutError) as error:
            self._hindrance.met(error)
        else:
            self._hindrance.passed()

    def _is_free(self, lease: Body | None) -> bool:
        """Say whether nobody can still believe to lead.

        That a Lease was deleted says nothing: its holder may write on until it notices, so its term counts.
        """
        if lease is not None and lease.get("spec") != self._seen:
            before, self._seen, self._seen_at = self._seen, lease.get("spec") or {}, _now()
            self._tell_leader(before.get("holderIdentity"))
        if self._seen.get("holderIdentity", "") in {"", self.identity}:
            return True
        term = self._seen.get("leaseDurationSeconds") or self._terms.lease_duration
        return _now() >= self._seen_at + term

    def _tell_leader(self, before: str | None) -> None:
        leader = self._seen.get("holderIdentity")
        if leader and leader not in {before, self.identity}:
            _log.info("standing by", leader=leader)

    async def _taken(self, lease: Body | None) -> Body:
        now = _micro_time()
        mine = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": ceil(self._terms.lease_duration),
            "acquireTime": now,
            "renewTime": now,
        }
        if lease is not None:
            transitions = lease.get("spec", {}).get("leaseTransitions", 0) + 1
            return await self._replaced(self._signed(lease), {**mine, "leaseTransitions": transitions})
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**mine, "leaseTransitions": 0},
        }
        async with self._timeout():
            return await self._api.create(paths.leases(self._namespace), self._signed(body))

    def _signed(self, lease: Body) -> Body:
        """Have the Lease say which Keyturn holds it."""
        metadata = lease["metadata"]
        annotations = {**(metadata.get("annotations") or {}), **signature(self.identity)}
        return {**lease, "metadata": {**metadata, "annotations": annotations}}

    def _begin(self, started: float) -> None:
        self._until = started + self._terms.renew_deadline
        self._leading.set()
        _log.info("leadership gained", lease=self._name, identity=self.identity)

    # The leader

    async def _keep(self) -> None:
        """Renew the Lease, or find out that it is lost."""
        started = _now()
        if self._lease is None or started >= self._until:
            raise self._lost("not renewed in time")
        try:
            self._lease = await self._replaced(self._lease, {"renewTime": _micro_time()})
        except (errors.Conflict, errors.NotFound):
            await self._look_again()
        except (errors.ApiError, TimeoutError) as error:
            _log.warning("lease not renewed", error=error)
        else:
            self._until = started + self._terms.renew_deadline

    async def _look_again(self) -> None:
        """Find out who changed the Lease: we, when the answer was lost; somebody's editor; or a new leader.

        A deleted Lease is lost: another leader may have come and gone meanwhile. A fresh start need not ask.
        """
        try:
            lease = await self._read()
        except (errors.ApiError, TimeoutError) as error:
            _log.warning("lease not reachable", error=error)
            return
        if lease is None:
            raise self._lost("deleted")
        if lease.get("spec", {}).get("holderIdentity") != self.identity:
            raise self._lost("taken by another")
        self._lease = lease

    def _lost(self, why: str) -> LeadershipLost:
        self._until = -inf
        _log.error("leadership lost", lease=self._name, identity=self.identity, why=why)
        return LeadershipLost(f"lease {self._namespace}/{self._name}: {why}")

    # Both

    async def _read(self) -> Body | None:
        try:
            async with self._timeout():
                return await self._api.get(self._path)
        except errors.NotFound:
            return None

    async def _replaced(self, lease: Body, spec: dict[str, Any]) -> Body:
        async with self._timeout():
            return await self._api.replace(self._path, {**lease, "spec": {**lease.get("spec", {}), **spec}})

    def _timeout(self) -> asyncio.Timeout:
        return asyncio.timeout(self._terms.retry_period * _PATIENCE)

    async def _pause(self) -> None:
        """Wait for the next turn; a little less than a period, so that followers do not look in step."""
        period = self._terms.retry_period * self._hindrance.patience
        period *= random.uniform(0.8, 1.0)  # noqa: S311  # spreads, guards nothing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await self._over.wait()


def _micro_time() -> str:
    """Write the time as people read it in `kubectl get lease`; nothing is ever decided by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _now() -> float:
    return asyncio.get_running_loop().time()
