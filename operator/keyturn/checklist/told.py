"""What the operator has found of a ManagedSecret and says in its condition PolicyCompliant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.checklist import POINTS, broken_in
from keyturn.core.finding import Finding, Point, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .facts import Declared

__all__ = ["told"]

_COMPLIANT = "PolicyCompliant"


def told(one: Declared, point: Point, but: Collection[str] = ()) -> Iterator[Finding]:
    """Return the broken rules that belong to a point, but those that are looked at otherwise."""
    for condition in one.managed.status.conditions:
        if (condition.type, condition.status) == (_COMPLIANT, "False"):
            for broken in broken_in(condition.message):
                if POINTS[broken.rule] is point and broken.rule not in but:
                    evidence = f"it breaks the rule {broken.rule}: {broken.message}"
                    remedy = "change the spec or rotate, as the rule says"
                    yield Finding(point, Verdict.FAIL, evidence, remedy, one.where)
