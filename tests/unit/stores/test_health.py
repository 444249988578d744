"""What is said of a store, and when."""

import asyncio
from typing import Any

import pytest

from keyturn.core.keys import SECRET_STORE, StoreKey
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
from tests.unit.stores.fake_stores import FakeStores, cluster_ref, now, ref
from tests.unit.stores.fast_clock import run_in_no_time

LOGIN: dict[str, Any] = {"login": {"name": "login", "key": "token"}}


async def test_a_new_store_is_checked_and_reported(fake: FakeStores) -> None:
    key = fake.store()
    assert fake.reason(key) is None

    await fake.until(lambda: fake.turned == [key])

    assert fake.reason(key) == "Valid"
    assert fake.server.count("check") == 1
    await asyncio.sleep(86400)
    assert fake.server.count("check") == 1
    assert fake.turned == [key]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unauthorized("Status401"), "AuthenticationFailed"),
        (Refused("InsideAddress", "allow it"), "InvalidSettings"),
        (Unreachable("Timeout"), "Unreachable"),
        (Unreachable("Timeout", host="vault.example.com"), "Unreachable"),
        (Unreachable("ClientConnectorDNSError", host="vault.example.com"), "Unreachable"),
        (Unreachable("HostNotFound", host="vault.exmaple.com"), "HostNotFound"),
        (Unreachable("NoAddress"), "Unreachable"),
        (Unreachable("ClientConnectorCertificateError", host="vault.example.com"), "CertificateInvalid"),
        (Throttled("Status429", retry_after=60), "Throttled"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
async def test_what_a_check_finds_is_said(error: StoreError, reason: str, fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: error
    fake.stores.health(key)

    await fake.until(lambda: fake.turned == [key], 30)

    health = fake.stores.health(key)
    assert health
    assert (health.is_ready, health.reason) == (False, reason)


async def test_a_store_that_lets_us_do_nothing_is_there_all_the_same(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Denied("Status403")
    assert isinstance(await fake.refusal(), Denied)
    assert fake.reason(key) == "Valid"


async def test_a_login_that_comes_later_is_seen_within_seconds(fake: FakeStores) -> None:
    key = fake.store(**LOGIN)
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "LoginNotFound")
    await asyncio.sleep(600)

    fake.secret("login", token="x")  # noqa: S106
    came = now()
    await fake.until(lambda: fake.reason(key) == "Valid")

    assert now() - came <= 15.1
    assert fake.recovered == [key]


async def test_a_login_that_is_refused_is_tried_again_in_five_minutes_or_when_it_changes(
    fake: FakeStores,
) -> None:
    key = fake.store(**LOGIN)
    fake.secret("login", token="wrong")  # noqa: S106
    fake.server.knows = "right"
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "AuthenticationFailed")

    await asyncio.sleep(1500)
    assert 4 <= fake.server.count("check") <= 6
    fake.secret("login", token="right")  # noqa: S106
    came = now()
    await fake.until(lambda: fake.reason(key) == "Valid")

    assert now() - came <= 15.1
    assert fake.recovered == [key]


async def test_an_account_that_comes_later_is_seen_within_seconds(fake: FakeStores) -> None:
    key = fake.store(account="app")
    fake.api.accounts = set()
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "AuthenticationFailed")
    await asyncio.sleep(600)
    assert fake.server.asked == []

    fake.api.accounts = None
    came = now()
    await fake.until(lambda: fake.reason(key) == "Valid")

    assert now() - came <= 15.1


async def test_settings_that_cannot_be_followed_are_tried_again_in_five_minutes(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Refused("InsideAddress")
    fake.stores.health(key)
    await asyncio.sleep(1510)
    assert 5 <= fake.server.count("check") <= 7


async def test_what_works_is_said_to_work_whatever_a_check_found(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda number: Refused("Odd") if number == 1 else None
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "InvalidSettings")

    await fake.read()

    assert fake.reason(key) == "Valid"


async def test_a_key_that_is_refused_is_no_trouble_of_the_store(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Refused("InvalidKey")
    for _ in range(10):
        await fake.refusal()
    fake.server.mood = lambda _: None
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "Valid")


async def test_a_silent_store_is_reported_once_whatever_its_silence_is_called(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda number: Unreachable("Timeout" if number % 2 else "Status503")
    fake.stores.health(key)
    await asyncio.sleep(3600)
    assert fake.turned == [key]
    assert fake.reason(key) == "Unreachable"


async def test_a_store_that_throttles_for_long_is_reported_and_reported_again_when_it_does_not(
    fake: FakeStores,
) -> None:
    key = fake.store()
    await fake.read()
    fake.server.mood = lambda _: Throttled("Status429", retry_after=60)
    await fake.refusal("cache")
    assert fake.reason(key) == "Throttled"

    fake.server.mood = lambda _: None
    await fake.until(lambda: fake.reason(key) == "Valid")

    assert fake.turned == [key] * 3


async def test_a_hung_check_blocks_no_other(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.delay = 3600
    began = now()
    fake.stores.health(key)
    assert now() == began
    await fake.until(lambda: fake.reason(key) == "Unreachable", 60)


async def test_a_store_with_a_door_for_each_namespace_is_not_checked_before_its_first_use(
    fake: FakeStores,
) -> None:
    key = fake.cluster_store(account="app")
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "Valid")
    assert fake.server.asked == []
    health = fake.stores.health(key)
    assert health
    assert health.message.startswith("the settings are valid; each namespace has its own credentials")


async def test_a_store_with_a_door_for_each_namespace_is_found_away_and_back_through_the_last_one(
    fake: FakeStores,
) -> None:
    key = fake.cluster_store(account="app")
    fake.server.mood = lambda _: Unreachable("Timeout")
    for _ in range(5):
        await fake.refusal("db", cluster_ref())
    await fake.until(lambda: fake.reason(key) == "Unreachable")

    fake.server.mood = lambda _: None
    await fake.until(lambda: fake.recovered == [key])

    assert fake.reason(key) == "Valid"


async def test_settings_that_this_version_does_not_know_are_said_to_be_unknown(fake: FakeStores) -> None:
    key = fake.store(provider="of-tomorrow")
    health = fake.stores.health(key)
    assert health
    assert (health.reason, health.is_ready) == ("InvalidSettings", False)
    assert "this version knows no provider 'of-tomorrow'; write one of awsParameterStore, " in health.message


async def test_settings_that_contradict_each_other_are_named_without_a_word_of_them(fake: FakeStores) -> None:
    key = fake.store(provider="vault", server="https://vault.shop.test/canary?x")
    health = fake.stores.health(key)
    assert health
    assert health.reason == "InvalidSettings"
    assert "spec.provider.vault.server: write the address of the server without a path" in health.message
    assert "canary" not in health.message


async def test_of_a_store_that_cannot_be_read_or_is_gone_nothing_is_said(fake: FakeStores) -> None:
    key = fake.store(provider="vault", interval="often")
    assert fake.stores.health(key) is None
    assert fake.stores.health(StoreKey(SECRET_STORE, "shop", "gone")) is None


async def test_a_store_has_another_name_with_each_spec(fake: FakeStores) -> None:
    assert fake.stores.identity(ref(), "shop") is None
    fake.store()
    first = fake.stores.identity(ref(), "shop")
    fake.store()
    assert first
    assert fake.stores.identity(ref(), "shop") not in {None, first}
    assert fake.stores.identity(ref(), "office") is None


async def test_the_secrets_of_each_namespace_are_read_by_their_names_alone(fake: FakeStores) -> None:
    fake.cluster_store("here", provider="kubernetes", prefix="team-")
    fake.secret("team-db", key="text")

    refused = await fake.refusal("db", cluster_ref("here"))

    assert str(refused).endswith(
        "it reads each namespace's own Secrets, by their names alone; remove keyPrefix"
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
    for moment in (0.0, 10.0, 20.0):
        breaker.record_result(Throttled("x", retry_after=1), moment)
        states.append(breaker.is_throttled)
    assert states == [False, False, True]
    breaker.record_result(None, 30.0)
    assert not breaker.is_throttled


def test_a_long_wish_is_a_state_at_once() -> None:
    assert heard(Throttled("x", retry_after=31)).is_throttled
    assert not heard(Throttled("x", retry_after=30)).is_throttled


run_in_no_time(globals())
