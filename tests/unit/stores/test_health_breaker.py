"""When a store may be asked, told as tables of moments."""

from __future__ import annotations

import pytest

from keyturn.stores.health import Breaker, RateLimiter
from keyturn.stores.providers.errors import (
    Conflict,
    Denied,
    NotFound,
    Refused,
    StoreError,
    Throttled,
    Unauthorized,
    Unreachable,
)

AWAY = Unreachable("Timeout")


def heard(*errors: StoreError | None) -> Breaker:
    breaker = Breaker()
    for error in errors:
        breaker.record_result(error, 0.0)
    return breaker


# The rate


@pytest.mark.parametrize("rate", [0.5, 1, 50, 1000])
def test_a_bucket_lets_no_more_pass_than_its_rate_and_a_small_burst(rate: float) -> None:
    bucket, now, passed = RateLimiter(rate), 0.0, 0
    while now < 100:
        now += bucket.take(now)
        passed += now < 100
    assert rate * 100 <= passed <= rate * 100 + max(1, rate * 0.2) + 1


def test_a_bucket_that_was_not_used_for_long_saves_nothing_up() -> None:
    bucket = RateLimiter(10)
    bucket.take(0.0)
    waits = [bucket.take(1000.0) for _ in range(20)]
    assert waits == pytest.approx([0, 0, *(step / 10 for step in range(1, 19))])


def test_a_request_that_costs_more_holds_the_next_one_up_for_longer() -> None:
    bucket = RateLimiter(1)
    assert bucket.take(0.0, 2) == 0
    assert bucket.wait(0.0) == 2


# Silence


def test_five_failures_in_a_row_open_the_breaker() -> None:
    assert not heard(*[AWAY] * 4).is_open
    assert heard(*[AWAY] * 5).is_open


@pytest.mark.parametrize(
    "answer",
    [None, NotFound("x"), Denied("x"), Conflict("x"), Throttled("x")],
    ids=lambda one: type(one).__name__,
)
def test_an_answer_begins_the_count_again(answer: StoreError | None) -> None:
    assert not heard(*[AWAY] * 4, answer, *[AWAY] * 4).is_open
    assert not heard(*[AWAY] * 5, answer).is_open


@pytest.mark.parametrize("own", [Refused("x"), Unauthorized("x")], ids=lambda one: type(one).__name__)
def test_what_may_be_our_own_word_says_nothing_of_the_store(own: StoreError) -> None:
    assert heard(*[AWAY] * 4, own, AWAY).is_open
    assert heard(*[AWAY] * 5, own).is_open


@pytest.mark.parametrize(
    "found", [None, Refused("x"), Unauthorized("x"), Throttled("x")], ids=lambda one: type(one).__name__
)
def test_a_check_that_finds_the_store_there_closes_the_breaker(found: StoreError | None) -> None:
    breaker = heard(*[AWAY] * 5)
    breaker.record_result(found, 1.0, of_check=True)
    assert not breaker.is_open
    assert not breaker.is_down


def test_a_store_is_down_when_a_check_fails_after_the_readers() -> None:
    breaker = heard(*[AWAY] * 5)
    assert not breaker.is_down
    breaker.record_result(AWAY, 1.0, of_check=True)
    assert breaker.is_down


def test_one_request_without_an_answer_makes_a_check_due() -> None:
    assert heard(AWAY).is_doubted
    assert not heard(AWAY, None).is_doubted


def test_a_store_without_a_reader_is_down_after_two_checks() -> None:
    breaker = Breaker()
    states = []
    for _ in range(2):
        breaker.record_result(AWAY, 0.0, of_check=True)
        states.append(breaker.is_down)
    assert states == [False, True]


@pytest.mark.parametrize(
    "code", ["Status500", "Status503", "MalformedAnswer", "ChecksumMismatch", "Internal"]
)
def test_answers_of_trouble_open_nothing_and_have_a_check_find_out(code: str) -> None:
    few, many = heard(*[Unreachable(code)] * 4), heard(*[Unreachable(code)] * 50)
    assert (few.is_open, few.is_doubted) == (False, False)
    assert (many.is_open, many.is_doubted, many.is_down) == (False, True, False)
    many.record_result(None, 1.0, of_check=True)
    assert not many.is_doubted


def test_a_store_whose_checks_are_answered_with_trouble_is_down_and_still_asked() -> None:
    breaker = Breaker()
    for _ in range(2):
        breaker.record_result(Unreachable("Status503"), 0.0, of_check=True)
    assert (breaker.is_down, breaker.is_open) == (True, False)


@pytest.mark.parametrize("code", ["Timeout", "NoAddress", "ClientConnectorError", "Unavailable"])
def test_silence_by_any_name_opens_the_breaker(code: str) -> None:
    assert heard(*[Unreachable(code)] * 5).is_open


# Its own wishes


def test_a_wish_is_followed_to_the_second() -> None:
    breaker = heard(Throttled("x", retry_after=7))
    assert (breaker.quiet(0.0), breaker.quiet(5.0), breaker.quiet(7.0)) == (7, 2, 0)


def test_who_does_not_say_for_how_long_is_left_alone_twice_as_long_each_time() -> None:
    breaker, now, pauses = Breaker(), 0.0, []
    for _ in range(8):
        breaker.record_result(Throttled("x"), now)
        pauses.append(breaker.quiet(now))
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_refusals_of_what_was_asked_before_the_pause_do_not_lengthen_it() -> None:
    assert heard(*[Throttled("x")] * 20).quiet(0.0) == 1


def test_an_absurd_wish_is_followed_for_an_hour() -> None:
    assert heard(Throttled("x", retry_after=86400)).quiet(0.0) == 3600


def test_one_refusal_is_no_state_and_three_in_a_row_are() -> None:
    breaker = Breaker()
    states = []
    for now in (0.0, 10.0, 20.0):
        breaker.record_result(Throttled("x", retry_after=1), now)
        states.append(breaker.is_throttled)
    assert states == [False, False, True]
    breaker.record_result(None, 30.0)
    assert not breaker.is_throttled


def test_a_long_wish_is_a_state_at_once() -> None:
    assert heard(Throttled("x", retry_after=31)).is_throttled
    assert not heard(Throttled("x", retry_after=30)).is_throttled
