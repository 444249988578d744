"""What Vault lends: the same login while its lease lives, renewed, replaced in time, and given back."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from keyturn.providers import Found, Reference, _vault_auth, _vault_leases, properties
from keyturn.providers.errors import NotFound, Refused, StoreError, Unreachable
from tests.kube.helpers import answer, serving
from tests.providers import vault as vaults
from tests.providers.recording import Heard, Recording
from tests.providers.shops import LOOPBACK, guarded, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from aiohttp import web

    from keyturn.providers import Provider
    from keyturn.providers.guard import Guard
    from tests.providers.vault import VaultServer

pytestmark = pytest.mark.timeout(vaults.BUILD_SECONDS)

CANARY = "canary-of-an-answer"


async def failing(doing: Awaitable[object]) -> StoreError:
    with pytest.raises(StoreError) as refused:
        await doing
    assert CANARY not in "".join(traceback.format_exception(refused.value)) + repr(vars(refused.value))
    return refused.value


def user(found: Found) -> str:
    return properties.take(found.content, "username").reveal().decode()


def store_of(address: str, guard: Guard, token: str, mount: str = "database") -> Provider[Any]:
    ref = {"secretRef": {"name": "vault", "key": "token"}}
    return opened(
        "vault",
        {"server": address, "engine": "dynamic", "mount": mount, "auth": {"token": ref}},
        guard=guard,
        referred={Reference("Secret", "vault", "token"): Found(Value.of_text(token))},
        patience=15.0,
    )


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with guarded(LOOPBACK) as guard:
        yield guard


# A real Vault


class Lender:
    """An engine that makes logins and lends them, with the times that a test wants."""

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self.mount = f"lender-{secrets.token_hex(4)}"

    def open(self, lasts: str = "1h", longest: str = "24h") -> str:
        times = {"default_lease_ttl": lasts, "max_lease_ttl": longest}
        self._server.call("POST", f"sys/mounts/{self.mount}", {"type": "lender", "config": times})
        return self.mount

    def alive(self) -> list[str]:
        """Name the logins that would work now."""
        return self._server.names(f"{self.mount}/live")


@pytest.fixture
def lender(vault: VaultServer) -> Lender:
    return Lender(vault)


async def test_a_login_is_read_again_and_not_made_again(
    vault: VaultServer, guard: Guard, lender: Lender
) -> None:
    store = store_of(vault.address, guard, vault.token, lender.open())
    found = await asyncio.gather(*(store.read("creds/orders") for _ in range(5)))
    assert {user(one) for one in found} == set(lender.alive())
    assert len(lender.alive()) == 1
    assert len({one.version for one in found}) == 1


async def test_it_says_for_how_long_a_login_is_good(vault: VaultServer, guard: Guard, lender: Lender) -> None:
    store = store_of(vault.address, guard, vault.token, lender.open("1h"))
    found = await store.read("creds/orders")
    assert found.valid_for is not None
    assert timedelta(minutes=59) < found.valid_for <= timedelta(hours=1)


async def test_a_login_lives_on_by_renewal_and_its_follower_comes_before_its_end(
    vault: VaultServer, guard: Guard, lender: Lender
) -> None:
    store = store_of(vault.address, guard, vault.token, lender.open("2s", "5s"))
    began = asyncio.get_running_loop().time()
    first = user(await store.read("creds/orders"))
    users, overlapped = [], False
    while asyncio.get_running_loop().time() - began < 8:
        found = await store.read("creds/orders")
        users.append(user(found))
        assert users[-1] in lender.alive(), "a login that we hand out works"
        overlapped |= users[-1] != first and first in lender.alive()
        await asyncio.sleep(0.25)
    assert users.count(first) > 2 / 0.3, "it lived longer than its first lease"
    assert overlapped, "the old one works while workloads move to the new one"
    assert first not in lender.alive(), "Vault has revoked it at the end of its lease"


async def test_what_is_given_back_ends_at_once_and_another_is_made(
    vault: VaultServer, guard: Guard, lender: Lender
) -> None:
    store = store_of(vault.address, guard, vault.token, lender.open())
    first = user(await store.read("creds/orders"))
    for _ in range(2):
        await store.give_back("creds/orders")
        assert lender.alive() == []
    assert user(await store.read("creds/orders")) != first


async def test_a_deletion_gives_nothing_back(vault: VaultServer, guard: Guard, lender: Lender) -> None:
    store = store_of(vault.address, guard, vault.token, lender.open())
    await store.read("creds/orders")
    assert (await failing(store.delete("creds/orders"))).code == "ReadOnly"
    assert len(lender.alive()) == 1


async def test_what_was_lent_to_a_token_that_is_gone_is_replaced(
    vault: VaultServer, guard: Guard, lender: Lender
) -> None:
    mount = lender.open("4s")
    vault.call(
        "PUT", f"sys/policies/acl/{mount}", {"policy": f'path "{mount}/*" {{ capabilities = ["read"] }}'}
    )
    vault.call("POST", f"auth/approle/role/{mount}", {"token_policies": mount, "token_ttl": "1h"})
    role = vault.call("GET", f"auth/approle/role/{mount}/role-id")["data"]["role_id"]
    login = vault.call("POST", f"auth/approle/role/{mount}/secret-id", {})["data"]["secret_id"]
    auth = {"appRole": {"roleId": role, "secretRef": {"name": "role", "key": "id"}}}
    store = opened(
        "vault",
        {"server": vault.address, "engine": "dynamic", "mount": mount, "auth": auth},
        guard=guard,
        referred={Reference("Secret", "role", "id"): Found(Value.of_text(login))},
        patience=15.0,
    )
    before = set(vault.names("auth/token/accessors"))
    first = user(await store.read("creds/orders"))
    (ours,) = set(vault.names("auth/token/accessors")) - before
    vault.call("POST", "auth/token/revoke-accessor", {"accessor": ours})
    await asyncio.sleep(2.2)  # half of the lease
    second = user(await store.read("creds/orders"))
    assert second != first
    assert lender.alive() == [second]


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


# A Vault that remembers


class Booth:
    """A Vault that lends for a hundred seconds, and remembers what it hears."""

    def __init__(self) -> None:
        self.made: list[web.Response] = []
        self.renewals: list[web.Response] = []
        self.recording = Recording(self._answer)

    def _answer(self, heard: Heard) -> web.Response:
        if heard.path == "/v1/sys/leases/renew":
            return self.renewals.pop(0) if self.renewals else answer(200, {"lease_duration": 100})
        return self.made.pop(0) if self.made else lent(len(self.reads))

    @property
    def reads(self) -> list[Heard]:
        return [one for one in self.recording.heard if one.path == "/v1/database/creds/a"]


def lent(number: int, **more: object) -> web.Response:
    lease = {"lease_id": f"database/creds/a/{number}", "lease_duration": 100, "renewable": True}
    return answer(200, {**lease, "data": {"username": f"user-{number}"}, **more})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (_vault_auth, _vault_leases):
        monkeypatch.setattr(module, "_now", clock)
    return clock


@pytest.fixture
def booth() -> Booth:
    return Booth()


@pytest.fixture
async def store(booth: Booth, guard: Guard) -> AsyncIterator[Provider[Any]]:
    async with serving(booth.recording.handle) as address:
        yield store_of(address, guard, "hvs.of-the-store")


async def test_a_lease_is_renewed_when_half_of_it_is_over(
    booth: Booth, store: Provider[Any], clock: Clock
) -> None:
    for passed, renewed in ((0, 0), (49, 0), (2, 1), (49, 1), (2, 2)):
        clock.now += passed
        assert user(await store.read("creds/a")) == "user-1"
        assert len(booth.recording.heard) == 1 + renewed
    assert booth.recording.heard[-1].json == {"lease_id": "database/creds/a/1"}


@pytest.mark.parametrize(
    "renewal",
    [answer(200, {"lease_duration": 40}), answer(200, {}), answer(400, {"errors": [CANARY]}), answer(403)],
    ids=["nearly at its maximum", "no answer", "gone", "not allowed"],
)
async def test_where_vault_renews_no_longer_another_login_is_taken(
    booth: Booth, store: Provider[Any], clock: Clock, renewal: web.Response
) -> None:
    await store.read("creds/a")
    clock.now += 51
    booth.renewals = [renewal]
    found = await store.read("creds/a")
    assert (user(found), found.version) == ("user-2", "database/creds/a/2")


async def test_a_login_that_cannot_be_renewed_is_replaced_at_half_time(
    booth: Booth, store: Provider[Any], clock: Clock
) -> None:
    booth.made = [lent(1, renewable=False)]
    for passed, name in ((0, "user-1"), (49, "user-1"), (2, "user-2")):
        clock.now += passed
        assert user(await store.read("creds/a")) == name
    assert len(booth.recording.heard) == 2


async def test_while_vault_is_away_a_login_is_handed_out_to_its_end_and_not_after(
    booth: Booth, store: Provider[Any], clock: Clock
) -> None:
    await store.read("creds/a")
    clock.now += 60
    booth.renewals, booth.made = [answer(503)], [answer(503)]
    found = await store.read("creds/a")
    assert (user(found), found.valid_for) == ("user-1", timedelta(seconds=40))
    clock.now += 41
    booth.made = [answer(503)]
    assert type(await failing(store.read("creds/a"))) is Unreachable


async def test_a_login_that_may_no_longer_be_made_is_an_error(
    booth: Booth, store: Provider[Any], clock: Clock
) -> None:
    await store.read("creds/a")
    clock.now += 60
    booth.renewals, booth.made = [answer(400)], [answer(400, {"errors": [CANARY]})]
    assert type(await failing(store.read("creds/a"))) is Refused


@pytest.mark.parametrize("odd", [{"data": None}, {"data": CANARY}, {"data": [1]}])
async def test_an_answer_without_data_is_none(
    booth: Booth, store: Provider[Any], odd: dict[str, Any]
) -> None:
    booth.made = [lent(1, **odd)]
    assert type(await failing(store.read("creds/a"))) is Unreachable


async def test_a_key_that_waits_holds_up_no_other(guard: Guard) -> None:
    async def slowly(heard: Heard) -> web.StreamResponse:
        if heard.path.endswith("/slow"):
            await asyncio.sleep(30)
        return lent(1)

    async with serving(Recording(slowly).handle) as address:
        store = store_of(address, guard, "hvs.of-the-store")
        waiting = asyncio.ensure_future(store.read("creds/slow"))
        async with asyncio.timeout(5):
            await store.read("creds/a")
        waiting.cancel()
