"""Report as one HTML file, without scripts and external resources."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from keyturn import __version__
from keyturn.core.policy.findings import Point, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.policy.findings import Finding, Report

__all__ = ["page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2024; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-top: 1px solid #d0d5da; }
td { overflow-wrap: anywhere; } td.verdict { white-space: nowrap; width: 8rem; }
.Fail { color: #b3261e; font-weight: 600; } .Unknown { color: #8a5a00; font-weight: 600; }
.Pass { color: #1b6e3c; font-weight: 600; } .NotApplicable { color: #5c6670; }
.remedy { color: #444c55; } .where { font-family: ui-monospace, monospace; font-size: .9em; }
@media (prefers-color-scheme: dark) {
  body { background: #16191d; color: #e6e8ea; } th, td { border-color: #3a4149; } .remedy { color: #b4bcc4; }
  .Fail { color: #ff8a80; } .Unknown { color: #ffcc66; } .Pass { color: #7fd69b; } .NotApplicable { color: #9aa4ad; }
}
"""
_LABELS = {
    Verdict.FAIL: "failed",
    Verdict.UNKNOWN: "unknown",
    Verdict.PASS: "passed",
    Verdict.NOT_APPLICABLE: "does not apply",
}


def page(report: Report) -> str:
    """Render a table of the points, followed by the findings of each."""
    verdicts = report.verdicts
    sections = (_section(point, report) for point in verdicts)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">""",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Secrets checklist</title><style>{_STYLE}</style></head><body>",
            "<h1>Secrets checklist</h1>",
            "<table><thead><tr><th>Point</th><th>Verdict</th></tr></thead><tbody>",
            *(_summary(point, verdict) for point, verdict in verdicts.items()),
            "</tbody></table>",
            *sections,
            f'<p class="remedy">keyturn audit {escape(__version__)}</p>',
            "</body></html>",
            "",
        ]
    )


def _summary(point: Point, verdict: Verdict) -> str:
    link = f'<a href="#{point.value}">{point.number}. {escape(point.asks)}</a>'
    return f"<tr><td>{link}</td>{_cell(verdict)}</tr>"


def _section(point: Point, report: Report) -> str:
    found = (one for one in report.findings if one.point is point)
    head = f'<h2 id="{point.value}">{point.number}. {escape(point.asks)}</h2>'
    return f"{head}<table><tbody>{''.join(_rows(found))}</tbody></table>"


def _rows(findings: Iterable[Finding]) -> Iterable[str]:
    for one in findings:
        where = f"{one.where}:{one.line}" if one.line else one.where
        place = f'<div class="where">{escape(where)}</div>' if where else ""
        remedy = f'<div class="remedy">{escape(one.remedy)}</div>' if one.remedy else ""
        yield f"<tr>{_cell(one.verdict)}<td>{place}{escape(one.evidence)}{remedy}</td></tr>"


def _cell(verdict: Verdict) -> str:
    return f'<td class="verdict {verdict.value}">{_LABELS[verdict]}</td>'
