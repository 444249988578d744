"""With which login a store is opened, and what happens when it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.kube import errors as api_errors
from keyturn.kube import paths
from keyturn.stores import connections as opening
from keyturn.stores.providers.errors import Refused, StoreError, Unauthorized, Unreachable
from tests.unit.stores.fake_stores import OPERATOR, cluster_ref, now
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from tests.unit.stores.fake_stores import Town

LOGIN: dict[str, Any] = {"login": {"name": "login", "key": "token"}}


@pytest.fixture
def locked(town: Town) -> Town:
    """A town whose store takes one login only, which is in a Secret."""
    town.store(**LOGIN)
    town.keeper.values["db"] = "hunter2"
    town.keeper.knows = "first"
    town.secret("login", token="first", other="canary")  # noqa: S106
    return town


def logins(town: Town) -> list[str]:
    return [login for _, what, login in town.keeper.asked if what.startswith("read")]


@in_no_time
async def test_the_store_is_opened_with_what_its_settings_name(locked: Town) -> None:
    assert await locked.read() == "hunter2"
    assert logins(locked) == ["first"]


@in_no_time
async def test_a_login_that_was_changed_is_picked_up_by_the_next_read(locked: Town) -> None:
    await locked.read()
    locked.keeper.knows = "second"
    locked.secret("login", token="second")  # noqa: S106

    assert await locked.read(fresh=True) == "hunter2"

    assert (locked.keeper.opened, locked.keeper.closed) == (2, 1)


@in_no_time
async def test_a_login_that_is_refused_is_looked_up_again_at_once(locked: Town) -> None:
    locked.store(interval=3600, **LOGIN)
    await locked.read()
    locked.keeper.knows = "second"
    locked.secret("login", token="second")  # noqa: S106
    locked.keeper.values["cache"] = "x"

    assert await locked.read("cache") == "x"

    assert logins(locked) == ["first", "first", "second"]
    assert locked.turned == [] or locked.reason(locked.turned[0]) == "Valid"


@in_no_time
async def test_a_login_that_is_not_taken_is_tried_once_in_ten_seconds_by_whoever_reads(locked: Town) -> None:
    locked.keeper.knows = "another"
    found = await asyncio.gather(*(locked.refusal(f"k{number}") for number in range(100)))
    assert {type(error) for error in found} == {Unauthorized}
    tried = len(logins(locked))
    assert tried <= 20  # those that were under way together

    for _ in range(50):
        await locked.refusal()
    assert len(logins(locked)) == tried
    await asyncio.sleep(11)
    await locked.refusal()
    assert len(logins(locked)) == tried + 1


@in_no_time
async def test_a_login_that_is_tried_again_is_tried_by_a_provider_that_remembers_nothing(
    locked: Town,
) -> None:
    locked.keeper.knows = "another"
    await locked.refusal()
    assert locked.keeper.opened == 1

    await asyncio.sleep(11)
    locked.keeper.knows = "first"

    assert await locked.read() == "hunter2"
    assert (locked.keeper.opened, locked.keeper.closed) == (2, 1)


@in_no_time
async def test_a_login_that_is_refused_when_the_store_has_other_settings_opens_nothing(locked: Town) -> None:
    locked.keeper.knows = "second"
    locked.keeper.delay = 5
    early = asyncio.create_task(locked.refusal())
    await asyncio.sleep(1)

    locked.secret("login", token="second")  # noqa: S106
    locked.store(**LOGIN)
    locked.keeper.delay = 0
    assert await locked.read() == "hunter2"

    assert (await early).code == "Closed"
    await asyncio.sleep(60)
    assert locked.keeper.opened - locked.keeper.closed == 1


@in_no_time
async def test_a_login_that_is_not_there_says_what_to_create(town: Town) -> None:
    town.store(**LOGIN)
    error = await town.refusal()
    assert (type(error), error.code, error.hint) == (
        Unauthorized,
        "LoginNotFound",
        "there is no Secret 'login' in the namespace 'shop'; create it with the key 'token'",
    )


@in_no_time
async def test_a_login_without_its_key_says_which_key(town: Town) -> None:
    town.store(**LOGIN)
    town.secret("login", password="x")  # noqa: S106
    assert (
        await town.refusal()
    ).hint == "the Secret 'login' in the namespace 'shop' has no key 'token'; add it"


@in_no_time
async def test_a_login_that_may_not_be_read_says_so(town: Town) -> None:
    town.store(**LOGIN)
    town.records.are_forbidden = True
    error = await town.refusal()
    assert (type(error), error.code) == (Unauthorized, "LoginNotFound")
    assert error.hint.startswith("the operator may not read the Secret 'login' in the namespace 'shop'")


@in_no_time
async def test_many_who_miss_a_login_do_not_ask_the_api_server_each(town: Town) -> None:
    town.store(**LOGIN)
    await asyncio.gather(*(town.refusal(f"k{number}") for number in range(1000)))
    for number in range(1000):
        await town.refusal(f"k{number}")
    assert len(town.records.asked) < 30


@in_no_time
async def test_a_login_that_is_taken_away_is_used_no_more(locked: Town) -> None:
    await locked.read()
    del locked.records.bodies[paths.secret("shop", "login")]

    await asyncio.sleep(16)

    assert (await locked.refusal()).code == "LoginNotFound"
    assert locked.keeper.closed == locked.keeper.opened == 1


@in_no_time
async def test_an_api_server_that_is_away_does_not_close_a_store(locked: Town) -> None:
    await locked.read()
    locked.records.is_away = True
    await asyncio.sleep(300)

    assert await locked.read() == "hunter2"


@in_no_time
async def test_without_an_api_server_no_store_is_opened_and_none_is_said_to_be_away(locked: Town) -> None:
    locked.records.is_away = True
    for _ in range(10):
        error = await locked.refusal()
        assert (type(error), error.code) == (Unreachable, "ApiServerUnavailable")
    locked.records.is_away = False
    assert await locked.read() == "hunter2"
    assert locked.recovered == []


@pytest.mark.parametrize("type_", ["keyturn.dev/state", "kubernetes.io/service-account-token"])
@in_no_time
async def test_what_is_no_login_is_sent_nowhere(type_: str, town: Town) -> None:
    town.store(**LOGIN)
    town.secret("login", type_=type_, token="canary")  # noqa: S106

    error = await town.refusal()

    assert (type(error), error.code) == (Refused, "NotForLogin")
    assert town.keeper.asked == []


@in_no_time
async def test_only_the_keys_that_are_named_are_handed_over(locked: Town) -> None:
    await locked.read()
    (shared,) = locked.stores._shared.values()
    (door,) = shared.doors._open.values()
    assert [reference.key for reference in door.login.referred] == ["token"]


@in_no_time
async def test_a_cluster_store_takes_its_login_from_the_operators_namespace(town: Town) -> None:
    town.cluster_store(**LOGIN)
    town.keeper.values["db"] = "hunter2"
    town.secret("login", namespace="shop", token="of a tenant")  # noqa: S106
    town.secret("login", namespace=OPERATOR, token="of the administrator")  # noqa: S106

    await town.read("db", cluster_ref())

    assert logins(town) == ["of the administrator"]


@in_no_time
async def test_who_logs_in_as_a_service_account_gets_a_token_of_its_own_namespace(town: Town) -> None:
    town.cluster_store(account="app")
    town.keeper.values["db"] = "hunter2"

    for namespace in ("shop", "office"):
        await town.read("db", cluster_ref(), namespace=namespace)

    assert logins(town) == ["token 1 of shop", "token 2 of office"]
    assert set(town.records.asked) == {
        path(namespace, "app")
        for path in (paths.service_account, paths.token)
        for namespace in ("shop", "office")
    }


@in_no_time
@pytest.mark.parametrize("consent", ["", "other", "vault-2", "ClusterSecretStore/vault"])
async def test_no_token_is_made_of_an_account_that_does_not_name_the_store(consent: str, town: Town) -> None:
    town.store(account="app")
    town.records.consent = consent

    with pytest.raises(Unauthorized, match="NoConsent") as refused:
        await town.read()

    assert refused.value.hint == (
        "the ServiceAccount 'app' in the namespace 'shop' does not agree to this store; annotate it with"
        " keyturn.dev/stores: vault (several are parted by commas)"
    )
    assert town.records.tokens == []


@in_no_time
async def test_an_account_that_names_a_store_does_not_mean_the_one_of_the_cluster(town: Town) -> None:
    town.cluster_store(account="app")
    town.records.consent = "vault"

    with pytest.raises(Unauthorized, match="NoConsent") as refused:
        await town.read("db", cluster_ref())

    assert "keyturn.dev/stores: ClusterSecretStore/vault" in refused.value.hint


@in_no_time
async def test_a_store_gets_tokens_of_the_account_that_it_names_only(town: Town) -> None:
    town.store(account="app")
    town.keeper.values["db"] = "hunter2"
    await town.read()
    (shared,) = town.stores._shared.values()
    (door,) = shared.doors._open.values()
    async with door.entered() as provider:
        assert provider.given.token_of
        with pytest.raises(Refused, match="AnotherAccount"):
            await provider.given.token_of("default", "https://kept.test", 600)


@in_no_time
async def test_a_login_of_one_namespace_that_is_refused_is_no_trouble_of_the_others(town: Town) -> None:
    key = town.cluster_store(account="app")
    town.keeper.values["db"] = "hunter2"
    town.keeper.knows = "token 2 of office"

    assert isinstance(await town.refusal("db", cluster_ref(), namespace="shop"), Unauthorized)
    assert await town.read("db", cluster_ref(), namespace="office") == "hunter2"
    assert town.reason(key) == "Valid"


@in_no_time
async def test_an_error_never_carries_what_was_read(locked: Town) -> None:
    locked.keeper.knows = "another"
    error = await locked.refusal()
    observed: list[BaseException] = []
    at: BaseException | None = error
    while at is not None:
        observed.append(at)
        at = at.__cause__ or at.__context__
    assert not [one for one in observed if not isinstance(one, StoreError)]
    assert "first" not in repr(observed)


@in_no_time
async def test_a_look_at_the_login_costs_one_request_in_a_while(locked: Town) -> None:
    began = now()
    while now() < began + 150:
        await asyncio.sleep(0.5)
        await locked.read()
    assert len(locked.records.asked) <= 12


def test_a_token_that_a_policy_denies_is_no_outage_of_the_api_server() -> None:
    denied = api_errors.Invalid("request", paths.token("shop", "app"), 422, "Invalid")

    meant = opening._meaning(denied, "shop", "app")

    assert (type(meant), meant.code) == (Unauthorized, opening.NO_RIGHT)
    assert "an admission policy" in meant.hint
