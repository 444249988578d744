"""Point 3: production shares no value with another environment."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

from keyturn.checklist.condition import told
from keyturn.core.labels import ENVIRONMENT, PRODUCTION
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.kube import errors

from .base import PointCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.checklist.facts import Facts
    from keyturn.checklist.fingerprints import Held

    from .base import Checked

__all__ = ["Environments", "look", "look_at_two"]

_REMEDY = "use a value of its own in each environment: rotate one, or declare a ManagedSecret in each"


async def look(facts: Facts) -> list[Finding]:
    """Compare the namespaces of one cluster by their labels."""
    if facts.namespace:
        # An operator that watches all namespaces has compared the values.
        with contextlib.suppress(errors.Forbidden, errors.Unavailable):
            if found := [
                one for each in await facts.list_declared() for one in told(each, Point.ENVIRONMENTS)
            ]:
                return found
        return [
            Finding(
                Point.ENVIRONMENTS,
                Verdict.NOT_APPLICABLE,
                "a single namespace cannot be compared",
                "check all namespaces with -A, or another cluster with --compare-context",
            )
        ]
    environments = await facts.environments()
    if PRODUCTION not in environments.values() or len(set(environments.values())) == 1:
        return [
            Finding(
                Point.ENVIRONMENTS,
                Verdict.UNKNOWN,
                f"no two namespaces are labelled {ENVIRONMENT}={PRODUCTION} and with another environment",
                f"label them: kubectl label namespace NAME {ENVIRONMENT}={PRODUCTION}",
            )
        ]
    by_mark: defaultdict[bytes, list[Held]] = defaultdict(list)
    for one in await facts.list_held():
        if one.mark and one.namespace in environments:
            by_mark[one.mark].append(one)
    found = [twin for holders in by_mark.values() for twin in _twins(holders, environments)]
    return found or [
        Finding(Point.ENVIRONMENTS, Verdict.PASS, "no value of production is found in another environment")
    ]


async def look_at_two(facts: Facts, other: Facts, name: str) -> list[Finding]:
    """Compare one cluster with another; each common value is a finding."""
    there = {one.mark: one for one in await other.list_held() if one.mark}
    found = [
        Finding(
            Point.ENVIRONMENTS,
            Verdict.FAIL,
            f"key {one.key} has the value of key {there[one.mark].key} of {there[one.mark].where} in {name}",
            _REMEDY,
            one.where,
        )
        for one in await facts.list_held()
        if one.mark in there
    ]
    return found or [
        Finding(Point.ENVIRONMENTS, Verdict.PASS, f"no value of {facts.place} is found in context {name}")
    ]


def _twins(holders: list[Held], environments: dict[str, str]) -> Iterator[Finding]:
    others = [one for one in holders if environments[one.namespace] != PRODUCTION]
    for one in holders:
        if others and environments[one.namespace] == PRODUCTION:
            twin = others[0]
            yield Finding(
                Point.ENVIRONMENTS,
                Verdict.FAIL,
                f"key {one.key} has the value of key {twin.key} of {twin.where} ({environments[twin.namespace]})",
                _REMEDY,
                one.where,
            )


class Environments(PointCheck):
    """Compares the values of environments, within the cluster or with another one."""

    kind: ClassVar[str] = Point.ENVIRONMENTS

    async def find(self, checked: Checked) -> list[Finding]:
        facts, other = checked.facts, checked.other
        if other is None:
            return await look(facts)
        found = await look_at_two(facts, other.facts, other.name)
        return found if facts.namespace else found + await look(facts)
