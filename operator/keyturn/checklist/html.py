"""Report as one HTML file, without scripts and external resources; Liquid escapes every text."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from keyturn.core.policy.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.policy.findings import Finding, Point, Report

    from .scope import Scope

__all__ = ["page"]

_LABELS: Final[Mapping[Verdict, str]] = {
    Verdict.FAIL: "failed",
    Verdict.UNKNOWN: "unknown",
    Verdict.PASS: "passed",
    Verdict.NOT_APPLICABLE: "does not apply",
}


def page(report: Report, scope: Scope) -> str:
    """Render a table of the points, followed by the findings of each."""
    from liquid import Environment, StrictUndefined  # noqa: PLC0415  # only where asked for

    text = (resources.files(__package__) / "files" / "report.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    points = [_point(point, verdict, report) for point, verdict in report.verdicts.items()]
    counts = [{"count": count, **_shown(verdict)} for verdict, count in report.counts.items()]
    return template.render(points=points, counts=counts, scope=str(scope))


def _point(point: Point, verdict: Verdict, report: Report) -> dict[str, Any]:
    return {
        "key": point.value,
        "title": f"{point.number}. {point.asks}",
        "findings": [_finding(one) for one in report.findings if one.point is point],
        **_shown(verdict),
    }


def _finding(one: Finding) -> dict[str, str]:
    where = f"{one.where}:{one.line}" if one.line else one.where
    return {"where": where, "evidence": one.evidence, "remedy": one.remedy, **_shown(one.verdict)}


def _shown(verdict: Verdict) -> dict[str, str]:
    return {"class": verdict.value, "verdict": _LABELS[verdict]}
