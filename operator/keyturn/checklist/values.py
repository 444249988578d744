"""Points 1 and 3 by the values of Secrets: strength, and values that production shares with another environment."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from keyturn.core.labels import ENVIRONMENT, PRODUCTION
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.kube import errors

from .facts import find_or_explain, reported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .facts import Declared, Facts, Held

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
