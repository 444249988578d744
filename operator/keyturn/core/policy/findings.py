"""What the checklist says of a point: the verdict, the evidence, and the way to mend it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "Point", "Report", "Verdict", "in_order"]


class Verdict(enum.StrEnum):
    """What was found of a point, the worst first."""

    FAIL = "Fail"
    UNKNOWN = "Unknown"
    PASS = "Pass"  # noqa: S105  # the word, no password
    NOT_APPLICABLE = "NotApplicable"

    @property
    def rank(self) -> int:
        return list(Verdict).index(self)


class Point(enum.StrEnum):
    """The points of the checklist, in its order."""

    STRENGTH = "strength"
    SOURCE_CONTROL = "source-control"
    ENVIRONMENTS = "environments"
    AT_REST = "at-rest"
    ACCESS_LOG = "access-log"
    SCHEDULE = "schedule"
    RECOVERY = "recovery"
    REVOCATION = "revocation"

    @property
    def number(self) -> int:
        return list(Point).index(self) + 1

    @property
    def asks(self) -> str:
        return _TITLES[self]


_TITLES = {
    Point.STRENGTH: "All secrets are at least 32 characters",
    Point.SOURCE_CONTROL: "No secrets in source control",
    Point.ENVIRONMENTS: "Production secrets differ from development",
    Point.AT_REST: "Secrets are encrypted at rest",
    Point.ACCESS_LOG: "Access to secrets is logged",
    Point.SCHEDULE: "Rotation schedule is documented",
    Point.RECOVERY: "Team has access recovery process",
    Point.REVOCATION: "Old secrets are properly revoked",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    point: Point
    verdict: Verdict
    evidence: str
    remedy: str = ""
    """How to mend it; empty where nothing is to be done."""
    where: str = ""
    """The object, or the file as a path in the repository; empty where it is about all of them."""
    line: int = 0
    """The line in a file of the working tree; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, in the order of the points and the worst of each first."""

    findings: tuple[Finding, ...]

    @property
    def verdicts(self) -> dict[Point, Verdict]:
        """The verdict on each point: the worst of its findings."""
        found: dict[Point, Verdict] = {}
        for one in self.findings:
            found[one.point] = min(found.get(one.point, one.verdict), one.verdict, key=lambda it: it.rank)
        return found

    def has(self, verdict: Verdict) -> bool:
        return any(one.verdict is verdict for one in self.findings)


def in_order(findings: Iterable[Finding]) -> Report:
    """Put what was found into the order in which it is read."""
    return Report(
        tuple(sorted(findings, key=lambda it: (it.point.number, it.verdict.rank, it.where, it.line)))
    )
