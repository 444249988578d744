"""Check of a cluster: every requested point, also without permission to read it.

The points by the values of Secrets are here: 1 (strength), 3 (environments) and 8 (revocation).
"""

import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from keyturn.api.workloads import DONE
from keyturn.core.labels import ENVIRONMENT, PRODUCTION
from keyturn.core.policy.checklist import Finding, Point, Verdict
from keyturn.core.reasons import ConditionReason, ErrorReason
from keyturn.core.state.records import Phase
from keyturn.core.status.summary import condition
from keyturn.kube import errors, paths

from . import monitor, schedule
from .backup import Drill
from .facts import Declared, Facts, Held, find_or_explain, reported

_REMEDY: Final = "use a value of its own in each environment: rotate one, or declare a ManagedSecret in each"
_REPLACE: Final = (
    "replace it, best by a ManagedSecret: adopt: IfUnowned takes this Secret over, and keyturn rotate"
    " makes a new value"
)


async def judge_strength(facts: Facts) -> list[Finding]:
    """Judge managed values by recipe and class, and all others by an estimate."""
    declared: list[Declared] = []

    async def list_declared() -> list[Finding]:
        declared.extend(await facts.list_declared())
        return []

    # A cluster without Keyturn has values to judge as well.
    unread = await find_or_explain(Point.STRENGTH, list_declared, quiet=True)
    held = await facts.list_held()
    by_recipe = {
        (one.secret.namespace, one.secret.name, one.managed.metadata.name, key)
        for one in declared
        for key in one.generated
    }
    others = [one for one in held if not one.is_written or _origin(one) not in by_recipe]
    # Without a reason: that a value is short or a known default would help an attacker who reads the report.
    evidence = "looks weak: estimated below 32 characters or 128 bits"
    weak = [
        _failed(Point.STRENGTH, f"key {one.key} {evidence}", _REPLACE, one) for one in others if one.is_weak
    ]
    # A value that the operator found weak too is listed once; findings of the operator alone are listed as well.
    known = {one.where for one in weak}
    found = [
        finding
        for one in declared
        for finding in reported(one, Point.STRENGTH, {"weakValue"} if str(one.secret) in known else ())
    ]
    if not found and not weak:
        made = len(held) - len(others)
        evidence = f"{made} values are generated; none of {len(others)} others looks weak"
        found = [Finding(Point.STRENGTH, Verdict.PASS, evidence)]
    return unread + found + weak


def _origin(one: Held) -> tuple[str, str, str, str]:
    """Return Secret, ManagedSecret and key of a value, also of a previous one."""
    return one.namespace, one.secret, one.owner, one.key.removesuffix(".previous")


async def judge_environments(facts: Facts) -> list[Finding]:
    """Compare the namespaces of one cluster by their labels."""
    if facts.namespace:
        return await _judge_one_namespace(facts)
    environments = await facts.environments()
    if PRODUCTION not in environments.values() or len(set(environments.values())) == 1:
        evidence = f"no two namespaces are labelled {ENVIRONMENT}={PRODUCTION} and with another environment"
        remedy = f"label them: kubectl label namespace NAME {ENVIRONMENT}={PRODUCTION}"
        return [Finding(Point.ENVIRONMENTS, Verdict.UNKNOWN, evidence, remedy)]
    by_mark: defaultdict[bytes, list[Held]] = defaultdict(list)
    for one in await facts.list_held():
        if one.mark and one.namespace in environments:
            by_mark[one.mark].append(one)
    found = [shared for holders in by_mark.values() for shared in _shared(holders, environments)]
    evidence = "no value of production is found in another environment"
    return found or [Finding(Point.ENVIRONMENTS, Verdict.PASS, evidence)]


async def judge_two_clusters(facts: Facts, other: Facts, name: str) -> list[Finding]:
    """Compare one cluster with another; each common value is a finding."""
    there = {one.mark: one for one in await other.list_held() if one.mark}
    found = [
        _failed(
            Point.ENVIRONMENTS,
            f"key {one.key} has the value of key {there[one.mark].key} of {there[one.mark].where} in {name}",
            _REMEDY,
            one,
        )
        for one in await facts.list_held()
        if one.mark in there
    ]
    place = f"namespace {facts.namespace}" if facts.namespace else "the cluster"
    evidence = f"no value of {place} is found in context {name}"
    return found or [Finding(Point.ENVIRONMENTS, Verdict.PASS, evidence)]


async def _judge_one_namespace(facts: Facts) -> list[Finding]:
    """Return what an operator that watches all namespaces has found."""
    found: list[Finding] = []
    with contextlib.suppress(errors.Forbidden, errors.Unavailable):
        found = [each for one in await facts.list_declared() for each in reported(one, Point.ENVIRONMENTS)]
    evidence = "a single namespace cannot be compared"
    remedy = "check all namespaces with -A, or another cluster with --compare-context"
    return found or [Finding(Point.ENVIRONMENTS, Verdict.NOT_APPLICABLE, evidence, remedy)]


def _shared(holders: list[Held], environments: dict[str, str]) -> Iterator[Finding]:
    other = next((one for one in holders if environments[one.namespace] != PRODUCTION), None)
    for one in holders:
        if other and environments[one.namespace] == PRODUCTION:
            whose = f"key {other.key} of {other.where} ({environments[other.namespace]})"
            yield _failed(Point.ENVIRONMENTS, f"key {one.key} has the value of {whose}", _REMEDY, one)


def _failed(point: Point, evidence: str, remedy: str, one: Held) -> Finding:
    return Finding(point, Verdict.FAIL, evidence, remedy, one.where)


# Point 8: previous values are removed once their overlap is over

_GRACE = timedelta(minutes=1)
_PREVIOUS = ".previous"
_IN_PROGRESS = frozenset({ConditionReason.PROGRESSING, ErrorReason.PUSHING})


async def judge(facts: Facts) -> list[Finding]:
    """Find previous values that are still readable or in use."""
    held: list[Held] | None = None
    with contextlib.suppress(errors.Forbidden):  # the statuses have most of it
        held = await facts.list_held()
    return judged(await facts.list_declared(), held, facts.now())


def judged(declared: list[Declared], held: list[Held] | None, now: datetime) -> list[Finding]:
    """Judge every ManagedSecret; `held` is None without permission to read Secrets."""
    kept: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in held or ():
        if one.key.endswith(_PREVIOUS) and one.owner:
            kept[one.namespace, one.secret].append(one.key)
    found = [finding for one in declared for finding in _of(one, kept, now)]
    if not declared:
        found.append(
            _finding(Verdict.NOT_APPLICABLE, "there is no ManagedSecret that could have an old value")
        )
    elif not any(one.verdict is Verdict.FAIL or one.verdict is Verdict.UNKNOWN for one in found):
        evidence = f"none of {len(declared)} ManagedSecrets has an old value available after its overlap"
        found.append(_finding(Verdict.PASS, evidence))
    if held is None or any(not one.owner for one in held):
        evidence = "not checked for Secrets that Keyturn does not manage"
        found.append(_finding(Verdict.NOT_APPLICABLE, evidence, "declare a ManagedSecret for them"))
    return found


def _of(one: Declared, kept: dict[tuple[str, str], list[str]], now: datetime) -> Iterator[Finding]:
    yield from _in_the_secret(one, kept, now)
    yield from _at_the_server(one, now)
    if leases := one.managed.status.unrevoked_leases:
        yield _finding(Verdict.UNKNOWN, leases.message, "revoke it at the store", one.where)
    if (one.managed.status.revision or 0) > 1:
        yield from _in_stores(one)
        yield from _in_workloads(one)


def _at_the_server(one: Declared, now: datetime) -> Iterator[Finding]:
    """Judge the previous credentials of a database account: each is proven as refused when it is closed."""
    for credential in one.managed.status.credentials or ():
        named = f"login {credential.login} of revision {credential.revision}"
        since = f"{credential.since:%Y-%m-%d %H:%M} UTC"
        if credential.phase == Phase.CLOSED:
            yield _finding(Verdict.PASS, f"{named} proven refused at {since}", where=one.where)
        elif credential.phase == Phase.CLOSING and now - credential.since > _GRACE:
            evidence = f"{named} is to be refused since {since}, and the database server may still accept it"
            yield _finding(Verdict.FAIL, evidence, "keyturn status shows why", one.where)


def _in_stores(one: Declared) -> Iterator[Finding]:
    """Judge the stores that values are pushed to, by the status."""
    pushed = condition(one.managed, "Pushed")
    if pushed is None:
        return
    if pushed.status != "True":
        evidence = f"a store that it is pushed to may still have the previous value ({pushed.reason})"
        verdict = Verdict.UNKNOWN if pushed.reason in _IN_PROGRESS else Verdict.FAIL
        yield _finding(verdict, evidence, "its condition Pushed shows why", one.where)
    elif pushed.reason == ConditionReason.KEPT:
        evidence = "a store it is pushed to keeps what it had, by updatePolicy: IfNotExists"
        yield _finding(
            Verdict.UNKNOWN, evidence, "check that value, or write updatePolicy: Replace", one.where
        )


def _in_workloads(one: Declared) -> Iterator[Finding]:
    """Judge workloads that may run with previous values, which they have in memory."""
    behind = [each for each in one.managed.status.workloads if each.state not in DONE]
    for each in behind:
        why = f", {each.reason}" if each.reason else ""
        evidence = f"{each.kind}/{each.name} may have a previous value ({each.state.lower()}{why})"
        remedy = "keyturn status shows what it waits for; restart it yourself if Keyturn may not"
        yield _finding(Verdict.UNKNOWN, evidence, remedy, one.where)
    current = condition(one.managed, "WorkloadsCurrent")
    if not behind and (current is None or current.status != "True"):
        why = f" ({current.reason})" if current else ""
        evidence = f"whether a workload has a previous value is unknown{why}"
        yield _finding(Verdict.UNKNOWN, evidence, "keyturn status shows why", one.where)


def _in_the_secret(one: Declared, kept: dict[tuple[str, str], list[str]], now: datetime) -> Iterator[Finding]:
    previous = one.managed.status.previous
    if previous is None:
        if keys := kept.get((one.secret.namespace, one.secret.name)):
            evidence = f"its overlap is over, and the Secret still has {', '.join(sorted(keys))}"
            yield _finding(Verdict.FAIL, evidence, "keyturn status shows why", one.where)
    elif previous.valid_until is None:
        yield _finding(
            Verdict.UNKNOWN,
            f"revision {previous.revision} is revoked once every workload runs on the next one, and one does not",
            "keyturn status lists its workloads",
            one.where,
        )
    elif now - previous.valid_until > _GRACE:
        yield _finding(
            Verdict.FAIL,
            f"revision {previous.revision} was to be revoked at {previous.valid_until:%Y-%m-%d %H:%M} UTC",
            "check keyturn status, and that the operator runs",
            one.where,
        )


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.REVOCATION, verdict, evidence, remedy, where)


# Cluster

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


async def _environments(checked: Checked) -> list[Finding]:
    facts = checked.facts
    if checked.other is None:
        return await judge_environments(facts)
    name, other = checked.other
    found = await judge_two_clusters(facts, other, name)
    return found if facts.namespace else found + await judge_environments(facts)


async def _at_rest(checked: Checked) -> list[Finding]:
    return [monitor.judge_encryption(await checked.facts.metrics())]


async def _access_log(checked: Checked) -> list[Finding]:
    """Judge by the operator's record of reads, or else by the metrics of the API server."""
    from keyturn.endpoints.audit import access_log  # noqa: PLC0415  # only where the record is read

    facts = checked.facts
    path = paths.secret(checked.operator_namespace, access_log.NAME)
    with contextlib.suppress(errors.NotFound, errors.Forbidden, access_log.Unreadable):
        reads = access_log.decode(await facts.api.get(path)).read.rows()
        last = max((entry.last for _, _, entry in reads), default=None)
        if last and facts.now() - last < _RECENT:
            evidence = f"reads of managed Secrets are recorded, the last one at {last:%Y-%m-%d %H:%M} UTC"
            return [Finding(Point.ACCESS_LOG, Verdict.PASS, evidence)]
        remedy = "read one with kubectl get secret, and look again in ten minutes, or see docs/access.md"
        evidence = "no read of a managed Secret was recorded within the last day"
        return [Finding(Point.ACCESS_LOG, Verdict.UNKNOWN, evidence, remedy)]
    return [monitor.judge_audit_events(await facts.metrics())]


async def _recovery(checked: Checked) -> list[Finding]:
    """Run the drill; an untested backup is none."""
    if checked.drill:
        return await checked.drill.findings(checked.facts)
    remedy = (
        "write a backup with keyturn backup, create an empty namespace, and test the restore there:"
        " keyturn audit --only recovery --backup FILE --identity FILE --drill NAMESPACE"
    )
    return [Finding(Point.RECOVERY, Verdict.UNKNOWN, "no recovery was tested", remedy)]


_POINTS: Final[Mapping[Point, Callable[[Checked], Awaitable[list[Finding]]]]] = {
    Point.STRENGTH: lambda checked: judge_strength(checked.facts),
    Point.ENVIRONMENTS: _environments,
    Point.AT_REST: _at_rest,
    Point.ACCESS_LOG: _access_log,
    Point.SCHEDULE: lambda checked: schedule.judge(checked.facts, checked.schedule),
    Point.RECOVERY: _recovery,
    Point.REVOCATION: lambda checked: judge(checked.facts),
}
