"""Points of the checklist that need a cluster, and the findings without permission to read it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from keyturn.core.policy import encryption
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.kube import errors, paths

from . import access_log, environments, recovery, revocation, schedule, strength
from .probe import Probe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from .facts import Declared, Facts
    from .fingerprints import Held
    from .recovery import Drill

__all__ = ["CheckedCluster", "Other"]

_METRICS: Final = "/metrics"


@dataclass(frozen=True, slots=True)
class Other:
    """Another cluster, whose values must differ."""

    name: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class CheckedCluster:
    """The checked cluster, and what it is compared with."""

    facts: Facts
    other: Other | None = None
    schedule: str | None = None
    drill: Drill | None = None
    tell: Callable[[str], None] = lambda _: None
    operator_namespace: str = "keyturn-system"
    """The operator's namespace, which has the access log."""

    async def findings(self, points: Collection[str]) -> list[Finding]:
        """Check the points in their order."""
        looks: dict[Point, Callable[[], Awaitable[list[Finding]]]] = {
            Point.STRENGTH: self._strength,
            Point.ENVIRONMENTS: self._environments,
            Point.AT_REST: self._at_rest,
            Point.ACCESS_LOG: self._access_log,
            Point.SCHEDULE: self._schedule,
            Point.RECOVERY: self._recovery,
            Point.REVOCATION: self._revocation,
        }
        found: list[Finding] = []
        for point, look in looks.items():
            if point in points:
                found += await _check_point(point, look)
        return found

    async def _strength(self) -> list[Finding]:
        declared: list[Declared] = []
        blind = await _check_point(Point.STRENGTH, lambda: self._fill(declared), quiet=True)
        return blind + await strength.look(self.facts, declared)

    async def _fill(self, declared: list[Declared]) -> list[Finding]:
        declared += await self.facts.list_declared()
        return []

    async def _environments(self) -> list[Finding]:
        if self.other is None:
            return await environments.look(self.facts)
        found = await environments.look_at_two(self.facts, self.other.facts, self.other.name)
        return found if self.facts.namespace else found + await environments.look(self.facts)

    async def _at_rest(self) -> list[Finding]:
        return encryption.judged(await self.facts.metrics())

    async def _access_log(self) -> list[Finding]:
        with contextlib.suppress(errors.Forbidden, errors.Unavailable):  # the metrics alone can tell then
            declared = await self.facts.list_declared()
            found = await Probe(self.facts, self.operator_namespace, self.tell).findings(declared)
            if found:
                return found
        return access_log.judged(await self.facts.metrics())

    async def _schedule(self) -> list[Finding]:
        return schedule.judged(await self.facts.list_declared(), self.facts.namespace, self.schedule)

    async def _recovery(self) -> list[Finding]:
        return await self.drill.findings(self.facts) if self.drill else recovery.not_tried()

    async def _revocation(self) -> list[Finding]:
        held: list[Held] | None = None
        with contextlib.suppress(errors.Forbidden):  # the statuses have most of it
            held = await self.facts.list_held()
        return revocation.judged(await self.facts.list_declared(), held, self.facts.now())


async def _check_point(
    point: Point, look: Callable[[], Awaitable[list[Finding]]], *, quiet: bool = False
) -> list[Finding]:
    """Check a point, or return why that failed; with `quiet` a cluster without Keyturn gives no finding."""
    try:
        return await look()
    except errors.Forbidden as refused:
        return [_blind(point, refused)]
    except errors.Unavailable as trouble:
        if trouble.status != HTTPStatus.NOT_FOUND:
            raise
        return [] if quiet else [_not_served(point, trouble)]


def _not_served(point: Point, trouble: errors.ApiError) -> Finding:
    if trouble.path == _METRICS:
        evidence, remedy = "the API server serves no /metrics to you", "ask the administrator of the cluster"
    else:
        evidence, remedy = "Keyturn is not installed there", "install it: kubectl apply -k manifests/base"
    return Finding(point, Verdict.UNKNOWN, evidence, remedy)


def _blind(point: Point, refused: errors.ApiError) -> Finding:
    if refused.path == _METRICS:
        what = "get /metrics of the API server"
        remedy = "ask for a ClusterRole with nonResourceURLs: [/metrics] and verbs: [get]"
    else:
        parts = refused.path.split("/")
        place = parts[parts.index("namespaces") + 1 :][:1] if "namespaces" in parts[:-1] else []
        where = f"in namespace {place[0]}" if place else "in all namespaces"
        what = f"{refused.verb} {paths.resource(refused.path)} {where}"
        remedy = f"ask for the right to {what}"
    return Finding(point, Verdict.UNKNOWN, f"you may not {what}", remedy)
