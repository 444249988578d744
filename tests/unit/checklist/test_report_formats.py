"""What is written for code hosts and for people is well-formed, whatever stands in it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from keyturn.checklist.html import page
from keyturn.checklist.sarif import sarif
from keyturn.core.policy.findings import Finding, Point, Verdict, in_order

if TYPE_CHECKING:
    from tests.unit.checklist.git_repository import Repository

HOSTILE = "<script>alert(1)</script>\"'&\n\x1b[31m%00../é"
REPORT = in_order(
    [
        *(Finding(point, verdict, "seen", "do it") for point in Point for verdict in Verdict),
        Finding(Point.SOURCE_CONTROL, Verdict.FAIL, HOSTILE, HOSTILE, f"dir/{HOSTILE}", 7),
        Finding(Point.STRENGTH, Verdict.FAIL, HOSTILE, HOSTILE, "shop/db"),
    ]
)
ALLOWED: dict[str, set[str]] = {
    "log": {"$schema", "version", "runs"},
    "run": {"tool", "columnKind", "results"},
    "driver": {"name", "version", "rules"},
    "rule": {"id", "name", "shortDescription", "defaultConfiguration"},
    "result": {"ruleId", "ruleIndex", "kind", "level", "message", "locations", "partialFingerprints"},
}
"""The properties of SARIF 2.1.0 that we write; its schema knows each, and forbids all that it does not know."""


def test_sarif_has_the_shape_of_2_1_0() -> None:
    document = json.loads(json.dumps(sarif(REPORT)))

    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert (document["version"], set(document), set(run)) == ("2.1.0", ALLOWED["log"], ALLOWED["run"])
    assert set(driver) == ALLOWED["driver"]
    assert all(set(rule) == ALLOWED["rule"] for rule in driver["rules"])
    assert len(run["results"]) == len(REPORT.findings)
    for result in run["results"]:
        _check(result, driver["rules"])


def _check(result: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    assert set(result) == ALLOWED["result"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert result["kind"] in {"fail", "open", "pass", "notApplicable"}
    assert result["level"] == ("error" if result["kind"] == "fail" else "none")
    assert isinstance(result["message"]["text"], str)
    assert result["message"]["text"]
    for location in result["locations"]:
        (kind,) = location
        if kind == "physicalLocation":
            uri = location[kind]["artifactLocation"]["uri"]
            assert uri.isascii()
            assert not set(uri) & set(' <>"\n\\^`{}|')
            assert location[kind].get("region", {"startLine": 1})["startLine"] >= 1
        else:
            assert kind == "logicalLocations"


def test_findings_that_differ_have_fingerprints_that_differ() -> None:
    results = sarif(REPORT)["runs"][0]["results"]
    marks = [one["partialFingerprints"]["keyturn/v1"] for one in results]

    assert len(set(marks)) == len({(one.point, one.where, one.evidence) for one in REPORT.findings})


class Reader(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_stands_alone_and_runs_nothing() -> None:
    text = page(REPORT)
    reader = Reader()
    reader.feed(text)

    assert reader.open == []
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    links = [attributes.get("href") for tag, attributes in reader.tags if tag == "a"]
    assert links == [f"#{point.value}" for point in Point]
    assert not any(name.startswith("on") or name == "src" for _, found in reader.tags for name in found)
    assert "url(" not in text
    assert "&lt;script&gt;" in text


def test_every_form_of_a_repository_is_printed(repository: Repository) -> None:
    assert json.loads(repository.audit("-o", "sarif").printed)["version"] == "2.1.0"
    assert repository.audit("-o", "html").printed.startswith("<!doctype html>")
    assert "source-control" in repository.audit("-o", "table").printed


def test_of_each_point_the_worst_counts() -> None:
    assert set(REPORT.verdicts.values()) == {Verdict.FAIL}
    assert list(REPORT.verdicts) == list(Point)
