"""How verdicts are published and read back, whoever wrote them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.checklist.report_configmap import (
    Published,
    Unreadable,
    is_name,
    merged,
    read,
    reports_in,
    written,
)
from keyturn.core.policy.findings import Finding, Point, Verdict, in_order

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
EVERY = frozenset(Point)
ENCRYPTED = Finding(Point.AT_REST, Verdict.PASS, "the API server encrypts: aescbc")
PLAIN = Finding(
    Point.AT_REST, Verdict.FAIL, "the API server stores Secrets unencrypted (identity)", "encrypt"
)
UNTRIED = Finding(Point.RECOVERY, Verdict.UNKNOWN, "no recovery was tested", "try one")


def weak(where: str) -> Finding:
    return Finding(Point.STRENGTH, Verdict.FAIL, "key password is weak", "replace it", where)


def published(*findings: Finding, now: datetime = NOW) -> tuple[Published, ...]:
    return merged((), in_order(findings), EVERY, now)


def test_what_was_found_can_be_read_back() -> None:
    found = published(ENCRYPTED, UNTRIED, weak("shop/db"))

    assert read(written(found)) == found
    assert [(one.point, one.verdict) for one in found] == [
        (Point.STRENGTH, Verdict.FAIL),
        (Point.AT_REST, Verdict.PASS),
        (Point.RECOVERY, Verdict.UNKNOWN),
    ]


def test_it_has_the_form_of_conditions() -> None:
    document = json.loads(written(published(PLAIN)))

    assert document == {
        "conditions": [
            {
                "type": "AtRest",
                "status": "False",
                "reason": "Fail",
                "message": "the API server stores Secrets unencrypted (identity)",
                "lastTransitionTime": "2026-05-01T12:00:00Z",
                "lastProbeTime": "2026-05-01T12:00:00Z",
            }
        ]
    }


def test_single_objects_are_counted_and_not_named() -> None:
    (one,) = published(weak("shop/db"), weak("shop/mail"))

    assert one.message == "2 findings"
    assert "shop" not in written([one])


def test_a_verdict_that_stays_keeps_the_time_of_its_turn() -> None:
    (again,) = merged(published(PLAIN), in_order([PLAIN]), EVERY, LATER)
    (turned,) = merged(published(PLAIN), in_order([ENCRYPTED]), EVERY, LATER)

    assert (again.turned, again.looked) == (NOW, LATER)
    assert (turned.turned, turned.looked) == (LATER, LATER)


def test_what_was_not_looked_at_stays_as_it_was() -> None:
    before = published(Finding(Point.RECOVERY, Verdict.PASS, "they came back"))

    after = merged(before, in_order([UNTRIED, PLAIN]), EVERY - {Point.RECOVERY}, LATER)

    assert {one.point: (one.verdict, one.looked) for one in after} == {
        Point.RECOVERY: (Verdict.PASS, NOW),
        Point.AT_REST: (Verdict.FAIL, LATER),
    }


def test_what_was_never_looked_at_is_published_as_such() -> None:
    (one,) = merged((), in_order([UNTRIED]), frozenset(), NOW)

    assert one.verdict is Verdict.UNKNOWN


def condition(**changes: Any) -> dict[str, Any]:
    time = "2026-05-01T12:00:00Z"
    whole = {"type": "AtRest", "status": "True", "reason": "Pass", "message": "", "lastTransitionTime": time}
    return whole | {"lastProbeTime": time} | changes


HOSTILE = 'X"} 1\nkeyturn_leader 7'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="a list"),
        pytest.param('{"conditions": 7}', id="a number"),
        pytest.param(json.dumps({"conditions": [condition(type=HOSTILE)]}), id="a point that there is not"),
        pytest.param(
            json.dumps({"conditions": [condition(reason=HOSTILE)]}), id="a verdict that there is not"
        ),
        pytest.param(json.dumps({"conditions": [condition(lastProbeTime="soon")]}), id="no time"),
        pytest.param(
            json.dumps({"conditions": [condition(lastProbeTime="2026-05-01T12:00:00")]}), id="no zone"
        ),
        pytest.param(
            json.dumps({"conditions": [condition(lastProbeTime="0001-01-01T00:00:00+00:01")]}),
            id="a time before the first year in UTC",
        ),
        pytest.param(
            json.dumps({"conditions": [condition(lastTransitionTime="9999-12-31T23:59:59-23:59")]}),
            id="a time after the last year in UTC",
        ),
        pytest.param(json.dumps({"conditions": [condition()], "x": "y" * 70_000}), id="too large"),
    ],
)
def test_what_cannot_have_been_published_is_no_report(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


def test_times_of_another_zone_are_read_in_utc() -> None:
    (one,) = read(json.dumps({"conditions": [condition(lastProbeTime="2026-05-01T14:00:00+02:00")]}))

    assert (one.looked, one.looked.tzinfo) == (NOW, UTC)


def test_one_that_is_unreadable_takes_no_other_with_it() -> None:
    good = written(published(PLAIN))

    assert dict(reports_in({"a": good, "b": "{", "operator": good, "Not/A name": good})) == {
        "a": published(PLAIN),
        "b": None,
    }


def test_there_are_not_more_reports_than_a_scrape_can_bear() -> None:
    good = written(published(PLAIN))

    assert len(dict(reports_in({f"r{number}": good for number in range(1000)}))) == 50


@pytest.mark.parametrize("name", ["cluster", "shop-repository", "a", "7", "a" * 63])
def test_names_that_a_report_may_have(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "operator", "Shop", "a.b", "-a", "a-", "a" * 64, 'a"', "a\n"])
def test_names_that_no_report_may_have(name: str) -> None:
    assert not is_name(name)
