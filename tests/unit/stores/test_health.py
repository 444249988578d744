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
    from tests.unit.stores.fake_stores import Town

LOGIN: dict[str, Any] = {"login": {"name": "login", "key": "token"}}


@in_no_time
async def test_a_new_store_is_checked_and_told(town: Town) -> None:
    key = town.store()
    assert town.reason(key) is None

    await town.until(lambda: town.turned == [key])

    assert town.reason(key) == "Valid"
    assert town.keeper.count("check") == 1
    await asyncio.sleep(86400)
    assert town.keeper.count("check") == 1
    assert town.turned == [key]


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (
            Unauthorized("Status401"),
            "AuthenticationFailed",
            "the store refuses the login (Status401)",
        ),
        (
            Refused("InsideAddress", "allow it"),
            "InvalidSettings",
            "the settings of the store cannot be used (InsideAddress): allow it",
        ),
        (Unreachable("Timeout"), "Unreachable", "the store does not answer (Timeout)"),
        (
            Unreachable("ClientConnectorDNSError"),
            "Unreachable",
            (
                "the store does not answer (ClientConnectorDNSError): its host name cannot be resolved;"
                " check the host or the region in the spec"
            ),
        ),
        (
            Unreachable("ClientConnectorCertificateError"),
            "Unreachable",
            (
                "the store does not answer (ClientConnectorCertificateError): its TLS certificate is not trusted; set"
                " caRef to a ConfigMap with its CA"
            ),
        ),
        (
            Throttled("Status429", retry_after=60),
            "Throttled",
            "the store asks for fewer requests (Status429)",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
@in_no_time
async def test_what_a_check_finds_is_said(error: StoreError, reason: str, message: str, town: Town) -> None:
    key = town.store()
    town.keeper.mood = lambda _: error
    town.stores.health(key)

    await town.until(lambda: town.turned == [key], 30)

    health = town.stores.health(key)
    assert health
    assert (health.is_ready, health.reason, health.message) == (False, reason, message)


@in_no_time
async def test_a_store_that_lets_us_do_nothing_is_there_all_the_same(town: Town) -> None:
    key = town.store()
    town.keeper.mood = lambda _: Denied("Status403")
    assert isinstance(await town.refusal(), Denied)
    assert town.reason(key) == "Valid"


@in_no_time
async def test_a_login_that_comes_later_is_seen_within_seconds(town: Town) -> None:
    key = town.store(**LOGIN)
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "LoginNotFound")
    await asyncio.sleep(600)

    town.secret("login", token="x")  # noqa: S106
    came = now()
    await town.until(lambda: town.reason(key) == "Valid")

    assert now() - came <= 15.1
    assert town.recovered == [key]


@in_no_time
async def test_a_login_that_is_refused_is_tried_again_in_five_minutes_or_when_it_changes(town: Town) -> None:
    key = town.store(**LOGIN)
    town.secret("login", token="wrong")  # noqa: S106
    town.keeper.knows = "right"
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "AuthenticationFailed")

    await asyncio.sleep(1500)
    assert 4 <= town.keeper.count("check") <= 6
    town.secret("login", token="right")  # noqa: S106
    came = now()
    await town.until(lambda: town.reason(key) == "Valid")

    assert now() - came <= 15.1
    assert town.recovered == [key]


@in_no_time
async def test_an_account_that_comes_later_is_seen_within_seconds(town: Town) -> None:
    key = town.store(account="app")
    town.records.accounts = set()
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "AuthenticationFailed")
    await asyncio.sleep(600)
    assert town.keeper.asked == []

    town.records.accounts = None
    came = now()
    await town.until(lambda: town.reason(key) == "Valid")

    assert now() - came <= 15.1


@in_no_time
async def test_settings_that_cannot_be_followed_are_tried_again_in_five_minutes(town: Town) -> None:
    key = town.store()
    town.keeper.mood = lambda _: Refused("InsideAddress")
    town.stores.health(key)
    await asyncio.sleep(1510)
    assert 5 <= town.keeper.count("check") <= 7


@in_no_time
async def test_what_works_is_said_to_work_whatever_a_check_found(town: Town) -> None:
    key = town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = lambda number: Refused("Odd") if number == 1 else None
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "InvalidSettings")

    await town.read()

    assert town.reason(key) == "Valid"


@in_no_time
async def test_a_key_that_is_refused_is_no_trouble_of_the_store(town: Town) -> None:
    key = town.store()
    town.keeper.mood = lambda _: Refused("InvalidKey")
    for _ in range(10):
        await town.refusal()
    town.keeper.mood = lambda _: None
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "Valid")


@in_no_time
async def test_a_silent_store_is_told_once_whatever_its_silence_is_called(town: Town) -> None:
    key = town.store()
    town.keeper.mood = lambda number: Unreachable("Timeout" if number % 2 else "Status503")
    town.stores.health(key)
    await asyncio.sleep(3600)
    assert town.turned == [key]
    assert town.reason(key) == "Unreachable"


@in_no_time
async def test_a_store_that_throttles_for_long_is_told_and_told_again_when_it_does_not(town: Town) -> None:
    key = town.store()
    town.keeper.values["db"] = "hunter2"
    await town.read()
    town.keeper.mood = lambda _: Throttled("Status429", retry_after=60)
    await town.refusal("cache")
    assert town.reason(key) == "Throttled"

    town.keeper.mood = lambda _: None
    await town.until(lambda: town.reason(key) == "Valid")

    assert town.turned == [key] * 3


@in_no_time
async def test_a_hung_check_holds_nobody_up(town: Town) -> None:
    key = town.store()
    town.keeper.delay = 3600
    began = now()
    town.stores.health(key)
    assert now() == began
    await town.until(lambda: town.reason(key) == "Unreachable", 60)


@in_no_time
async def test_a_store_with_a_door_for_each_namespace_is_not_checked_before_somebody_comes(
    town: Town,
) -> None:
    key = town.cluster_store(account="app")
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "Valid")
    assert town.keeper.asked == []
    health = town.stores.health(key)
    assert health
    assert health.message.startswith("the settings are valid; each namespace has a login of its own")


@in_no_time
async def test_a_store_with_a_door_for_each_namespace_is_found_away_and_back_through_the_last_one(
    town: Town,
) -> None:
    key = town.cluster_store(account="app")
    town.keeper.mood = lambda _: Unreachable("Timeout")
    for _ in range(5):
        await town.refusal("db", cluster_ref())
    await town.until(lambda: town.reason(key) == "Unreachable")

    town.keeper.mood = lambda _: None
    await town.until(lambda: town.recovered == [key])

    assert town.reason(key) == "Valid"


@in_no_time
async def test_settings_that_this_version_does_not_know_are_said_to_be_unknown(town: Town) -> None:
    key = town.store(provider="of-tomorrow")
    health = town.stores.health(key)
    assert health
    assert (health.reason, health.is_ready) == ("InvalidSettings", False)
    assert "this version knows no provider 'of-tomorrow'; write one of awsParameterStore, " in health.message


@in_no_time
async def test_settings_that_contradict_each_other_are_named_without_a_word_of_them(town: Town) -> None:
    key = town.store(provider="vault", server="https://vault.shop.test/canary?x")
    health = town.stores.health(key)
    assert health
    assert health.reason == "InvalidSettings"
    assert "spec.provider.vault.server: write the address of the server without a path" in health.message
    assert "canary" not in health.message


@in_no_time
async def test_of_a_store_that_cannot_be_read_or_is_gone_nothing_is_said(town: Town) -> None:
    key = town.store(provider="vault", interval="often")
    assert town.stores.health(key) is None
    assert town.stores.health(StoreKey(SECRET_STORE, "shop", "gone")) is None


@in_no_time
async def test_a_store_has_another_name_with_each_spec(town: Town) -> None:
    assert town.stores.identity(ref(), "shop") is None
    town.store()
    first = town.stores.identity(ref(), "shop")
    town.store()
    assert first
    assert town.stores.identity(ref(), "shop") not in {None, first}
    assert town.stores.identity(ref(), "office") is None


@in_no_time
async def test_the_secrets_of_each_namespace_are_read_by_their_names_alone(town: Town) -> None:
    town.cluster_store("here", provider="kubernetes", prefix="team-")
    town.secret("team-db", key="text")

    refused = await town.refusal("db", cluster_ref("here"))

    assert str(refused).endswith(
        "it reads each namespace's own Secrets, by their names alone; remove keyPrefix"
    )
