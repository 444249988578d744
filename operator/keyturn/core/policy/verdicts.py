"""How the points of the checklist stand, as far as the operator's own ManagedSecrets tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checklist import POINTS
from .findings import Point, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["All", "judged"]


@dataclass(frozen=True, slots=True)
class All:
    """Every ManagedSecret that is served, taken together."""

    count: int = 0
    broken: frozenset[str] = frozenset()
    """The rules that any of them breaks."""
    has_environments: bool = False
    """They are in namespaces of production and of another environment."""
    keeps_old: bool = False
    """One keeps old values until a workload runs on the new ones, whenever that is."""


def judged(every: All) -> Mapping[Point, Verdict]:
    """Judge each point that ManagedSecrets tell of; whether a schedule is written down, none of them knows."""
    well = {
        Point.STRENGTH: Verdict.PASS,
        Point.ENVIRONMENTS: Verdict.PASS if every.has_environments else Verdict.UNKNOWN,
        Point.SCHEDULE: Verdict.UNKNOWN,
        Point.REVOCATION: Verdict.UNKNOWN if every.keeps_old else Verdict.PASS,
    }
    if not every.count:
        return dict.fromkeys(well, Verdict.NOT_APPLICABLE)
    failed = {POINTS[rule] for rule in every.broken}
    return {point: Verdict.FAIL if point in failed else verdict for point, verdict in well.items()}
