"""Which rules of the checklist a managed secret breaks, and how the points of the checklist follow from that."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.api.status import MOST_VIOLATIONS, ManagedSecretStatus, PolicyStatus, PolicyViolation
from keyturn.core.policy.checklist import (
    GRACE,
    POINTS,
    ChecklistFacts,
    ChecklistTotals,
    Finding,
    Point,
    Verdict,
    findings_of,
    in_order,
    judge_all,
    policy_of,
    reported_twins,
    reported_violations,
)
from keyturn.core.policy.rules import RULES, Violation
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Rest
from tests.support.cases import case, cases
from tests.unit.core.builders import NOW, minutes, observed, revision, seconds, state, target

LATE = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
EVERYTHING = ChecklistFacts(
    weak=frozenset({"api-key"}),
    shared=frozenset({"token", "pin"}),
    unscheduled=frozenset({"token"}),
    unapplied=frozenset({"db-password"}),
    is_overdue=True,
    kept_since=LATE,
)


def test_every_broken_rule_is_named_with_the_value_that_breaks_it() -> None:
    assert [(one.rule, one.item) for one in findings_of(EVERYTHING)] == [
        ("weakValue", None),
        ("sharedValue", "pin"),
        ("sharedValue", "token"),
        ("noSchedule", None),
        ("notApplied", None),
        ("overdue", None),
        ("notRevoked", None),
    ]


def test_without_signs_nothing_is_broken() -> None:
    assert findings_of(ChecklistFacts()) == ()


def test_a_finding_about_several_items_is_a_sentence_as_one_about_one() -> None:
    one, both = frozenset({"pin"}), frozenset({"pin", "token"})
    alone, several = (findings_of(ChecklistFacts(weak=names, unscheduled=names)) for names in (one, both))
    assert [found.message.partition(":")[0].partition(";")[0] for found in (*alone, *several)] == [
        "pin looks weak",
        "pin has no rotation schedule",
        "pin, token look weak",
        "pin, token have no rotation schedule",
    ]


def test_of_thousands_of_weak_keys_some_are_named() -> None:
    (found,) = findings_of(ChecklistFacts(weak=frozenset(f"key-{number:04}" for number in range(3000))))

    assert [f"key-{number:04}" in found.message for number in (0, 9, 10)] == [True, True, False]
    assert "2990" in found.message


def test_none_of_them_keeps_anything_from_being_written() -> None:
    assert isinstance(next_step(replace(observed(), checklist_facts=EVERYTHING)), Rest)


def test_every_rule_belongs_to_a_point() -> None:
    assert POINTS.keys() == {*RULES, *(one.rule for one in findings_of(EVERYTHING))}


# The status


def test_the_status_has_each_broken_rule_with_its_value() -> None:
    broken = (Violation("minLength", "in any words", item="pin"), *findings_of(EVERYTHING))
    policy = policy_of(broken)

    assert policy
    assert [(one.rule, one.item) for one in policy.violations] == [
        ("minLength", "pin"),
        ("weakValue", None),
        ("sharedValue", "pin"),
        ("sharedValue", "token"),
        ("noSchedule", None),
        ("notApplied", None),
        ("overdue", None),
        ("notRevoked", None),
    ]
    assert [one.message for one in policy.violations] == [one.message for one in broken]


def test_where_no_rule_is_broken_the_status_has_none() -> None:
    assert policy_of(()) is None


def test_a_status_takes_so_many_rules_and_no_more() -> None:
    policy = policy_of(Violation("minLength", "short") for _ in range(MOST_VIOLATIONS + 1))

    assert policy
    assert len(policy.violations) == MOST_VIOLATIONS
    assert PolicyStatus.model_validate(policy.model_dump()) == policy


def test_a_rule_that_this_version_does_not_know_is_left_out() -> None:
    status = ManagedSecretStatus(
        policy=PolicyStatus(
            violations=[
                PolicyViolation(rule='x"} 1\n', item="a", message=""),
                PolicyViolation(rule="ofALaterVersion", message="new"),
                PolicyViolation(rule="overdue", message=""),
            ]
        )
    )

    assert [one.rule for one in reported_violations(status)] == ["overdue"]


def test_twins_are_the_values_of_the_rules_about_environments() -> None:
    rules = ("sharedValue", "distinctAcrossEnvironments", "minLength")
    told = [PolicyViolation(rule=rule, item=f"of {rule}", message="") for rule in rules]
    without = PolicyViolation(rule="sharedValue", message="token has the same value")
    status = ManagedSecretStatus(policy=PolicyStatus(violations=[*told, without]))

    assert reported_twins(status) == {"of sharedValue", "of distinctAcrossEnvironments"}


def test_a_status_without_broken_rules_reports_none() -> None:
    assert reported_violations(ManagedSecretStatus()) == ()
    assert reported_twins(ManagedSecretStatus(policy=PolicyStatus())) == frozenset()


# How the points stand

WELL = {
    Point.STRENGTH: Verdict.PASS,
    Point.ENVIRONMENTS: Verdict.PASS,
    Point.SCHEDULE: Verdict.UNKNOWN,
    Point.REVOCATION: Verdict.PASS,
}
SECRETS = ChecklistTotals(count=2, has_environments=True)


@pytest.mark.parametrize(
    ("every", "change"),
    [
        case("nothing is broken", SECRETS, {}),
        case(
            "one environment", replace(SECRETS, has_environments=False), {Point.ENVIRONMENTS: Verdict.UNKNOWN}
        ),
        case(
            "a workload needs an old value",
            replace(SECRETS, keeps_old=True),
            {Point.REVOCATION: Verdict.UNKNOWN},
        ),
        case("one is not judged", replace(SECRETS, has_unjudged=True), dict.fromkeys(WELL, Verdict.UNKNOWN)),
        case("there is no ManagedSecret", ChecklistTotals(), dict.fromkeys(WELL, Verdict.NOT_APPLICABLE)),
        *(
            case(
                rule,
                replace(SECRETS, violated=frozenset({rule}), keeps_old=True),
                {Point.REVOCATION: Verdict.UNKNOWN, point: Verdict.FAIL},
            )
            for rule, point in POINTS.items()
        ),
    ],
)
def test_each_point_follows_from_what_is_broken(every: ChecklistTotals, change: dict[Point, Verdict]) -> None:
    assert judge_all(every) == WELL | change


def test_a_broken_rule_fails_its_point_also_if_another_object_is_not_judged() -> None:
    every = replace(SECRETS, violated=frozenset({"weakValue"}), has_unjudged=True)

    assert judge_all(every) == dict.fromkeys(WELL, Verdict.UNKNOWN) | {Point.STRENGTH: Verdict.FAIL}


# A suspended one wakes up once, to tell of an overlap that nobody may end


def overlapping(ends: datetime | None) -> object:
    newest = revision(2, "Triggered", made=NOW - minutes(1))
    newest = replace(newest, previous=frozenset({"password.previous"}), valid_until=ends)
    held = state(newest, revision(), rotated=NOW - minutes(1))
    return next_step(observed({"suspend": True}, state=held, target=target(2, overlapping=True)))


@cases(
    ("ends", "until"),
    case("it lasts", NOW + seconds(30), NOW + seconds(90)),
    case("it is just over", NOW - seconds(59), NOW + seconds(1)),
    case("it was told", NOW - timedelta(hours=1), None),
    case("nobody knows when it ends", None, None),
)
def test_a_suspended_one_looks_when_its_overlap_counts_as_missed(
    ends: datetime | None, until: datetime | None
) -> None:
    assert timedelta(seconds=60) == GRACE
    assert overlapping(ends) == Rest(until)


def test_findings_come_by_their_points_and_the_worst_first() -> None:
    unknown = Finding(Point.AT_REST, Verdict.UNKNOWN, "not asked")
    failed = Finding(Point.AT_REST, Verdict.FAIL, "plain", where="b")
    other = Finding(Point.AT_REST, Verdict.FAIL, "plain", where="a")
    strong = Finding(Point.STRENGTH, Verdict.PASS, "strong")

    report = in_order([unknown, failed, other, strong])

    assert report.findings == (strong, other, failed, unknown)
    assert report.verdicts == {Point.STRENGTH: Verdict.PASS, Point.AT_REST: Verdict.FAIL}
    assert report.has(Verdict.UNKNOWN)
    assert not report.has(Verdict.NOT_APPLICABLE)


def test_a_point_has_its_number_and_its_sentence() -> None:
    assert [point.number for point in Point] == list(range(1, 9))
    assert Point.AT_REST.asks == "Secrets are encrypted at rest"


def test_points_are_counted_by_their_verdicts() -> None:
    report = in_order(
        [
            Finding(Point.AT_REST, Verdict.FAIL, "plain"),
            Finding(Point.AT_REST, Verdict.PASS, "encrypted"),
            Finding(Point.STRENGTH, Verdict.PASS, "strong"),
        ]
    )

    assert report.counts == {Verdict.FAIL: 1, Verdict.UNKNOWN: 0, Verdict.PASS: 1, Verdict.NOT_APPLICABLE: 0}
