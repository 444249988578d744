"""Report as SARIF 2.1.0, which code hosts display next to the code."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from keyturn import __version__
from keyturn.core.policy.findings import Point, Verdict

if TYPE_CHECKING:
    from keyturn.core.policy.findings import Finding, Report

__all__ = ["sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_KINDS = {
    Verdict.FAIL: "fail",
    Verdict.UNKNOWN: "open",
    Verdict.PASS: "pass",
    Verdict.NOT_APPLICABLE: "notApplicable",
}


def sarif(report: Report) -> dict[str, Any]:
    """Return every finding as a result, and every point as a rule."""
    driver = {
        "name": "keyturn audit",
        "version": __version__,
        "rules": [
            {
                "id": point.value,
                "name": point.value.title().replace("-", ""),
                "shortDescription": {"text": point.asks},
                "defaultConfiguration": {"level": "error"},
            }
            for point in Point
        ],
    }
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one) for one in report.findings],
            }
        ],
    }


def _result(one: Finding) -> dict[str, Any]:
    text = f"{one.evidence}. To be done: {one.remedy}" if one.remedy else one.evidence
    return {
        "ruleId": one.point.value,
        "ruleIndex": one.point.number - 1,
        "kind": _KINDS[one.verdict],
        "level": "error" if one.verdict is Verdict.FAIL else "none",
        "message": {"text": text},
        "locations": _locations(one),
        "partialFingerprints": {"keyturn/v1": _fingerprint(one)},
    }


def _locations(one: Finding) -> list[dict[str, Any]]:
    if not one.where:
        return []
    if one.point is not Point.SOURCE_CONTROL:
        return [{"logicalLocations": [{"fullyQualifiedName": one.where, "kind": "object"}]}]
    # A path of the working tree, at which a code host displays the finding.
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(one.where), "uriBaseId": "%SRCROOT%"}}
    if one.line:
        place["region"] = {"startLine": one.line}
    return [{"physicalLocation": place}]


def _fingerprint(one: Finding) -> str:
    """Return an identifier of a finding; it depends on no value."""
    return hashlib.sha256(f"{one.point}\n{one.where}\n{one.evidence}".encode()).hexdigest()
