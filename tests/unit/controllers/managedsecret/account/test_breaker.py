"""How many attempts a database server without an answer gets, and who is woken when it answers."""

from __future__ import annotations

import pytest

from keyturn.controllers.managedsecret.account.breaker import ServerBreaker
from keyturn.core.keys import ObjectKey
from tests.unit.core.builders import NOW, minutes, seconds

TARGET = "orders"
OBJECTS = [ObjectKey("shop", f"db-{number}") for number in range(1000)]


@pytest.fixture
def breaker() -> ServerBreaker:
    return ServerBreaker()


def down(breaker: ServerBreaker, target: str = TARGET) -> ServerBreaker:
    for _ in range(3):
        breaker.fail(target, NOW)
    return breaker


def test_two_failures_stop_no_operation(breaker: ServerBreaker) -> None:
    breaker.fail(TARGET, NOW)
    breaker.fail(TARGET, NOW)

    assert breaker.admit(TARGET, OBJECTS[0], NOW) is None


def test_a_server_that_is_down_is_not_asked_before_the_pause_is_over(breaker: ServerBreaker) -> None:
    down(breaker)

    assert breaker.admit(TARGET, OBJECTS[0], NOW + seconds(4)) is not None
    assert breaker.admit(TARGET, OBJECTS[0], NOW + seconds(5)) is None


def test_one_of_a_thousand_objects_asks_a_server_that_is_down(breaker: ServerBreaker) -> None:
    down(breaker)
    later = NOW + seconds(6)

    admitted = [key for key in OBJECTS if breaker.admit(TARGET, key, later) is None]

    assert admitted == OBJECTS[:1]


def test_the_pause_doubles_up_to_two_minutes(breaker: ServerBreaker) -> None:
    now, pauses = NOW, []
    down(breaker)
    for _ in range(7):
        moments = (now + seconds(count) for count in range(600))
        then = next(when for when in moments if breaker.admit(TARGET, OBJECTS[0], when) is None)
        pauses.append((then - now).total_seconds())
        now = then
        breaker.fail(TARGET, now)

    assert pauses == [5, 10, 20, 40, 80, 120, 120]


def test_objects_that_were_not_admitted_are_woken_once_by_the_first_answer(breaker: ServerBreaker) -> None:
    down(breaker)
    for key in OBJECTS[:3]:
        breaker.admit(TARGET, key, NOW + seconds(1))
    breaker.forget(OBJECTS[2])

    assert breaker.succeed(TARGET) == frozenset(OBJECTS[:2])
    assert breaker.succeed(TARGET) == frozenset()
    assert breaker.admit(TARGET, OBJECTS[0], NOW) is None


def test_an_object_that_was_not_admitted_asks_again_though_no_answer_wakes_it(breaker: ServerBreaker) -> None:
    assert down(breaker).admit(TARGET, OBJECTS[0], NOW) == NOW + minutes(2)


def test_the_failures_of_one_server_say_nothing_about_another(breaker: ServerBreaker) -> None:
    assert down(breaker).admit("billing", OBJECTS[0], NOW) is None


def test_servers_that_were_not_asked_for_an_hour_take_no_memory(breaker: ServerBreaker) -> None:
    down(breaker, "waited for").admit("waited for", OBJECTS[0], NOW)
    for number in range(1100):
        breaker.fail(f"deleted-{number}", NOW)
    assert len(breaker._servers) == 1101

    breaker.fail(TARGET, NOW + minutes(61))

    assert list(breaker._servers) == ["waited for", TARGET]
