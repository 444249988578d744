"""The checker on evidence that is made for it: a rotation without a defect, then each rule violated alone."""

from dataclasses import replace

import pytest

from tests.databases.checker import Rule, judge
from tests.databases.evidence import (
    Answer,
    Attempt,
    Change,
    Entry,
    Evidence,
    Pair,
    Publication,
    Record,
    Restart,
    Roles,
    Run,
)

A1, B2, A3 = Pair("app_a", "one"), Pair("app_b", "two"), Pair("app_a", "three")


def _record(at: float, current: int, *phases: tuple[int, Pair, str]) -> Record:
    return Record(
        at, current, tuple(Entry(number, pair.login, phase, pair.digest) for number, pair, phase in phases)
    )


def _closed(number: int, pair: Pair) -> tuple[int, Pair, str]:
    return number, Pair(pair.login, ""), "Closed"


def _change(at: float, login: str, before: Pair | None, after: Pair | None) -> Change:
    return Change(at - 0.01, at, at + 0.01, login, before, after)


def _foreign(at: float, login: str, before: Pair | None, after: Pair | None) -> Change:
    return replace(_change(at, login, before, after), is_foreign=True)


def _attempt(at: float, pair: Pair, answer: Answer = Answer.ACCEPTED) -> Attempt:
    return Attempt(pair, at, at + 0.1, answer)


WHOLE = Evidence(
    attempts=[_attempt(5, A1), _attempt(15, A1), _attempt(15.5, B2), _attempt(40, A1, Answer.REFUSED)],
    records=[
        _record(0, 0, (1, A1, "Staged")),
        _record(2, 0, (1, A1, "Applied")),
        _record(3, 1, (1, A1, "Proven")),
        _record(10, 1, (1, A1, "Proven"), (2, B2, "Staged")),
        _record(12, 1, (1, A1, "Proven"), (2, B2, "Applied")),
        _record(13, 2, (1, A1, "Proven"), (2, B2, "Proven")),
        _record(30, 2, (1, A1, "Closing"), (2, B2, "Proven")),
        _record(35, 2, _closed(1, A1), (2, B2, "Proven")),
    ],
    publications=[Publication(4, 4.1, A1), Publication(14, 14.1, B2)],
    runs=[Run("old", A1, 4.5, 20), Run("new", B2, 20)],
    restarts=[Restart("web", 16)],
    changes=[
        _change(1, "app_a", None, A1),
        _change(11, "app_b", None, B2),
        _change(11, "app_a", A1, A1),
        _change(31, "app_a", A1, None),
    ],
    roles=[Roles(5, frozenset({A1})), Roles(15, frozenset({A1, B2})), Roles(32, frozenset({B2}))],
    proofs=[(2.5, "app_a"), (12.5, "app_b")],
)


def _with_record(at: float, record: Record) -> Evidence:
    return replace(
        WHOLE,
        records=sorted([*(one for one in WHOLE.records if one.at != at), record], key=lambda one: one.at),
    )


def _without(kind: str, place: int) -> Evidence:
    kept = list(getattr(WHOLE, kind))
    del kept[place]
    return replace(WHOLE, **{kind: kept})


def _and(kind: str, *more: object) -> Evidence:
    return replace(WHOLE, **{kind: [*getattr(WHOLE, kind), *more]})


OTHER = Pair("app_b", "of another administrator")
REPAIRED = replace(
    WHOLE,
    attempts=[*WHOLE.attempts, _attempt(43, B2, Answer.REFUSED), _attempt(45, B2)],
    changes=[*WHOLE.changes, _foreign(42, "app_b", B2, OTHER), _change(44, "app_b", OTHER, B2)],
    roles=[*WHOLE.roles, Roles(43, frozenset({OTHER}))],
)
"""Another administrator has changed the published password, and the operator has set it again."""

CASES = {
    "the published login is refused": (
        Rule.PUBLISHED_WORKS,
        _and("attempts", _attempt(15, B2, Answer.REFUSED)),
    ),
    "the published login is refused after its repair": (
        Rule.PUBLISHED_WORKS,
        replace(REPAIRED, attempts=[*REPAIRED.attempts, _attempt(46, B2, Answer.REFUSED)]),
    ),
    "the published login is closed between two logins": (
        Rule.PUBLISHED_WORKS,
        _and("changes", _change(42, "app_b", B2, None)),
    ),
    "the login of a running pod is closed between two logins": (
        Rule.RUNNING_WORKS,
        replace(WHOLE, runs=[Run("old", A1, 4.5, 33)]),
    ),
    "the login of a running pod is refused": (
        Rule.RUNNING_WORKS,
        _and("attempts", _attempt(18, A1, Answer.REFUSED)),
    ),
    "an open value is recorded nowhere": (Rule.NEVER_LOST, _and("changes", _change(40, "app_a", None, A3))),
    "the record drops the value of an open login": (
        Rule.NEVER_LOST,
        _with_record(30, _record(30, 2, (1, Pair("app_a", ""), "Closing"), (2, B2, "Proven"))),
    ),
    "the record has not the published value": (
        Rule.NEVER_LOST,
        _and("publications", Publication(40, 40.1, A1)),
    ),
    "three logins are open": (
        Rule.AT_MOST_TWO_OPEN,
        _and("changes", _change(12, "app_c", None, Pair("app_c", "x"))),
    ),
    "three credentials are recorded as not closed": (
        Rule.AT_MOST_TWO_OPEN,
        _with_record(30, _record(30, 2, (1, A1, "Closing"), (2, B2, "Proven"), (3, A3, "Staged"))),
    ),
    "a closed login is accepted": (Rule.REVOKED_IS_REFUSED, _and("attempts", _attempt(45, A1))),
    "no login proves that it is closed": (Rule.REVOKED_IS_REFUSED, _without("attempts", 3)),
    "a closed login keeps its password": (
        Rule.REVOKED_IS_REFUSED,
        _and("changes", replace(_change(41, "app_a", None, None), is_half=True)),
    ),
    "a revision has two values": (
        Rule.ONE_CANDIDATE,
        _with_record(10, _record(10, 1, (1, A1, "Proven"), (2, Pair("app_b", "first"), "Staged"))),
    ),
    "a workload restarts twice": (Rule.ONE_RESTART, _and("restarts", Restart("web", 17))),
    "a login is opened before it is recorded": (
        Rule.RECORDED_BEFORE_CHANGED,
        _with_record(10, _record(11.5, 1, (1, A1, "Proven"), (2, B2, "Staged"))),
    ),
    "a login is closed before that is recorded": (
        Rule.RECORDED_BEFORE_CHANGED,
        _with_record(30, _record(32, 2, (1, A1, "Closing"), (2, B2, "Proven"))),
    ),
    "a credential is published and recorded as applied": (
        Rule.PROVEN_BEFORE_PUBLISHED,
        _with_record(13, _record(14.5, 2, (1, A1, "Proven"), (2, B2, "Proven"))),
    ),
    "a credential is published without a login": (Rule.PROVEN_BEFORE_PUBLISHED, _without("proofs", 1)),
    "a login is closed that a pod uses": (
        Rule.RESTARTED_BEFORE_REVOKED,
        replace(WHOLE, runs=[Run("old", A1, 4.5, 33), Run("new", B2, 20)]),
    ),
    "a stale value is set": (
        Rule.NOTHING_BY_THE_FENCED,
        _and("changes", _change(42, "app_b", B2, Pair("app_b", "x"))),
    ),
    "a login is closed that each record opens": (
        Rule.NOTHING_BY_THE_FENCED,
        _and("changes", _change(42, "app_b", B2, None)),
    ),
    "a value stands in a log": (
        Rule.NO_VALUE_ELSEWHERE,
        replace(WHOLE, leaks=["the value in the server's log"]),
    ),
    "a credential is open without a statement": (
        Rule.EXPLAINED,
        _and("roles", Roles(40, frozenset({B2, Pair("app_a", "unknown")}))),
    ),
}


def test_a_rotation_without_a_defect_violates_nothing() -> None:
    assert judge(WHOLE) == []


@pytest.mark.parametrize(("rule", "evidence"), CASES.values(), ids=CASES)
def test_the_checker_finds(rule: Rule, evidence: Evidence) -> None:
    assert rule in {one.rule for one in judge(evidence)}


def test_each_rule_is_violated_by_a_case() -> None:
    assert {rule for rule, _ in CASES.values()} == set(Rule)


def test_a_change_of_another_administrator_is_no_violation_of_the_operator() -> None:
    assert judge(REPAIRED) == []


def test_a_password_that_was_there_is_the_operators_from_its_first_record_on() -> None:
    found = _foreign(-9, "app_a", None, A1)
    adopted = replace(WHOLE, changes=[found, *WHOLE.changes[1:]])
    dropped = _record(30, 2, (1, Pair("app_a", ""), "Closing"), (2, B2, "Proven"))
    records = [dropped if one.at == dropped.at else one for one in adopted.records]

    assert judge(adopted) == []
    assert Rule.NEVER_LOST in {one.rule for one in judge(replace(adopted, records=records))}


def test_an_account_of_which_nothing_is_known_violates_nothing() -> None:
    assert judge(Evidence()) == []


def test_a_rule_is_left_out_by_its_name() -> None:
    _, evidence = CASES["the login of a running pod is refused"]

    assert judge(evidence, without=frozenset({Rule.RUNNING_WORKS})) == []


def test_a_login_that_got_no_answer_says_nothing() -> None:
    assert judge(_and("attempts", _attempt(15, B2, Answer.UNKNOWN))) == []
