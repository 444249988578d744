"""Findings of the operator in the status of a ManagedSecret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.policy.checklist import POINTS, reported_violations
from keyturn.core.policy.findings import Finding, Point, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .facts import Declared

__all__ = ["told"]


def told(one: Declared, point: Point, but: Collection[str] = ()) -> Iterator[Finding]:
    """Return the violated rules of a point, except those that are checked otherwise."""
    for broken in reported_violations(one.managed.status):
        if POINTS[broken.rule] is point and broken.rule not in but:
            evidence = f"it violates the rule {broken.rule}: {broken.message}"
            yield Finding(point, Verdict.FAIL, evidence, "change the spec or rotate", one.where)
