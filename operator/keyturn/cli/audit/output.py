"""Prints a report of the checklist as text or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.cli.printing import print_json, print_lines
from keyturn.cli.text import in_one_line, room, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.checklist.scope import Scope
    from keyturn.core.policy.findings import Report

__all__ = ["FORMS"]


def _table(report: Report, scope: Scope) -> None:
    rows = [
        (one.point, one.verdict, f"{one.where}:{one.line}" if one.line else one.where, one.evidence)
        for one in report.findings
    ]
    print_lines(table(("POINT", "VERDICT", "WHERE", "EVIDENCE"), rows, room()))
    remedies = {(one.point, one.remedy): None for one in report.findings if one.remedy}
    if remedies:
        print_lines("", "To be done:", *(in_one_line(f"  {point}: {remedy}") for point, remedy in remedies))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items())
    print_lines("", in_one_line(f"{scope}. Points: {counts}"))


def _json(report: Report, scope: Scope) -> None:
    verdicts = report.verdicts
    print_json(
        {
            "madeAt": scope.made,
            "version": scope.version,
            "server": scope.server,
            "namespace": scope.namespace,
            "repository": scope.repository,
            "counts": {str(verdict): count for verdict, count in report.counts.items()},
            "points": [
                {"number": point.number, "point": point, "asks": point.asks, "verdict": verdict}
                for point, verdict in verdicts.items()
            ],
            "findings": [
                {
                    "point": one.point,
                    "verdict": one.verdict,
                    "where": one.where or None,
                    "line": one.line or None,
                    "evidence": one.evidence,
                    "remedy": one.remedy or None,
                }
                for one in report.findings
            ],
        }
    )


def _sarif(report: Report, _: Scope) -> None:
    from keyturn.checklist.sarif import sarif  # noqa: PLC0415  # only where asked for

    print_json(sarif(report))


def _html(report: Report, scope: Scope) -> None:
    from keyturn.checklist.html import page  # noqa: PLC0415  # only where asked for

    print_lines(page(report, scope).rstrip())


FORMS: Mapping[str, Callable[[Report, Scope], None]] = {
    "table": _table,
    "json": _json,
    "sarif": _sarif,
    "html": _html,
}
