"""The dashboard is one that Grafana can show: each panel in its place, each query readable."""

import re
from itertools import combinations
from typing import Any

import pytest

from tests.monitoring.dashboard import DASHBOARD, PANELS, QUERIES, filled
from tests.monitoring.prometheus import BUILD_SECONDS, terms

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_COLUMNS = 24
_VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
_BUILT_IN = {"__rate_interval"}
_OF_OTHERS = {"keyturn_store_ready", "keyturn_emergency_deadline_seconds"}
"""Metrics whose label name is not that of a ManagedSecret."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def test_it_can_be_found_and_linked_to() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"], "id" in DASHBOARD) == ("keyturn", "Keyturn", False)


def test_it_shows_the_deadlines_of_emergencies_before_rotations() -> None:
    rows = [one["title"] for one in DASHBOARD["panels"] if one["type"] == "row"]
    assert rows.index("Emergencies") < rows.index("Rotations")
    assert any("keyturn_emergency_deadline_seconds" in target["expr"] for _, target in QUERIES)


@pytest.mark.parametrize(
    "metric",
    [
        "keyturn_credential_valid",
        "keyturn_credentials_live",
        "keyturn_revocation_pending_seconds",
        "keyturn_database_operations_total",
        "keyturn_database_operation_seconds_bucket",
    ],
)
def test_it_shows_database_credentials(metric: str) -> None:
    assert any(metric in re.findall(r"\w+", target["expr"]) for _, target in QUERIES)


def test_no_two_panels_have_the_same_number_or_title() -> None:
    everything = DASHBOARD["panels"]
    for what in ("id", "title"):
        named = [one[what] for one in everything]
        assert len(named) == len(set(named))


def test_no_two_panels_lie_over_each_other() -> None:
    pairs = combinations([one["gridPos"] for one in DASHBOARD["panels"]], 2)
    assert [pair for pair in pairs if overlaps(*pair)] == []


def overlaps(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@each_panel
def test_a_panel_lies_within_the_columns(panel: dict[str, Any]) -> None:
    assert 0 <= panel["gridPos"]["x"] < panel["gridPos"]["x"] + panel["gridPos"]["w"] <= _COLUMNS


@each_panel
def test_a_panel_says_what_it_shows_from_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [panel["datasource"], *(one["datasource"] for one in panel["targets"])] == [_SOURCE] * (
        len(panel["targets"]) + 1
    )
    assert len({one["refId"] for one in panel["targets"]}) == len(panel["targets"])


def test_every_query_can_be_read_by_prometheus() -> None:
    assert len(terms(filled(target["expr"]) for _, target in QUERIES)) == len(QUERIES)


def test_every_variable_is_there_and_used() -> None:
    asked = [target["expr"] for _, target in QUERIES] + [
        one["query"]["query"] for one in _VARIABLES.values() if one["type"] == "query"
    ]
    used = {name for text in asked for name in re.findall(r"\$(\w+)", text)}

    assert used - _BUILT_IN == _VARIABLES.keys() - {"datasource"} == {"namespace", "name"}


def test_what_is_reported_of_single_secrets_follows_the_choice() -> None:
    found = terms(filled(target["expr"]) for _, target in QUERIES)
    per_object = [
        (title, selector)
        for (title, _), one in zip(QUERIES, found, strict=True)
        for selector in one.selectors
        if "name" in one.labels and selector.metric not in _OF_OTHERS
    ]

    assert per_object
    assert [title for title, selector in per_object if not {"namespace", "name"} <= selector.labels] == []


def test_legends_name_labels_that_the_queries_leave() -> None:
    grouped = terms(filled(target["expr"]) for _, target in QUERIES)
    missing = [
        (title, label)
        for (title, target), one in zip(QUERIES, grouped, strict=True)
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        if label not in one.labels | {"pod"}
    ]

    assert missing == []
