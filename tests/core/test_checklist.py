"""Which rules of the checklist a managed secret breaks, and how the points of the checklist follow from that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.checklist import GRACE, POINTS, Broken, Signs, broken_in, broken_of, findings_of
from keyturn.core.decision import next_step
from keyturn.core.finding import Point, Verdict
from keyturn.core.policy import RULES, Violation, named, twins_in
from keyturn.core.steps import Rest
from keyturn.core.verdicts import All, judged
from tests.core.builders import NOW, minutes, revision, seconds, seen, state, target

LATE = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
EVERYTHING = Signs(
    weak=frozenset({"api-key"}),
    shared=frozenset({"token", "pin"}),
    unscheduled=frozenset({"token"}),
    is_overdue=True,
    kept_since=LATE,
)


def test_every_broken_rule_is_named_with_what_to_do() -> None:
    assert [(one.rule, one.message) for one in findings_of(EVERYTHING)] == [
        (
            "weakValue",
            (
                "api-key does not reach 32 characters and 128 bits, as far as can be told; replace it where it comes"
                " from, best by one that is generated"
            ),
        ),
        (
            "sharedValue",
            (
                "pin has the same value as in another environment; rotate it, such as by the annotation"
                " keyturn.dev/rotate"
            ),
        ),
        (
            "sharedValue",
            (
                "token has the same value as in another environment; rotate it, such as by the annotation"
                " keyturn.dev/rotate"
            ),
        ),
        ("noSchedule", "nothing says when token rotates; write rotation.every, or a class that does"),
        ("overdue", "a rotation is due and has not begun; see what keyturn status says of it"),
        (
            "notRevoked",
            (
                "the values before should have been taken out of the Secret at 2026-05-01 12:30 UTC; see what keyturn"
                " status says of it"
            ),
        ),
    ]


def test_without_signs_nothing_is_broken() -> None:
    assert findings_of(Signs()) == ()


def test_of_thousands_of_weak_keys_some_are_named() -> None:
    (found,) = findings_of(Signs(weak=frozenset(f"key-{number:04}" for number in range(3000))))

    assert found.message.startswith("key-0000, key-0001, ")
    assert "key-0009 and 2990 more does not reach" in found.message


def test_none_of_them_keeps_anything_from_being_written() -> None:
    assert isinstance(next_step(replace(seen(), signs=EVERYTHING)), Rest)


def test_every_rule_belongs_to_a_point() -> None:
    assert POINTS.keys() == {*RULES, *(one.rule for one in findings_of(EVERYTHING))}


def test_what_is_told_can_be_read_back() -> None:
    told = (Violation("minLength", "pin is short; store a longer one"), *findings_of(EVERYTHING))

    assert broken_in(named(told)) == tuple(Broken(one.rule, one.message) for one in told)
    assert broken_of(named(told)) == tuple(one.rule for one in told)
    assert twins_in(named(told)) == {"token", "pin"}


@pytest.mark.parametrize("text", ["", "every rule of the checklist holds", "x; noRule: y", "perl: overdue"])
def test_other_texts_name_no_rule(text: str) -> None:
    assert broken_in(text) == ()


# How the points stand

WELL = {
    Point.STRENGTH: Verdict.PASS,
    Point.ENVIRONMENTS: Verdict.PASS,
    Point.SCHEDULE: Verdict.UNKNOWN,
    Point.REVOCATION: Verdict.PASS,
}
SECRETS = All(count=2, has_environments=True)


@pytest.mark.parametrize(
    ("every", "change"),
    [
        pytest.param(SECRETS, {}, id="nothing is broken"),
        pytest.param(
            replace(SECRETS, has_environments=False),
            {Point.ENVIRONMENTS: Verdict.UNKNOWN},
            id="one environment",
        ),
        pytest.param(
            replace(SECRETS, keeps_old=True),
            {Point.REVOCATION: Verdict.UNKNOWN},
            id="a workload needs an old value",
        ),
        pytest.param(All(), dict.fromkeys(WELL, Verdict.NOT_APPLICABLE), id="there is no ManagedSecret"),
        *(
            pytest.param(
                replace(SECRETS, broken=frozenset({rule}), keeps_old=True),
                {Point.REVOCATION: Verdict.UNKNOWN, point: Verdict.FAIL},
                id=rule,
            )
            for rule, point in POINTS.items()
        ),
    ],
)
def test_each_point_follows_from_what_is_broken(every: All, change: dict[Point, Verdict]) -> None:
    assert judged(every) == WELL | change


# A suspended one wakes up once, to tell of an overlap that nobody may end


def overlapping(ends: datetime | None) -> object:
    newest = revision(2, "Triggered", made=NOW - minutes(1))
    newest = replace(newest, previous=frozenset({"password.previous"}), valid_until=ends)
    held = state(newest, revision(), rotated=NOW - minutes(1))
    return next_step(seen({"suspend": True}, state=held, target=target(2, overlapping=True)))


@pytest.mark.parametrize(
    ("ends", "until"),
    [
        pytest.param(NOW + seconds(30), NOW + seconds(90), id="it lasts"),
        pytest.param(NOW - seconds(59), NOW + seconds(1), id="it is just over"),
        pytest.param(NOW - timedelta(hours=1), None, id="it was told"),
        pytest.param(None, None, id="nobody knows when it ends"),
    ],
)
def test_a_suspended_one_looks_when_its_overlap_counts_as_missed(
    ends: datetime | None, until: datetime | None
) -> None:
    assert timedelta(seconds=60) == GRACE
    assert overlapping(ends) == Rest(until)
