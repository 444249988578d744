"""When an access is unusual."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from keyturn.endpoints.audit import baseline as habits
from keyturn.endpoints.audit.access_log import AccessScope
from keyturn.endpoints.audit.baseline import Habits, Unusual
from keyturn.endpoints.audit.event import Access, SubjectKind
from tests.unit.endpoints.audit.audit_events import API, START, at

if TYPE_CHECKING:
    from datetime import datetime

AUTH = AccessScope("shop", "auth")


def known(many: int = 3) -> Habits:
    return Habits(b"k" * 32, learning=timedelta(days=14), many=many)


def read(time: datetime = START, subject: str = API) -> Access:
    return Access(time, "get", subject, SubjectKind.of(subject), "shop", "auth")


def learned(*scopes: AccessScope) -> Habits:
    """Return habits whose time of learning is over."""
    habits = known()
    for scope in scopes:
        habits.judge(scope, read())
    habits.judge(AUTH, read(subject="somebody"))
    return habits


def test_nothing_is_unusual_while_there_is_learning() -> None:
    habits = known()
    assert [habits.judge(AUTH, read(at(days=day), str(day))) for day in range(14)] == [[]] * 14


def test_a_stranger_is_unusual_after_two_weeks_and_known_from_then_on() -> None:
    habits = learned()
    assert habits.judge(AUTH, read(at(days=14))) == [Unusual.FIRST]
    assert habits.judge(AUTH, read(at(days=15))) == []


def test_learning_ends_two_weeks_after_the_first_event() -> None:
    habits = learned()
    assert habits.judge(AUTH, read(at(days=13, hours=23), "late")) == []
    assert habits.judge(AUTH, read(at(days=14, hours=1), "later")) == [Unusual.FIRST]


def test_who_was_learned_is_not_unusual() -> None:
    assert learned(AUTH).judge(AUTH, read(at(days=40))) == []


def test_to_know_one_secret_is_not_to_know_another_or_all() -> None:
    habits = learned(AUTH)
    for scope in (
        AccessScope("shop", "other"),
        AccessScope("bank", "auth"),
        AccessScope("shop", ""),
        AccessScope("", ""),
    ):
        assert habits.judge(scope, read(at(days=20))) == [Unusual.FIRST]


def test_the_third_different_secret_within_five_minutes_is_too_many() -> None:
    found = known_to_read("a", "b", "a", "c", "d", minutes=1)
    assert found == [[], [], [], [Unusual.MANY], []]


def test_the_same_number_over_a_longer_time_is_not_too_many() -> None:
    assert known_to_read("a", "b", "c", "d", "e", minutes=4) == [[]] * 5


def known_to_read(*names: str, minutes: float) -> list[list[Unusual]]:
    """Have one read secrets that it knows, a time apart, long after the learning."""
    habits = known()
    for number, name in enumerate(sorted(set(names))):
        habits.judge(AccessScope("shop", name), read(at(hours=number)))
    return [
        habits.judge(AccessScope("shop", name), read(at(days=30, minutes=minutes * number)))
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    "skews",
    [
        pytest.param((0, -10), id="the second is ten minutes behind"),
        pytest.param((-10, 0), id="the first is ten minutes behind"),
        pytest.param((1, 0), id="the first is as far ahead as it may be"),
    ],
)
def test_different_clocks_of_two_api_servers_hide_no_reader_of_many(skews: tuple[int, int]) -> None:
    habits = known(many=20)
    scopes = [AccessScope("shop", str(number)) for number in range(200)]
    for number, scope in enumerate(scopes):
        habits.judge(scope, read(at(hours=number)))

    times = [at(days=30, minutes=skews[number % 2]) for number in range(200)]
    found = [habits.judge(scope, read(time)) for scope, time in zip(scopes, times, strict=True)]

    assert [one for one in found if one] == [[Unusual.MANY]]


def test_who_reads_many_from_the_beginning_is_expected_to() -> None:
    habits = known()
    for day in (0, 30):
        for name in "abc":
            found = habits.judge(AccessScope("shop", name), read(at(days=day)))
    assert found == []


def test_a_list_counts_as_one_and_not_as_many() -> None:
    habits = learned(*(AccessScope(name, "") for name in "abcd"))
    assert [habits.judge(AccessScope(name, ""), read(at(days=30))) for name in "abcd"] == [[]] * 4


def test_the_eldest_pair_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "MOST_PAIRS", 3)
    these = known(many=100)
    for name in "abcd":
        these.judge(AccessScope("shop", name), read())
    assert len(these.pairs) == 3
    assert these.judge(AccessScope("shop", "d"), read(at(days=20))) == []
    assert these.judge(AccessScope("shop", "a"), read(at(days=20))) == [Unusual.FIRST]


def test_nothing_reports_who_it_is_that_is_known() -> None:
    habits = learned(AUTH)
    assert all(len(tag) == 8 for tag in habits.pairs)
    other = Habits(b"q" * 32, habits.learning, 3)
    other.judge(AUTH, read())
    assert not habits.pairs.keys() & other.pairs.keys()
