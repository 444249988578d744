"""Findings of the checklist: a verdict on a point with evidence and remedy, and the report of all."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(enum.StrEnum):
    """Verdict on a point, the worst first."""

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
    """One result of a check."""

    point: Point
    verdict: Verdict
    evidence: str
    remedy: str = ""
    """The fix; empty if none is needed."""
    where: str = ""
    """The object, or a file as a path in the repository; empty if it concerns all of them."""
    line: int = 0
    """The line of a file in the working tree; 0 if there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, by point and then by verdict, the worst first."""

    findings: tuple[Finding, ...]

    @property
    def verdicts(self) -> dict[Point, Verdict]:
        """The verdict on each point: the worst of its findings."""
        verdicts: dict[Point, Verdict] = {}
        for finding in self.findings:
            point, verdict = finding.point, finding.verdict
            verdicts[point] = min(verdicts.get(point, verdict), verdict, key=lambda it: it.rank)
        return verdicts

    @property
    def counts(self) -> dict[Verdict, int]:
        """The number of points with each verdict, the worst first."""
        found = list(self.verdicts.values())
        return {verdict: found.count(verdict) for verdict in Verdict}

    def has(self, verdict: Verdict) -> bool:
        return any(finding.verdict is verdict for finding in self.findings)


def in_order(findings: Iterable[Finding]) -> Report:
    """Return a report with the findings in reading order."""
    return Report(
        tuple(sorted(findings, key=lambda it: (it.point.number, it.verdict.rank, it.where, it.line)))
    )
