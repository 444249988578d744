"""With which login a store is opened, and what happens when it changes."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.keys import StoreKey
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths
from keyturn.stores import login as opening
from keyturn.stores.providers import Policy, RemoteValue
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import Refused, StoreError, Unauthorized, Unreachable
from tests.unit.stores.fake_stores import OPERATOR, FakeStores, cluster_ref, now, ref
from tests.unit.stores.fast_clock import run_in_no_time

LOGIN: dict[str, Any] = {"login": {"name": "login", "key": "token"}}


@pytest.fixture
def locked(fake: FakeStores) -> FakeStores:
    """Stores whose server accepts one login only, which is in a Secret."""
    fake.store(**LOGIN)
    fake.server.knows = "first"
    fake.secret("login", token="first", other="canary")  # noqa: S106
    return fake


def logins(fake: FakeStores) -> list[str]:
    return [login for _, what, login in fake.server.asked if what.startswith("read")]


async def test_a_login_that_was_changed_is_picked_up_by_the_next_read(locked: FakeStores) -> None:
    await locked.read()
    locked.server.knows = "second"
    locked.secret("login", token="second")  # noqa: S106

    assert await locked.read(fresh=True) == "hunter2"

    assert (locked.server.opened, locked.server.closed) == (2, 1)


async def test_a_login_that_is_refused_is_looked_up_again_at_once(locked: FakeStores) -> None:
    locked.store(interval=3600, **LOGIN)
    await locked.read()
    locked.server.knows = "second"
    locked.secret("login", token="second")  # noqa: S106
    locked.server.values["cache"] = "x"

    assert await locked.read("cache") == "x"

    assert logins(locked) == ["first", "first", "second"]
    assert locked.turned == [] or locked.reason(locked.turned[0]) == "Valid"


async def test_a_login_that_is_not_taken_is_tried_once_in_ten_seconds_by_any_reader(
    locked: FakeStores,
) -> None:
    locked.server.knows = "another"
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


async def test_a_login_that_is_tried_again_is_tried_by_a_provider_that_remembers_nothing(
    locked: FakeStores,
) -> None:
    locked.server.knows = "another"
    await locked.refusal()
    assert locked.server.opened == 1

    await asyncio.sleep(11)
    locked.server.knows = "first"

    assert await locked.read() == "hunter2"
    assert (locked.server.opened, locked.server.closed) == (2, 1)


async def test_a_login_that_is_refused_when_the_store_has_other_settings_opens_nothing(
    locked: FakeStores,
) -> None:
    locked.server.knows = "second"
    locked.server.delay = 5
    early = asyncio.create_task(locked.refusal())
    await asyncio.sleep(1)

    locked.secret("login", token="second")  # noqa: S106
    locked.store(**LOGIN)
    locked.server.delay = 0
    assert await locked.read() == "hunter2"

    assert (await early).code == "Closed"
    await asyncio.sleep(60)
    assert locked.server.opened - locked.server.closed == 1


async def test_a_write_whose_credential_is_read_when_the_store_has_other_settings_opens_nothing(
    locked: FakeStores,
) -> None:
    locked.api.delay = 5
    early = asyncio.create_task(locked.stores.write(ref(), "shop", "db", Value(b"x"), Policy.REPLACE))
    await asyncio.sleep(1)

    locked.store(**LOGIN)
    locked.api.delay = 0
    assert await locked.read() == "hunter2"

    with pytest.raises(Unreachable):
        await early
    await asyncio.sleep(60)
    assert locked.server.opened - locked.server.closed == 1


async def test_a_login_that_is_not_there_says_what_to_create(fake: FakeStores) -> None:
    fake.store(**LOGIN)
    error = await fake.refusal()
    assert (type(error), error.code, error.hint) == (
        Unauthorized,
        "LoginNotFound",
        "there is no Secret 'login' in the namespace 'shop'; create it with the key 'token'",
    )


async def test_a_login_without_its_key_says_which_key(fake: FakeStores) -> None:
    fake.store(**LOGIN)
    fake.secret("login", password="x")  # noqa: S106
    assert (
        await fake.refusal()
    ).hint == "the Secret 'login' in the namespace 'shop' has no key 'token'; add it"


async def test_a_login_that_may_not_be_read_says_so(fake: FakeStores) -> None:
    fake.store(**LOGIN)
    fake.api.are_forbidden = True
    error = await fake.refusal()
    assert (type(error), error.code) == (Unauthorized, "LoginNotFound")
    assert error.hint.startswith("the operator may not read the Secret 'login' in the namespace 'shop'")


async def test_many_who_miss_a_login_do_not_ask_the_api_server_each(fake: FakeStores) -> None:
    fake.store(**LOGIN)
    await asyncio.gather(*(fake.refusal(f"k{number}") for number in range(1000)))
    for number in range(1000):
        await fake.refusal(f"k{number}")
    assert len(fake.api.asked) < 30


async def test_a_login_that_is_taken_away_is_used_no_more(locked: FakeStores) -> None:
    await locked.read()
    del locked.api.bodies[paths.secret("shop", "login")]

    await asyncio.sleep(16)

    assert (await locked.refusal()).code == "LoginNotFound"
    assert locked.server.closed == locked.server.opened == 1


async def test_an_api_server_that_is_away_does_not_close_a_store(locked: FakeStores) -> None:
    await locked.read()
    locked.api.is_away = True
    await asyncio.sleep(300)

    assert await locked.read() == "hunter2"


async def test_without_an_api_server_no_store_is_opened_and_none_is_said_to_be_away(
    locked: FakeStores,
) -> None:
    locked.api.is_away = True
    for _ in range(10):
        error = await locked.refusal()
        assert (type(error), error.code) == (Unreachable, "ApiServerUnavailable")
    locked.api.is_away = False
    assert await locked.read() == "hunter2"
    assert locked.recovered == []


@pytest.mark.parametrize("type_", ["keyturn.dev/state", "kubernetes.io/service-account-token"])
async def test_what_is_no_login_is_sent_nowhere(type_: str, fake: FakeStores) -> None:
    fake.store(**LOGIN)
    fake.secret("login", type_=type_, token="canary")  # noqa: S106

    error = await fake.refusal()

    assert (type(error), error.code) == (Refused, "NotForLogin")
    assert fake.server.asked == []


async def test_only_the_keys_that_are_named_are_handed_over(locked: FakeStores) -> None:
    await locked.read()
    (shared,) = locked.stores._shared.values()
    (connection,) = shared.connections._open.values()
    assert [reference.key for reference in connection.login.referred] == ["token"]


async def test_a_cluster_store_takes_its_login_from_the_operators_namespace(fake: FakeStores) -> None:
    fake.cluster_store(**LOGIN)
    fake.secret("login", namespace="shop", token="of a tenant")  # noqa: S106
    fake.secret("login", namespace=OPERATOR, token="of the administrator")  # noqa: S106

    await fake.read("db", cluster_ref())

    assert logins(fake) == ["of the administrator"]


async def test_who_logs_in_as_a_service_account_gets_a_token_of_its_own_namespace(fake: FakeStores) -> None:
    fake.cluster_store(account="app")

    for namespace in ("shop", "office"):
        await fake.read("db", cluster_ref(), namespace=namespace)

    assert logins(fake) == ["token 1 of shop", "token 2 of office"]
    assert set(fake.api.asked) == {
        path(namespace, "app")
        for path in (paths.service_account, paths.token)
        for namespace in ("shop", "office")
    }


@pytest.mark.parametrize("consent", ["", "other", "vault-2", "ClusterSecretStore/vault"])
async def test_no_token_is_made_of_an_account_that_does_not_name_the_store(
    consent: str, fake: FakeStores
) -> None:
    fake.store(account="app")
    fake.api.consent = consent

    with pytest.raises(Unauthorized, match="NoConsent") as refused:
        await fake.read()

    assert "keyturn.dev/stores: vault" in refused.value.hint
    assert fake.api.tokens == []


async def test_an_account_that_names_a_store_does_not_mean_the_one_of_the_cluster(fake: FakeStores) -> None:
    fake.cluster_store(account="app")
    fake.api.consent = "vault"

    with pytest.raises(Unauthorized, match="NoConsent") as refused:
        await fake.read("db", cluster_ref())

    assert "keyturn.dev/stores: ClusterSecretStore/vault" in refused.value.hint


@pytest.fixture
def consented(fake: FakeStores) -> FakeStores:
    """Stores of which one has a session as a ServiceAccount, which is never renewed by a token."""
    fake.store(account="app")
    fake.cluster_store(account="app")
    return fake


def reads_of_account(fake: FakeStores) -> int:
    return fake.api.asked.count(paths.service_account("shop", "app"))


@pytest.mark.parametrize(
    ("is_deleted", "code"), [(False, "NoConsent"), (True, "NoServiceAccount")], ids=["withdrawn", "deleted"]
)
async def test_a_session_ends_when_the_account_takes_its_consent_back(
    code: str, consented: FakeStores, *, is_deleted: bool
) -> None:
    await consented.read()
    if is_deleted:
        consented.api.gone = {paths.service_account("shop", "app")}
    else:
        consented.api.consent = "other"

    await asyncio.sleep(181)
    assert (await consented.refusal(fresh=True)).code == code
    await consented.until(lambda: consented.server.closed == 1)
    (key,) = consented.turned[-1:]
    assert consented.reason(key) == "AuthenticationFailed"

    consented.api.consent, consented.api.gone = "vault", set()
    await consented.until(lambda: consented.reason(key) == "Valid")
    assert await consented.read(fresh=True) == "hunter2"


@pytest.mark.parametrize(
    ("is_deleted", "code"), [(False, "NoConsent"), (True, "NoServiceAccount")], ids=["withdrawn", "deleted"]
)
async def test_what_was_lent_is_given_back_also_when_the_account_takes_its_consent_back(
    code: str, consented: FakeStores, *, is_deleted: bool
) -> None:
    key = consented.store(account="app", leases=True)
    lent = await consented.stores.lease(ref(), "shop", "db")
    assert isinstance(lent, RemoteValue)
    assert lent.lease
    if is_deleted:
        consented.api.gone = {paths.service_account("shop", "app")}
    else:
        consented.api.consent = "other"
    await asyncio.sleep(181)

    await consented.stores.revoke_lease(ref(), "shop", "db", lent.lease)

    assert consented.server.asked[-1][1:] == ("revoke db/1", "token 1 of shop")
    assert consented.reason(key) == "AuthenticationFailed"
    assert (await consented.refusal(fresh=True)).code == code
    assert consented.api.tokens == ["token 1 of shop"]
    await consented.until(lambda: consented.server.closed == consented.server.opened)


async def test_without_a_session_the_missing_consent_is_why_nothing_is_given_back(
    consented: FakeStores,
) -> None:
    consented.store(account="app", leases=True)
    consented.api.consent = ""
    lease = ProviderLease("db/1", "", timedelta(hours=1))

    with pytest.raises(Unauthorized, match="NoConsent"):
        await consented.stores.revoke_lease(ref(), "shop", "db", lease)

    assert consented.api.tokens == []


async def test_an_account_that_is_created_again_logs_in_again(consented: FakeStores) -> None:
    await consented.read()
    consented.api.uid = "account-2"
    await asyncio.sleep(181)

    await consented.read(fresh=True)

    assert logins(consented) == ["token 1 of shop", "token 2 of shop"]
    assert consented.server.closed == 1


async def test_what_is_lent_to_an_account_that_is_created_again_is_lent_to_a_login_of_its_own(
    consented: FakeStores,
) -> None:
    consented.store(account="app", leases=True)
    await consented.read()
    consented.store(account="app", leases=True)  # closes the session, which is kept
    await consented.read()
    consented.api.uid = "account-2"
    await asyncio.sleep(181)

    await consented.read()

    assert logins(consented) == ["token 1 of shop", "token 1 of shop", "token 2 of shop"]


async def test_consent_costs_one_request_in_three_minutes(consented: FakeStores) -> None:
    await consented.read()
    before, began = reads_of_account(consented), now()
    while now() < began + 600:
        await asyncio.sleep(0.5)
        await consented.read(fresh=True)
    assert reads_of_account(consented) - before in {3, 4}


async def test_missing_consent_is_not_looked_up_for_each_read(consented: FakeStores) -> None:
    consented.api.consent = ""
    began = now()
    while now() < began + 100:
        await asyncio.sleep(0.5)
        await consented.refusal()
    assert reads_of_account(consented) <= 12


async def test_without_an_api_server_a_session_that_had_consent_continues(consented: FakeStores) -> None:
    await consented.read()
    consented.api.is_away = True
    await asyncio.sleep(181)
    assert await consented.read(fresh=True) == "hunter2"

    consented.api.is_away, consented.api.consent = False, ""
    await asyncio.sleep(10)
    assert (await consented.refusal(fresh=True)).code == "NoConsent"


async def test_an_api_server_that_answers_late_is_not_asked_by_each_read(consented: FakeStores) -> None:
    await consented.read()
    for number in range(5):
        consented.server.values[f"db-{number}"] = "hunter2"
    await asyncio.sleep(181)
    before = reads_of_account(consented)
    consented.api.is_away, consented.api.delay = True, 30

    reads = (consented.read(f"db-{number}", fresh=True) for number in range(5))
    assert await asyncio.gather(*reads) == ["hunter2"] * 5

    assert reads_of_account(consented) - before == 1


async def test_a_consent_that_may_not_be_read_does_not_last(consented: FakeStores) -> None:
    await consented.read()
    consented.api.are_forbidden = True
    await asyncio.sleep(355)
    assert await consented.read(fresh=True) == "hunter2"

    await asyncio.sleep(10)
    assert (await consented.refusal(fresh=True)).code == opening.NO_RIGHT
    assert consented.server.closed == 1


async def test_the_account_of_one_namespace_concerns_no_other(consented: FakeStores) -> None:
    key = StoreKey.of(cluster_ref(), "")
    for namespace in ("shop", "office"):
        await consented.read("db", cluster_ref(), namespace=namespace)
    consented.api.gone = {paths.service_account("shop", "app")}
    await asyncio.sleep(181)

    error = await consented.refusal("db", cluster_ref(), fresh=True)

    assert error.code == "NoServiceAccount"
    assert await consented.read("db", cluster_ref(), namespace="office", fresh=True) == "hunter2"
    assert consented.reason(key) == "Valid"


async def test_consent_of_an_idle_namespace_is_forgotten(consented: FakeStores) -> None:
    await consented.read()
    (shared,) = consented.stores._shared.values()
    await asyncio.sleep(1200)
    shared.connections.tidy(now() - 600)
    assert shared.connections._consents == {}


async def test_a_store_gets_tokens_of_the_account_that_it_names_only(fake: FakeStores) -> None:
    fake.store(account="app")
    await fake.read()
    (shared,) = fake.stores._shared.values()
    (connection,) = shared.connections._open.values()
    async with connection.use() as provider:
        assert provider.given.token_of
        with pytest.raises(Refused, match="AnotherAccount"):
            await provider.given.token_of("default", "https://kept.test")


async def test_a_login_of_one_namespace_that_is_refused_is_no_trouble_of_the_others(fake: FakeStores) -> None:
    key = fake.cluster_store(account="app")
    fake.server.knows = "token 2 of office"

    assert isinstance(await fake.refusal("db", cluster_ref(), namespace="shop"), Unauthorized)
    assert await fake.read("db", cluster_ref(), namespace="office") == "hunter2"
    assert fake.reason(key) == "Valid"


async def test_an_error_never_carries_what_was_read(locked: FakeStores) -> None:
    locked.server.knows = "another"
    error = await locked.refusal()
    observed: list[BaseException] = []
    at: BaseException | None = error
    while at is not None:
        observed.append(at)
        at = at.__cause__ or at.__context__
    assert not [one for one in observed if not isinstance(one, StoreError)]
    assert "first" not in repr(observed)


async def test_a_look_at_the_login_costs_one_request_in_a_while(locked: FakeStores) -> None:
    began = now()
    while now() < began + 150:
        await asyncio.sleep(0.5)
        await locked.read()
    assert len(locked.api.asked) <= 12


def test_a_token_that_a_policy_denies_is_no_outage_of_the_api_server() -> None:
    denied = api_errors.Invalid("request", paths.token("shop", "app"), 422, "Invalid")

    meant = opening._meaning(denied, "shop", "app")

    assert (type(meant), meant.code) == (Unauthorized, opening.NO_RIGHT)
    assert "an admission policy" in meant.hint


# A credential that a store rejects for one key


async def shared(fake: FakeStores, *tenants: str) -> StoreKey:
    """Make a store for several namespaces, with a login from which a value was read."""
    key = fake.cluster_store(names=["shop", "office", *tenants], **LOGIN)
    fake.secret("login", OPERATOR, token="first")  # noqa: S106
    assert await fake.read(store=cluster_ref()) == "hunter2"
    return key


def rejecting(fake: FakeStores, *keys: str) -> None:
    """Let the server answer 401 for some keys."""
    is_rejected = {f"read {key}" for key in keys}
    fake.server.mood = lambda n: (
        Unauthorized("Status401") if fake.server.asked[n - 1][1] in is_rejected else None
    )


async def test_a_key_for_which_a_shared_login_is_rejected_blocks_no_other_namespace(fake: FakeStores) -> None:
    key = await shared(fake)
    rejecting(fake, "theirs")

    for _ in range(20):
        refused = await fake.refusal("theirs", cluster_ref(), namespace="office", fresh=True)
        assert refused.code == "Status401"
        assert await fake.read(store=cluster_ref(), fresh=True) == "hunter2"

    await asyncio.sleep(1)
    assert fake.reason(key) == "Valid"
    assert (fake.server.opened, fake.server.count("read theirs")) == (1, 1)
    assert fake.server.count("check") <= 2


async def test_such_a_key_that_is_the_first_read_blocks_no_other_namespace_after_a_check(
    fake: FakeStores,
) -> None:
    key = fake.cluster_store()
    rejecting(fake, "theirs")
    fake.stores.health(key)

    await fake.refusal("theirs", cluster_ref(), namespace="office")
    await asyncio.sleep(1)

    assert await fake.read(store=cluster_ref()) == "hunter2"


@pytest.mark.parametrize("count", [2, 6])
async def test_requests_that_are_paused_do_not_prolong_the_pause(fake: FakeStores, count: int) -> None:
    tenants = [f"tenant-{number}" for number in range(count)]
    fake.cluster_store(names=["shop", *tenants], **LOGIN)
    fake.secret("login", OPERATOR, token="first")  # noqa: S106
    fake.server.knows = "first" if count > 2 else "second"
    if count > 2:
        await fake.read(store=cluster_ref())
    fake.server.knows = "second"
    for tenant in tenants:
        await fake.refusal("db", cluster_ref(), namespace=tenant, fresh=True)
        await asyncio.sleep(12 / count)
    fake.server.knows = "first"

    served = []
    for _ in range(2):
        for tenant in tenants:
            with contextlib.suppress(Unauthorized):
                served.append(await fake.read("db", cluster_ref(), namespace=tenant, fresh=True))
            await asyncio.sleep(12 / count)

    assert served[-count:] == ["hunter2"] * count


async def test_a_shared_login_that_is_rejected_for_three_namespaces_is_not_used_for_ten_seconds(
    fake: FakeStores,
) -> None:
    tenants = ["a", "b", "c", "d", "e"]
    key = await shared(fake, *tenants)
    fake.server.knows = "second"

    for name in tenants:
        assert isinstance(await fake.refusal(f"k-{name}", cluster_ref(), namespace=name), Unauthorized)

    reads = [what for _, what, _ in fake.server.asked if what.startswith("read k")]
    assert reads == ["read k-a", "read k-b", "read k-c"]
    assert fake.reason(key) == "AuthenticationFailed"


async def test_a_check_finds_a_shared_login_that_is_rejected_for_all(fake: FakeStores) -> None:
    key = await shared(fake)
    fake.server.knows = "second"

    await fake.refusal("cache", cluster_ref())

    await fake.until(lambda: fake.reason(key) == "AuthenticationFailed", seconds=5)


run_in_no_time(globals())
