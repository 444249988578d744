"""Check of a cluster: every requested point, also without permission to read it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.kube import errors, paths

from . import api_server, revocation, schedule, values
from .facts import find_or_explain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from .backup import Drill
    from .facts import Facts

_RECENT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Checked:
    """The checked cluster, and what it is compared with."""

    facts: Facts
    other: tuple[str, Facts] | None = None
    """Another cluster with its name, whose values must differ."""
    schedule: str | None = None
    drill: Drill | None = None
    operator_namespace: str = "keyturn-system"
    """The operator's namespace, which has the access record."""


async def check(checked: Checked, points: Collection[str]) -> list[Finding]:
    """Check the points in their order."""
    found: list[Finding] = []
    for point, find in _POINTS.items():
        if point in points:
            found += await find_or_explain(point, partial(find, checked))
    return found


async def _strength(checked: Checked) -> list[Finding]:
    return await values.judge_strength(checked.facts)


async def _environments(checked: Checked) -> list[Finding]:
    facts = checked.facts
    if checked.other is None:
        return await values.judge_environments(facts)
    name, other = checked.other
    found = await values.judge_two_clusters(facts, other, name)
    return found if facts.namespace else found + await values.judge_environments(facts)


async def _at_rest(checked: Checked) -> list[Finding]:
    return [api_server.judge_encryption(await checked.facts.metrics())]


async def _access_log(checked: Checked) -> list[Finding]:
    """Judge by the operator's record of reads, or else by the metrics of the API server."""
    from keyturn.endpoints.audit import persistence  # noqa: PLC0415  # only where the record is read

    facts = checked.facts
    path = paths.secret(checked.operator_namespace, persistence.NAME)
    with contextlib.suppress(errors.NotFound, errors.Forbidden, persistence.Unreadable):
        reads = persistence.decode(await facts.api.get(path)).read.rows()
        last = max((entry.last for _, _, entry in reads), default=None)
        if last and facts.now() - last < _RECENT:
            evidence = f"reads of managed Secrets are recorded, the last one at {last:%Y-%m-%d %H:%M} UTC"
            return [Finding(Point.ACCESS_LOG, Verdict.PASS, evidence)]
        remedy = "read one with kubectl get secret, and look again in ten minutes, or see docs/access.md"
        evidence = "no read of a managed Secret was recorded within the last day"
        return [Finding(Point.ACCESS_LOG, Verdict.UNKNOWN, evidence, remedy)]
    return [api_server.judge_audit_events(await facts.metrics())]


async def _schedule(checked: Checked) -> list[Finding]:
    return await schedule.judge(checked.facts, checked.schedule)


async def _recovery(checked: Checked) -> list[Finding]:
    """Run the drill; an untested backup is none."""
    if checked.drill:
        return await checked.drill.findings(checked.facts)
    remedy = (
        "write a backup with keyturn backup, create an empty namespace, and test the restore there:"
        " keyturn audit --only recovery --backup FILE --identity FILE --drill NAMESPACE"
    )
    return [Finding(Point.RECOVERY, Verdict.UNKNOWN, "no recovery was tested", remedy)]


async def _revocation(checked: Checked) -> list[Finding]:
    return await revocation.judge(checked.facts)


_POINTS: Final[Mapping[Point, Callable[[Checked], Awaitable[list[Finding]]]]] = {
    Point.STRENGTH: _strength,
    Point.ENVIRONMENTS: _environments,
    Point.AT_REST: _at_rest,
    Point.ACCESS_LOG: _access_log,
    Point.SCHEDULE: _schedule,
    Point.RECOVERY: _recovery,
    Point.REVOCATION: _revocation,
}
