"""What Vault lends: a login for each read, renewed by whoever knows its lease, and given back."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores.providers import Provider, Reference, RemoteValue, properties
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import NotFound, Refused, Unreachable
from keyturn.stores.providers.guard import Guard
from keyturn.stores.providers.vault.auth import VaultSession, acquire_lease, renew_lease
from sandbox.harness import until
from tests.support import vault as vaults
from tests.support.api_servers import answer, serving
from tests.support.cases import case, cases
from tests.support.vault import VaultServer
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, failing_without, guarded, opened
from tests.unit.stores.providers.recording_server import Heard, Recording

pytestmark = pytest.mark.timeout(vaults.BUILD_SECONDS)

CANARY = "canary-of-an-answer"


failing = failing_without(CANARY)


def user(found: RemoteValue) -> str:
    return properties.take(found.content, "username").reveal().decode()


def lent(found: RemoteValue) -> ProviderLease:
    assert found.lease
    return found.lease


def store_of(address: str, guard: Guard, token: str, mount: str = "database") -> Provider[Any]:
    ref = {"secretRef": {"name": "vault", "key": "token"}}
    return opened(
        "vault",
        {"server": address, "engine": "dynamic", "mount": mount, "auth": {"token": ref}},
        guard=guard,
        referred={Reference("Secret", "vault", "token"): RemoteValue(Value.of_text(token))},
        patience=60.0,
    )


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with guarded(LOOPBACK) as guard:
        yield guard


# A real Vault


class LeaseEngine:
    """An engine that makes logins and lends them, with the times that a test wants."""

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self.mount = f"lender-{secrets.token_hex(4)}"

    def open(self, lasts: str = "1h", longest: str = "24h") -> str:
        times = {"default_lease_ttl": lasts, "max_lease_ttl": longest}
        self._server.call("POST", f"sys/mounts/{self.mount}", {"type": "lender", "config": times})
        return self.mount

    def limit(self, longest: str) -> None:
        """Let each lease last no longer than that, also one that was lent before."""
        times = {"default_lease_ttl": longest, "max_lease_ttl": longest}
        self._server.call("POST", f"sys/mounts/{self.mount}/tune", times)

    def renewed(self, lease: ProviderLease) -> str | None:
        """Return when Vault last renewed a lease."""
        about = self._server.call("PUT", "sys/leases/lookup", {"lease_id": lease.id})["data"]
        renewed: str | None = about["last_renewal"]
        return renewed

    def alive(self) -> list[str]:
        """Name the logins that would work now."""
        return self._server.names(f"{self.mount}/live")


@pytest.fixture
def engine(vault: VaultServer) -> LeaseEngine:
    return LeaseEngine(vault)


async def test_each_read_makes_a_login_of_its_own(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    store = store_of(vault.address, guard, vault.token, engine.open())
    found = await asyncio.gather(*(store.read("creds/orders") for _ in range(3)))
    assert len({user(one) for one in found}) == len({lent(one).id for one in found}) == 3
    assert {user(one) for one in found} == set(engine.alive())


async def test_it_says_for_how_long_a_login_is_good(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    store = store_of(vault.address, guard, vault.token, engine.open("1h"))
    assert lent(await store.read("creds/orders")).lasts == timedelta(hours=1)


async def test_a_login_lives_on_by_renewal_up_to_its_longest_time(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    """On a busy machine a lease of seconds ends before it is renewed, so these last an hour."""
    store = store_of(vault.address, guard, vault.token, engine.open("1h", "24h"))
    found = await store.read("creds/orders")
    assert engine.renewed(lent(found)) is None
    assert await store.renew_lease("creds/orders", lent(found)) == timedelta(hours=1)
    assert engine.renewed(lent(found)) is not None, "Vault has extended it"

    engine.limit("30m")
    left = await store.renew_lease("creds/orders", lent(found))
    assert left is not None
    assert left <= timedelta(minutes=30), "it says that it will not last"
    assert engine.alive() == [user(found)]


async def test_a_login_that_has_reached_its_longest_time_is_not_renewed(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    store = store_of(vault.address, guard, vault.token, engine.open("1s", "1s"))
    found = await store.read("creds/orders")
    await until(lambda: engine.alive() == [])  # Vault revokes it at the end of its lease
    assert await store.renew_lease("creds/orders", lent(found)) is None


async def test_another_provider_renews_and_gives_back_what_one_has_taken(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    mount = engine.open()
    found = await store_of(vault.address, guard, vault.token, mount).read("creds/orders")
    other = store_of(vault.address, guard, vault.token, mount)
    assert await other.renew_lease("creds/orders", lent(found)) is not None
    for _ in range(2):
        await other.revoke_lease("creds/orders", lent(found))
        assert engine.alive() == []


async def test_a_deletion_gives_nothing_back(vault: VaultServer, guard: Guard, engine: LeaseEngine) -> None:
    store = store_of(vault.address, guard, vault.token, engine.open())
    await store.read("creds/orders")
    assert (await failing(store.delete("creds/orders"))).code == "ReadOnly"
    assert len(engine.alive()) == 1


# A login that what was lent ends with


class LoginSecret:
    """Keeps a login, as a Secret does."""

    def __init__(self) -> None:
        self.login: Value | None = None

    async def load(self) -> Value | None:
        return self.login

    async def save(self, login: Value) -> None:
        self.login = login


class Role:
    """An AppRole that may read what a lender lends."""

    def __init__(self, vault: VaultServer, guard: Guard, mount: str, longest: str = "1h") -> None:
        self._vault, self._guard, self._mount = vault, guard, mount
        policy = f'path "{mount}/*" {{ capabilities = ["read"] }}'
        vault.call("PUT", f"sys/policies/acl/{mount}", {"policy": policy})
        times = {"token_ttl": "1h", "token_max_ttl": longest}
        vault.call("POST", f"auth/approle/role/{mount}", {"token_policies": mount, **times})
        self._id = vault.call("GET", f"auth/approle/role/{mount}/role-id")["data"]["role_id"]
        self._secret = vault.call("POST", f"auth/approle/role/{mount}/secret-id", {})["data"]["secret_id"]

    def store(self, login_secret: LoginSecret) -> Provider[Any]:
        auth = {"appRole": {"roleId": self._id, "secretRef": {"name": "role", "key": "id"}}}
        return opened(
            "vault",
            {"server": self._vault.address, "engine": "dynamic", "mount": self._mount, "auth": auth},
            guard=self._guard,
            referred={Reference("Secret", "role", "id"): RemoteValue(Value.of_text(self._secret))},
            keep=login_secret,
            patience=60.0,
        )


async def test_another_process_continues_with_the_login_that_was_kept(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    role, login_secret = Role(vault, guard, engine.open()), LoginSecret()
    found = await role.store(login_secret).read("creds/orders")
    before = set(vault.names("auth/token/accessors"))
    assert lent(found).login in before
    assert await role.store(login_secret).renew_lease("creds/orders", lent(found)) is not None
    assert set(vault.names("auth/token/accessors")) == before


async def test_the_close_of_a_store_leaves_the_login_to_what_was_lent(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    store = Role(vault, guard, engine.open()).store(LoginSecret())
    found = await store.read("creds/orders")
    await store.close()
    assert engine.alive() == [user(found)]


@pytest.mark.parametrize("kept", [None, "", "no token\n", "hvs.of-somebody-else"])
async def test_where_the_kept_login_is_none_it_logs_in_again_and_keeps_that(
    vault: VaultServer, guard: Guard, engine: LeaseEngine, kept: str | None
) -> None:
    login_secret = LoginSecret()
    login_secret.login = None if kept is None else Value.of_text(kept)
    found = await Role(vault, guard, engine.open()).store(login_secret).read("creds/orders")
    assert engine.alive() == [user(found)]
    assert login_secret.login
    assert login_secret.login != Value.of_text(kept or "")


async def test_what_was_lent_to_a_login_that_is_gone_is_not_renewed(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    role, login_secret = Role(vault, guard, engine.open()), LoginSecret()
    store = role.store(login_secret)
    found = await store.read("creds/orders")
    vault.call("POST", "auth/token/revoke-accessor", {"accessor": lent(found).login})
    assert await store.renew_lease("creds/orders", lent(found)) is None
    second = await store.read("creds/orders")
    assert engine.alive() == [user(second)]
    assert lent(second).login != lent(found).login


async def test_what_was_lent_to_an_earlier_login_is_not_said_to_last(
    vault: VaultServer, guard: Guard, engine: LeaseEngine
) -> None:
    role = Role(vault, guard, engine.open())
    found = await role.store(LoginSecret()).read("creds/orders")
    other = role.store(LoginSecret())
    assert await other.renew_lease("creds/orders", lent(found)) is None
    assert engine.alive() == [user(found)], "it lives on until its end"


async def test_an_engine_that_lends_nothing_is_read_as_it_is(
    vault: VaultServer, guard: Guard, prefix: str
) -> None:
    vault.call("POST", f"old/{prefix}a", {"username": "shop"})
    store = store_of(vault.address, guard, vault.token, "old")
    assert user(await store.read(f"{prefix}a")) == "shop"
    vault.call("POST", f"old/{prefix}a", {"username": "other"})
    assert user(await store.read(f"{prefix}a")) == "other"
    assert (await failing(store.write(f"{prefix}a", {"x": Value(b"y")}))).code == "ReadOnly"
    assert (await failing(store.read(f"{prefix}a", "1"))).code == "NoVersions"
    assert type(await failing(store.read(f"{prefix}b"))) is NotFound


# A Vault that answers as it is told


class ScriptedVault:
    """A Vault that lends for a hundred seconds, and remembers what it hears."""

    def __init__(self) -> None:
        self.made: list[web.Response] = []
        self.renewals: list[web.Response] = []
        self.recording = Recording(self._answer)

    def _answer(self, heard: Heard) -> web.Response:
        if heard.path == "/v1/sys/leases/renew":
            return self.renewals.pop(0) if self.renewals else answer(200, {"lease_duration": 100})
        return self.made.pop(0) if self.made else response()


def response(**more: object) -> web.Response:
    lease = {"lease_id": "database/creds/a/1", "lease_duration": 100, "renewable": True}
    return answer(200, {**lease, "data": {"username": "user-1"}, **more})


LEASE = ProviderLease("database/creds/a/1", "", timedelta(seconds=100))


@pytest.fixture
def scripted() -> ScriptedVault:
    return ScriptedVault()


@pytest.fixture
async def store(scripted: ScriptedVault, guard: Guard) -> AsyncIterator[Provider[Any]]:
    async with serving(scripted.recording.handle) as address:
        yield store_of(address, guard, "hvs.of-the-store")


async def test_a_lease_is_named_and_measured(store: Provider[Any]) -> None:
    acquired = lent(await store.read("creds/a"))
    assert acquired == replace(LEASE, issuer=store.lease_issuer(store.config))


async def test_a_lease_of_another_server_is_not_revoked_here(
    scripted: ScriptedVault, store: Provider[Any], guard: Guard
) -> None:
    """Vault reports success for a lease that it does not know."""
    acquired = lent(await store.read("creds/a"))
    moved = store_of("https://other.test", guard, "hvs.of-the-store")
    with pytest.raises(Refused, match="OtherServer"):
        moved.hold_to_issuer(moved.config, acquired)

    of_another_mount = store_of(store.config.server, guard, "hvs.of-the-store", mount="other")
    for one, lease in ((of_another_mount, acquired), (store, acquired)):
        one.hold_to_issuer(one.config, lease)
        await one.revoke_lease("creds/a", lease)
    assert [one.json for one in scripted.recording.heard[1:]] == 2 * [{"lease_id": LEASE.id, "sync": True}]
    assert of_another_mount.lease_issuer(of_another_mount.config) != acquired.issuer


async def test_a_lease_is_renewed_by_its_name_alone(scripted: ScriptedVault, store: Provider[Any]) -> None:
    assert await store.renew_lease("creds/a", LEASE) == timedelta(seconds=100)
    assert [one.json for one in scripted.recording.heard] == [{"lease_id": LEASE.id}]


@cases(
    ("renewal", "left"),
    case("nearly at its maximum", answer(200, {"lease_duration": 40}), timedelta(seconds=40)),
    case("no answer", answer(200, {}), timedelta(0)),
    case("gone", answer(400, {"errors": [CANARY]}), None),
    case("not allowed", answer(403), None),
)
async def test_where_vault_renews_no_longer_it_says_so(
    scripted: ScriptedVault, store: Provider[Any], renewal: web.Response, left: timedelta | None
) -> None:
    scripted.renewals = [renewal]
    assert await store.renew_lease("creds/a", LEASE) == left


async def test_while_vault_is_away_it_is_unknown(scripted: ScriptedVault, store: Provider[Any]) -> None:
    scripted.renewals = [answer(503)]
    assert type(await failing(store.renew_lease("creds/a", LEASE))) is Unreachable


async def test_a_lease_ends_with_its_session() -> None:
    session = VaultSession("hvs.of-the-store", ends=asyncio.get_running_loop().time() + 30)

    async def ask(*_: object) -> tuple[dict[str, Any], VaultSession]:
        return {"lease_id": LEASE.id, "lease_duration": 100, "data": {"username": "user-1"}}, session

    acquired = lent(await acquire_lease(ask, "creds/a", ""))
    renewed = await renew_lease(ask, LEASE)

    assert renewed is not None
    assert max(acquired.lasts, renewed) <= timedelta(seconds=30)


async def test_a_lease_without_an_end_lasts(scripted: ScriptedVault, store: Provider[Any]) -> None:
    scripted.made = [response(lease_duration=0)]
    assert lent(await store.read("creds/a")).lasts > timedelta(days=365)


async def test_a_lease_of_a_name_without_end_is_none(scripted: ScriptedVault, store: Provider[Any]) -> None:
    scripted.made = [response(lease_id="x" * 2000)]
    assert (await store.read("creds/a")).lease is None


@pytest.mark.parametrize("odd", [{"data": None}, {"data": CANARY}, {"data": [1]}])
async def test_an_answer_without_data_is_none(
    scripted: ScriptedVault, store: Provider[Any], odd: dict[str, Any]
) -> None:
    scripted.made = [response(**odd)]
    assert type(await failing(store.read("creds/a"))) is Unreachable
