"""Report as SARIF 2.1.0 in the subset that GitHub code scanning accepts.

Code scanning shows each result as a problem, and refuses a file with a result that has no physical location. So the
results are the failed checks only; unknown points are notifications of the run, and what passed is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from keyturn import __version__
from keyturn.core.policy.findings import Point, Verdict

if TYPE_CHECKING:
    from keyturn.core.policy.findings import Finding, Report

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_MAX_RESULTS: Final = 5_000
"""Code scanning shows that many of a run."""


def sarif(report: Report) -> dict[str, Any]:
    """Return every failed check as a result, and every point as a rule."""
    failed = [one for one in report.findings if one.verdict is Verdict.FAIL]
    unknown = [one for one in report.findings if one.verdict is Verdict.UNKNOWN]
    rules = [_rule(point) for point in Point]
    run = {
        "tool": {"driver": {"name": "keyturn audit", "version": __version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [_notification(one) for one in unknown],
            }
        ],
        "results": [_result(one) for one in failed[:_MAX_RESULTS]],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(point: Point) -> dict[str, Any]:
    return {
        "id": point.value,
        "name": point.value.title().replace("-", ""),
        "shortDescription": {"text": point.asks},
        "fullDescription": {"text": f"Point {point.number} of the secrets checklist: {point.asks}."},
        "help": {"text": f"keyturn audit --only {point.value} prints the evidence and the remedies."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security"], "precision": "high", "security-severity": "8.0"},
    }


def _result(one: Finding) -> dict[str, Any]:
    return {
        "ruleId": one.point.value,
        "ruleIndex": one.point.number - 1,
        "kind": "fail",
        "level": "error",
        "message": {"text": _text(one)},
        "locations": [_location(one)],
    }


def _notification(one: Finding) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": _text(one)},
        "associatedRule": {"id": one.point.value, "index": one.point.number - 1},
    }


def _text(one: Finding) -> str:
    return f"{one.evidence}. To be done: {one.remedy}" if one.remedy else one.evidence


def _location(one: Finding) -> dict[str, Any]:
    """Return a file of the repository, or a path that stands for an object of the cluster or for a whole point."""
    if one.where and one.point is Point.SOURCE_CONTROL:
        return _physical(one.where, one.line or 1)
    if not one.where:
        return _physical(f"checklist/{one.point.value}")
    return _physical(f"cluster/{one.where}") | {
        "logicalLocations": [{"fullyQualifiedName": one.where, "kind": "object"}]
    }


def _physical(path: str, line: int = 1) -> dict[str, Any]:
    artifact = {"uri": quote(path), "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}}}
