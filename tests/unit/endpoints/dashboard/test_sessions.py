"""How long somebody stays logged in, how many may be, and how often a login may be tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.endpoints.dashboard.sessions import LONGEST, Sessions
from keyturn.endpoints.dashboard.throttle import Throttle
from keyturn.kube.callers import Caller

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALICE = Caller("alice")
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("token_ends", "ends"),
    [
        pytest.param(NOW + timedelta(minutes=10), NOW + timedelta(minutes=10), id="with the token"),
        pytest.param(NOW + timedelta(days=1), NOW + LONGEST, id="long before the token"),
        pytest.param(None, NOW + LONGEST, id="the token does not say when it ends"),
    ],
)
def test_a_session_ends(token_ends: datetime | None, ends: datetime) -> None:
    sessions = Sessions()
    key, session = sessions.begin(ALICE, token_ends, NOW)

    assert session.ends == ends
    assert sessions.find(key, ends - SECOND) is session
    assert sessions.find(key, ends) is None


def test_an_ended_session_takes_no_room() -> None:
    sessions = Sessions()
    sessions.begin(ALICE, None, NOW)
    sessions.find("any", NOW + LONGEST)

    assert len(sessions) == 0


def test_the_first_of_too_many_of_one_person_ends() -> None:
    sessions = Sessions()
    keys = [sessions.begin(ALICE, None, NOW)[0] for _ in range(7)]

    assert [sessions.find(key, NOW) is not None for key in keys] == [False] * 2 + [True] * 5


def test_there_are_not_more_than_two_hundred() -> None:
    sessions = Sessions()
    keys = [sessions.begin(Caller(f"user-{number}"), None, NOW)[0] for number in range(201)]

    assert len(sessions) == 200
    assert sessions.find(keys[0], NOW) is None
    assert sessions.find(keys[-1], NOW) is not None


def test_no_two_sessions_are_alike() -> None:
    sessions = Sessions()
    (one, first), (other, second) = (sessions.begin(ALICE, None, NOW) for _ in range(2))

    assert len({one, other, first.proof, second.proof}) == 4
    assert min(len(text) for text in (one, first.proof)) >= 43
    assert first.proof not in repr(first)


# How often


def tried(throttle: Throttle, address: str, times: int, now: float = 0.0) -> list[float]:
    return [throttle.wait(address, now) for _ in range(times)]


def test_an_address_may_try_ten_times_a_minute() -> None:
    throttle = Throttle()

    assert tried(throttle, "192.0.2.1", 10) == [0.0] * 10
    assert throttle.wait("192.0.2.1", 20.0) == 40.0
    assert throttle.wait("192.0.2.2", 20.0) == 0.0
    assert throttle.wait("192.0.2.1", 60.0) == 0.0


def test_all_together_may_try_a_hundred_times() -> None:
    throttle = Throttle()
    for number in range(100):
        assert throttle.wait(f"192.0.2.{number}", 0.0) == 0.0

    assert throttle.wait("198.51.100.1", 1.0) == 59.0


def test_a_good_login_is_no_try() -> None:
    throttle = Throttle()
    for _ in range(50):
        assert throttle.wait("192.0.2.1", 0.0) == 0.0
        throttle.forgive("192.0.2.1")


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("a socket", "another", False),
    ],
)
def test_an_address_is_one_place(first: str, second: str, is_one: bool) -> None:  # noqa: FBT001 - a table's
    throttle = Throttle()
    tried(throttle, first, 10)

    assert (throttle.wait(second, 0.0) > 0) is is_one


def test_it_remembers_a_thousand_addresses_at_most() -> None:
    throttle = Throttle()
    for number in range(3000):
        throttle.wait(f"10.{number // 256}.{number % 256}.1", float(number * 60))

    assert len(throttle._tries) <= 1000
