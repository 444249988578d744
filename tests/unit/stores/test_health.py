"""What is said of a store, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.keys import SECRET_STORE, StoreKey
from keyturn.stores.providers.errors import Denied, Refused, StoreError, Throttled, Unauthorized, Unreachable
from tests.unit.stores.fake_stores import cluster_ref, now, ref
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from tests.unit.stores.fake_stores import FakeStores

LOGIN: dict[str, Any] = {"login": {"name": "login", "key": "token"}}


@in_no_time
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
    ("error", "reason", "message"),
    [
        (
            Unauthorized("Status401"),
            "AuthenticationFailed",
            "authentication failed (Status401)",
        ),
        (
            Refused("InsideAddress", "allow it"),
            "InvalidSettings",
            "the settings of the store are invalid (InsideAddress): allow it",
        ),
        (Unreachable("Timeout"), "Unreachable", "the store does not answer (Timeout)"),
        (
            Unreachable("Timeout", host="vault.example.com"),
            "Unreachable",
            "Timeout: no answer from vault.example.com",
        ),
        (
            Unreachable("ClientConnectorDNSError", host="vault.example.com"),
            "Unreachable",
            "cannot resolve vault.example.com; check the host or the region in the spec",
        ),
        (
            Unreachable("HostNotFound", host="vault.exmaple.com"),
            "HostNotFound",
            "DNS has no address of vault.exmaple.com; correct the host or the region in the spec",
        ),
        (
            Unreachable("NoAddress"),
            "Unreachable",
            "cannot resolve its host; check the host or the region in the spec",
        ),
        (
            Unreachable("ClientConnectorCertificateError", host="vault.example.com"),
            "CertificateInvalid",
            ("the TLS certificate of vault.example.com is not trusted; set caRef to a ConfigMap with its CA"),
        ),
        (
            Throttled("Status429", retry_after=60),
            "Throttled",
            "the store throttles requests (Status429)",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
@in_no_time
async def test_what_a_check_finds_is_said(
    error: StoreError, reason: str, message: str, fake: FakeStores
) -> None:
    key = fake.store()
    fake.server.mood = lambda _: error
    fake.stores.health(key)

    await fake.until(lambda: fake.turned == [key], 30)

    health = fake.stores.health(key)
    assert health
    assert (health.is_ready, health.reason, health.message) == (False, reason, message)


@in_no_time
async def test_a_store_that_lets_us_do_nothing_is_there_all_the_same(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Denied("Status403")
    assert isinstance(await fake.refusal(), Denied)
    assert fake.reason(key) == "Valid"


@in_no_time
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


@in_no_time
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


@in_no_time
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


@in_no_time
async def test_settings_that_cannot_be_followed_are_tried_again_in_five_minutes(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Refused("InsideAddress")
    fake.stores.health(key)
    await asyncio.sleep(1510)
    assert 5 <= fake.server.count("check") <= 7


@in_no_time
async def test_what_works_is_said_to_work_whatever_a_check_found(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.values["db"] = "hunter2"
    fake.server.mood = lambda number: Refused("Odd") if number == 1 else None
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "InvalidSettings")

    await fake.read()

    assert fake.reason(key) == "Valid"


@in_no_time
async def test_a_key_that_is_refused_is_no_trouble_of_the_store(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Refused("InvalidKey")
    for _ in range(10):
        await fake.refusal()
    fake.server.mood = lambda _: None
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "Valid")


@in_no_time
async def test_a_silent_store_is_reported_once_whatever_its_silence_is_called(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda number: Unreachable("Timeout" if number % 2 else "Status503")
    fake.stores.health(key)
    await asyncio.sleep(3600)
    assert fake.turned == [key]
    assert fake.reason(key) == "Unreachable"


@in_no_time
async def test_a_store_that_throttles_for_long_is_reported_and_reported_again_when_it_does_not(
    fake: FakeStores,
) -> None:
    key = fake.store()
    fake.server.values["db"] = "hunter2"
    await fake.read()
    fake.server.mood = lambda _: Throttled("Status429", retry_after=60)
    await fake.refusal("cache")
    assert fake.reason(key) == "Throttled"

    fake.server.mood = lambda _: None
    await fake.until(lambda: fake.reason(key) == "Valid")

    assert fake.turned == [key] * 3


@in_no_time
async def test_a_hung_check_blocks_no_other(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.delay = 3600
    began = now()
    fake.stores.health(key)
    assert now() == began
    await fake.until(lambda: fake.reason(key) == "Unreachable", 60)


@in_no_time
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


@in_no_time
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


@in_no_time
async def test_settings_that_this_version_does_not_know_are_said_to_be_unknown(fake: FakeStores) -> None:
    key = fake.store(provider="of-tomorrow")
    health = fake.stores.health(key)
    assert health
    assert (health.reason, health.is_ready) == ("InvalidSettings", False)
    assert "this version knows no provider 'of-tomorrow'; write one of awsParameterStore, " in health.message


@in_no_time
async def test_settings_that_contradict_each_other_are_named_without_a_word_of_them(fake: FakeStores) -> None:
    key = fake.store(provider="vault", server="https://vault.shop.test/canary?x")
    health = fake.stores.health(key)
    assert health
    assert health.reason == "InvalidSettings"
    assert "spec.provider.vault.server: write the address of the server without a path" in health.message
    assert "canary" not in health.message


@in_no_time
async def test_of_a_store_that_cannot_be_read_or_is_gone_nothing_is_said(fake: FakeStores) -> None:
    key = fake.store(provider="vault", interval="often")
    assert fake.stores.health(key) is None
    assert fake.stores.health(StoreKey(SECRET_STORE, "shop", "gone")) is None


@in_no_time
async def test_a_store_has_another_name_with_each_spec(fake: FakeStores) -> None:
    assert fake.stores.identity(ref(), "shop") is None
    fake.store()
    first = fake.stores.identity(ref(), "shop")
    fake.store()
    assert first
    assert fake.stores.identity(ref(), "shop") not in {None, first}
    assert fake.stores.identity(ref(), "office") is None


@in_no_time
async def test_the_secrets_of_each_namespace_are_read_by_their_names_alone(fake: FakeStores) -> None:
    fake.cluster_store("here", provider="kubernetes", prefix="team-")
    fake.secret("team-db", key="text")

    refused = await fake.refusal("db", cluster_ref("here"))

    assert str(refused).endswith(
        "it reads each namespace's own Secrets, by their names alone; remove keyPrefix"
    )
