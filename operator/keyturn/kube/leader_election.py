"""Leader election by a Lease: only the leader writes.

The Lease's resourceVersion is the compare-and-swap by which one process at a time acquires or renews it. The rules
are those of client-go's `tools/leaderelection`: a follower counts a leader's term from when it observed the last
change of the Lease, by its own monotonic clock, so clocks are never compared. The leader stops writing (`deadline`,
the fence of `Api`) well before a follower may take over. An obstacle that keeps a process from acquiring the Lease
is logged, and reported as not ready. Annotations of the Lease have the version of Keyturn of its
holder.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any, Final

import structlog

from keyturn import __version__
from keyturn.core.labels import HOLDER
from keyturn.runtime import build
from keyturn.runtime.clock import loop_time

from . import errors, paths
from .client import Api
from .wire import Body

LEASE: Final = "keyturn"
"""Name of the Lease of the leader."""
_MOST_TERMS: Final = 3
"""Terms of its own that a follower waits at most for a Lease that is not renewed, or was deleted."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Times of an election, in seconds."""

    lease_duration: float = 10.0
    """Time after which a follower may take over a Lease that was not renewed."""
    renew_deadline: float = 7.0
    """Time for which a leader writes after its last renewal; calls in progress must end within the rest."""
    retry_period: float = 2.0
    """Interval at which a leader renews and a follower reads the Lease."""

    def believed(self, seconds: float) -> float:
        """Return how long a Lease counts whose holder claims `seconds`: a foreign edit must not stop all replicas."""
        return min(seconds or self.lease_duration, _MOST_TERMS * self.lease_duration)


TERMS: Final = Terms()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a Lease."""

    identity: str
    renewed: datetime | None
    """By the holder's clock."""
    seconds: int
    """Validity of the Lease after a renewal, in seconds."""
    version: str = ""
    """Empty for a holder that is no replica of Keyturn."""
    commit: str = ""


def holder_of(lease: Body) -> Holder | None:
    """Return the holder of a Lease; None if it is free."""
    spec: dict[str, Any] = lease.get("spec") or {}
    identity = str(spec.get("holderIdentity") or "")
    if not identity:
        return None
    try:
        signed = json.loads((lease["metadata"].get("annotations") or {}).get(HOLDER, ""))
    except ValueError:
        signed = None
    # Another program takes over the Lease with the annotation of its predecessor.
    is_signed = isinstance(signed, dict) and signed.get("identity") == identity
    version, commit = (str(signed.get(name, "")) for name in ("version", "commit")) if is_signed else ("", "")
    seconds = int(spec.get("leaseDurationSeconds") or 0)
    return Holder(identity, renewal_of(lease), seconds, version, commit)


def signature(identity: str) -> dict[str, str]:
    """Return the annotation for a Lease that this process holds."""
    document = {"identity": identity, "version": __version__, "commit": build.commit()}
    return {HOLDER: json.dumps(document)}


def renewal_of(lease: Body) -> datetime | None:
    """Return when a Lease was last renewed or released; None without a readable time."""
    try:
        time = datetime.fromisoformat(str((lease.get("spec") or {}).get("renewTime")))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_GRACE: Final = 30.0
"""Seconds for which the API server may be unavailable before the process counts as not ready."""
_LOG_INTERVAL: Final = 600.0
"""Seconds until the same obstacle is logged again."""


@dataclass(slots=True)
class Hindrance:
    """Obstacle found by the last attempt; none at first."""

    namespace: str
    _text: str = ""
    _is_lasting: bool = False
    _since: float = 0.0
    _logged: float = 0.0

    def record_failure(self, error: errors.ApiError | TimeoutError) -> None:
        """Record why the Lease could not be read or acquired."""
        now, before = loop_time(), self._text
        self._is_lasting = isinstance(error, errors.Forbidden | errors.NotFound)
        match error:
            case errors.Forbidden():
                self._text = f"may not {error.verb} leases in namespace {self.namespace}"
            case errors.NotFound():
                self._text = f"there is no namespace {self.namespace}"
            case _:
                self._text = str(error) or "the API server does not answer in time"
        self._since = self._since if before else now
        if self._text != before or now >= self._logged + _LOG_INTERVAL:
            self._logged = now
            _log.warning("lease not reachable", reason=self._text, error=error)

    def record_success(self) -> None:
        """Record a successful read."""
        if self._text:
            _log.info("lease reachable again")
        self._text = ""

    def problems(self) -> list[str]:
        """Return why the process is not ready: permanent obstacles at once, others after _GRACE."""
        over = loop_time() >= self._since + _GRACE
        return [f"lease not reachable: {self._text}"] if self._text and (self._is_lasting or over) else []


_CALL_PERIODS: Final = 1.5
"""Retry periods that one call may take: a hung connection leaves time for another attempt."""


_log = structlog.get_logger()


class LeadershipLost(Exception):  # noqa: N818  # an event, not a mistake
    """This process is no longer the leader; it should exit and be restarted."""


class Elector:
    """Participant of the election."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms = TERMS,
        may_take: Callable[[], bool] = lambda: True,
    ) -> None:
        """`api` has no fence; `identity` is globally unique for this process.

        `may_take` is called when the Lease is free: a process without a cache observes the Lease and does not acquire
        it, because it would reconcile nothing.
        """
        self._api = api
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._terms = terms
        self._may_take = may_take
        self._path = paths.lease(namespace, name)
        self._lease: Body | None = None
        self._seen: Body = {}
        self._seen_at = -inf
        self._version = -1
        self._until = -inf
        self._leading = asyncio.Event()
        self._over = asyncio.Event()
        self._turn = asyncio.Lock()
        self._hindrance = Hindrance(namespace)

    def deadline(self) -> float:
        """Return the loop time until which this process may write."""
        return -inf if self._over.is_set() else self._until

    @property
    def is_leading(self) -> bool:
        """Whether this process has acquired the Lease, and has neither lost nor released it as far as it knows."""
        return self._leading.is_set() and not self._over.is_set()

    @property
    def leader(self) -> str:
        """Identity of the leader that this process observed last; empty if there is none."""
        if self.is_leading:
            return self.identity
        return str(self._seen.get("holderIdentity") or "")

    def problems(self) -> list[str]:
        """Return why this process could not acquire the Lease now; empty if it could."""
        return self._hindrance.problems()

    async def leading(self) -> None:
        """Wait until this process is the leader."""
        await self._leading.wait()

    async def run(self) -> None:
        """Acquire leadership and keep it until `release`.

        Raises:
            LeadershipLost: The Lease was lost.
            HistoryLost: The Lease has an older resourceVersion than before.
        """
        while not self._over.is_set():
            await self.attempt()
            await self.pause()

    async def attempt(self) -> None:
        """Renew the Lease, or acquire it if it is free.

        Raises:
            LeadershipLost: The Lease was lost.
        """
        async with self._turn:
            if not self._over.is_set():
                await (self._renew() if self._leading.is_set() else self._seek())

    async def release(self) -> None:
        """Release the Lease, so a follower acquires it at its next attempt.

        Call it after the last write has ended.
        """
        self._over.set()
        async with self._turn:
            if self._lease is None:
                return
            now = _micro_time()
            given_up = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
            try:
                await self._replace(self._lease, given_up)
            except (errors.ApiError, TimeoutError) as error:
                # The follower then waits until the term has expired.
                _log.warning("lease not released", error=error)
            self._lease = None

    # Follower.

    async def _seek(self) -> None:
        """Read the Lease, and acquire it if it is free."""
        started = loop_time()
        try:
            lease = await self._read()
            if self._is_free(lease) and self._may_take():
                self._lease = await self._acquire(lease)
                self._until = started + self._terms.renew_deadline
                self._leading.set()
                _log.info("leadership gained", lease=self._name, identity=self.identity)
        except (errors.Conflict, errors.AlreadyExists):
            self._hindrance.record_success()  # another process was faster
        except (errors.ApiError, TimeoutError) as error:
            self._hindrance.record_failure(error)
        else:
            self._hindrance.record_success()

    def _is_free(self, lease: Body | None) -> bool:
        """Whether no process can still regard itself as leader.

        A deleted Lease proves nothing: its holder may write until it notices, so its term must expire first.
        """
        if lease is not None and lease.get("spec") != self._seen:
            before, self._seen, self._seen_at = self._seen, lease.get("spec") or {}, loop_time()
            leader = self._seen.get("holderIdentity")
            if leader and leader not in {before.get("holderIdentity"), self.identity}:
                _log.info("standby", leader=leader)
        if self._seen.get("holderIdentity", "") in {"", self.identity}:
            return True
        return loop_time() >= self._seen_at + self._terms.believed(self._seen.get("leaseDurationSeconds", 0))

    async def _acquire(self, lease: Body | None) -> Body:
        now = _micro_time()
        mine: dict[str, Any] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": ceil(self._terms.lease_duration),
            "acquireTime": now,
            "renewTime": now,
        }
        if lease is not None:
            before = (lease.get("spec") or {}).get("leaseTransitions", 0)
            mine["leaseTransitions"] = (before + 1) % 2**31  # which the API server takes, after any edit
            return await self._replace(lease, mine)
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**mine, "leaseTransitions": 0},
        }
        async with self._timeout():
            created = self._api.create(paths.leases(self._namespace), self._with_signature(body))
            return await self._answer(created)

    def _with_signature(self, lease: Body) -> Body:
        """Return the Lease with the annotation that names its holder's version."""
        metadata = lease["metadata"]
        annotations = {**(metadata.get("annotations") or {}), **signature(self.identity)}
        return {**lease, "metadata": {**metadata, "annotations": annotations}}

    # Leader.

    async def _renew(self) -> None:
        """Renew the Lease, or detect its loss."""
        started = loop_time()
        if self._lease is None or started >= self._until:
            raise self._lost("not renewed in time")
        try:
            self._lease = await self._replace(self._lease, {"renewTime": _micro_time()})
        except (errors.Conflict, errors.NotFound):
            await self._recheck()
        except (errors.ApiError, TimeoutError) as error:
            _log.warning("lease not renewed", error=error)
        else:
            self._until = started + self._terms.renew_deadline

    async def _recheck(self) -> None:
        """Find the cause of a conflict: an own renewal whose answer was lost, an edit, or a new leader.

        A deleted Lease counts as lost, because another leader may have existed meanwhile.
        """
        try:
            lease = await self._read()
        except (errors.ApiError, TimeoutError) as error:
            _log.warning("lease not reachable", error=error)
            return
        if lease is None:
            raise self._lost("deleted")
        if lease.get("spec", {}).get("holderIdentity") != self.identity:
            raise self._lost("held by another process")
        self._lease = lease

    def _lost(self, reason: str) -> LeadershipLost:
        self._until = -inf
        _log.error("leadership lost", lease=self._name, identity=self.identity, reason=reason)
        return LeadershipLost(f"lease {self._namespace}/{self._name}: {reason}")

    # Both.

    async def _read(self) -> Body | None:
        try:
            async with self._timeout():
                return await self._answer(self._api.get(self._path))
        except errors.NotFound:
            return None

    async def _answer(self, request: Awaitable[Body]) -> Body:
        """Return the answer to a request, which has a version that is not older than any before the request.

        Each leader renews the Lease every 2 s, so that the first read after a restore of etcd shows it.
        """
        before = self._version
        lease = await request
        version = int(lease["metadata"]["resourceVersion"])
        if version < before:
            self._until = -inf
            raise errors.HistoryLost(self._path, version, before)
        self._version = max(version, self._version)
        transitions = (lease.get("spec") or {}).get("leaseTransitions") or 0
        from keyturn.runtime import metrics  # noqa: PLC0415  # commands read the Lease, and have no metrics

        metrics.LEASE_TRANSITIONS.labels(self._name).set(transitions)
        return lease

    async def _replace(self, lease: Body, spec: dict[str, Any]) -> Body:
        changed = {**lease, "spec": {**lease.get("spec", {}), **spec}}
        async with self._timeout():
            return await self._answer(self._api.replace(self._path, self._with_signature(changed)))

    def _timeout(self) -> asyncio.Timeout:
        return asyncio.timeout(self._terms.retry_period * _CALL_PERIODS)

    async def pause(self) -> None:
        """Sleep until the next attempt; jitter makes it up to 20 % shorter, so followers do not act in step."""
        period = self._terms.retry_period * random.uniform(0.8, 1.0)  # noqa: S311  # spreads, guards nothing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await self._over.wait()


def _micro_time() -> str:
    """Return the current time in the format of `kubectl get lease`; no decision depends on it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
