"""How stores of Vault log in: tokens, AppRoles and ServiceAccounts, each kept alive and shown to its server only."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores.providers import Provider, Reference, RemoteValue, WriteResult, discover, errors
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.guard import Guard
from keyturn.stores.providers.vault import auth
from tests.support import vault as vaults
from tests.support.api_servers import answer, serving
from tests.support.vault import VaultServer
from tests.unit.stores.fast_clock import Clock
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, failing_without, guarded, opened
from tests.unit.stores.providers.recording_server import Heard, Recording

pytestmark = pytest.mark.timeout(vaults.BUILD_SECONDS)

CANARY = "canary-of-an-answer"
SECRET_ID = "canary-secret-id-of-a-role"  # noqa: S105  # of nobody
ACCOUNT_TOKEN = "canary.token-of.the-service-account"  # noqa: S105
APP_ROLE = {"appRole": {"roleId": "shop", "secretRef": {"name": "role", "key": "id"}}}
ACCOUNT = {"kubernetes": {"role": "shop", "serviceAccountRef": {"name": "reader"}}}


failing = failing_without(CANARY, SECRET_ID, ACCOUNT_TOKEN, "hvs.")


def store_of(
    address: str,
    guard: Guard,
    auth: Any,
    login: str = SECRET_ID,
    settings: Mapping[str, str] | None = None,
    **given: Any,
) -> Provider[Any]:
    names = [Reference("Secret", "role", "id"), Reference("Secret", "vault", "token")]
    referred = dict.fromkeys(names, RemoteValue(Value.of_text(login)))
    known = {"guard": guard, "referred": referred, "namespace": "shop", "patience": 60.0, **given}
    return opened("vault", {"server": address, "auth": auth, **(settings or {})}, **known)


# A real Vault with AppRoles


class Role:
    """An AppRole that may read and write what a policy of its own says."""

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self.name = f"role-{secrets.token_hex(4)}"

    def make(
        self, *, may: str = '"read", "create", "update"', policy: str = "", **settings: str
    ) -> tuple[str, str]:
        """Return the role's ID and a secret ID."""
        rules = policy or f'path "secret/*" {{ capabilities = [{may}] }}'
        self._server.call("PUT", f"sys/policies/acl/{self.name}", {"policy": rules})
        asked = {"token_policies": self.name, "token_ttl": "1h", **settings}
        self._server.call("POST", f"auth/approle/role/{self.name}", asked)
        known = self._server.call("GET", f"auth/approle/role/{self.name}/role-id")["data"]
        made = self._server.call("POST", f"auth/approle/role/{self.name}/secret-id", {})["data"]
        return known["role_id"], made["secret_id"]

    def shorten(self, longest: str) -> None:
        """Let its tokens be renewed for no longer than that, as near their maximum."""
        times = {"token_ttl": longest, "token_max_ttl": longest}
        self._server.call("POST", f"auth/approle/role/{self.name}", times)


@pytest.fixture
def role(vault: VaultServer) -> Role:
    return Role(vault)


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with guarded(LOOPBACK) as guard:
        yield guard


def by_role(vault: VaultServer, guard: Guard, made: tuple[str, str], **settings: str) -> Provider[Any]:
    auth = {"appRole": {"roleId": made[0], "secretRef": {"name": "role", "key": "id"}}}
    return store_of(vault.address, guard, auth, made[1], settings)


def tokens_of(vault: VaultServer) -> set[str]:
    return set(vault.names("auth/token/accessors"))


async def test_an_app_role_logs_in_once_for_many_reads(
    vault: VaultServer, guard: Guard, role: Role, prefix: str
) -> None:
    vault.call("POST", f"secret/data/{prefix}a", {"data": {"x": "y"}})
    store, before = by_role(vault, guard, role.make()), tokens_of(vault)
    found = await asyncio.gather(*(store.read(f"{prefix}a") for _ in range(10)))
    assert {one.version for one in found} == {"1"}
    assert len(tokens_of(vault) - before) == 1


async def test_a_store_that_is_closed_leaves_no_token_behind(
    vault: VaultServer, guard: Guard, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_REVOCATION_TIMEOUT", 60.0)
    store, before = by_role(vault, guard, role.make()), tokens_of(vault)
    await store.check()
    assert tokens_of(vault) != before
    await store.close()
    assert tokens_of(vault) == before


async def test_a_token_of_a_secret_is_left_alone_by_a_close(vault: VaultServer, guard: Guard) -> None:
    made = vault.call("POST", "auth/token/create", {"ttl": "1h"})["auth"]
    token = {"token": {"secretRef": {"name": "vault", "key": "token"}}}
    store = store_of(vault.address, guard, token, made["client_token"])
    await store.check()
    await store.close()
    assert made["accessor"] in tokens_of(vault)


async def test_a_token_that_was_revoked_is_replaced_by_the_next_read(
    vault: VaultServer, guard: Guard, role: Role, prefix: str
) -> None:
    vault.call("POST", f"secret/data/{prefix}a", {"data": {"x": "y"}})
    store, before = by_role(vault, guard, role.make()), tokens_of(vault)
    await store.read(f"{prefix}a")
    (ours,) = tokens_of(vault) - before
    vault.call("POST", "auth/token/revoke-accessor", {"accessor": ours})
    assert (await store.read(f"{prefix}a")).version == "1"


async def test_what_the_policies_do_not_allow_is_denied_and_the_token_kept(
    vault: VaultServer, guard: Guard, role: Role
) -> None:
    store, before = by_role(vault, guard, role.make(may='"deny"')), tokens_of(vault)
    assert type(await failing(store.read("a"))) is errors.Denied
    assert type(await failing(store.read("b"))) is errors.Denied
    assert len(tokens_of(vault) - before) == 1
    await store.check()


def allowed(path: str, *capabilities: str) -> str:
    return f'path "{path}" {{ capabilities = {json.dumps(capabilities)} }}\n'


async def test_the_rights_that_the_documentation_names_are_enough_to_read(
    vault: VaultServer, guard: Guard, role: Role, prefix: str
) -> None:
    vault.call("POST", f"secret/data/{prefix}/a", {"data": {"x": "y"}})
    vault.call("POST", f"old/{prefix}/a", {"x": "y"})
    policy = allowed(f"secret/data/{prefix}/*", "read") + allowed(f"old/{prefix}/*", "read")
    made = role.make(policy=policy)
    store, old = by_role(vault, guard, made), by_role(vault, guard, made, mount="old", version="v1")
    await store.check()
    for one in (store, old):
        assert (await one.read(f"{prefix}/a")).content == Value(b'{"x":"y"}')
        assert type(await failing(one.write(f"{prefix}/a", {"x": Value(b"z")}))) is errors.Denied


async def test_the_rights_that_the_documentation_names_are_enough_to_push(
    vault: VaultServer, guard: Guard, role: Role, prefix: str
) -> None:
    data = allowed(f"secret/data/{prefix}/*", "read", "create", "update", "delete")
    store = by_role(vault, guard, role.make(policy=data + allowed(f"secret/metadata/{prefix}/*", "read")))
    for text in (b"x", b"y"):
        await store.write(f"{prefix}/a", {"x": Value(text)})
    await store.delete(f"{prefix}/a")
    assert (await store.write(f"{prefix}/a", {"x": Value(b"z")})).outcome is WriteResult.CREATED


@pytest.mark.parametrize("wrong", ["roleId", "secret"])
async def test_an_unknown_role_or_secret_is_a_refused_login(
    vault: VaultServer, guard: Guard, role: Role, wrong: str
) -> None:
    role_id, secret_id = role.make()
    made = ("nobody", secret_id) if wrong == "roleId" else (role_id, SECRET_ID)
    store = by_role(vault, guard, made)
    for doing in (store.read("a"), store.check()):
        refused = await failing(doing)
        assert type(refused) is errors.Unauthorized
        assert "rejects the login" in refused.hint


async def test_a_token_that_vault_does_not_know_is_unauthorized(vault: VaultServer, guard: Guard) -> None:
    token = {"token": {"secretRef": {"name": "vault", "key": "token"}}}
    store = store_of(vault.address, guard, token, "hvs.of-nobody")
    for doing in (store.read("a"), store.check()):
        assert type(await failing(doing)) is errors.Unauthorized


async def test_a_token_is_renewed_and_then_replaced(
    vault: VaultServer, guard: Guard, role: Role, prefix: str, clock: Clock
) -> None:
    """The time passes on the clock of the store alone: on a busy machine a short token ends before it is renewed."""
    vault.call("POST", f"secret/data/{prefix}a", {"data": {"x": "y"}})
    store, before = by_role(vault, guard, role.make(token_ttl="1h")), tokens_of(vault)  # noqa: S106
    await store.read(f"{prefix}a")
    (first,) = tokens_of(vault) - before
    assert not is_renewed(vault, first)

    clock.now += 2000  # more than half of its hour
    await store.read(f"{prefix}a")
    assert tokens_of(vault) - before == {first}
    assert is_renewed(vault, first)

    role.shorten("10m")
    clock.now += 2000
    await store.read(f"{prefix}a")
    (second,) = tokens_of(vault) - before - {first}
    vault.call("POST", "auth/token/revoke-accessor", {"accessor": first})
    assert (await store.read(f"{prefix}a")).version == "1"
    assert tokens_of(vault) - before == {second}


def is_renewed(vault: VaultServer, accessor: str) -> bool:
    about = vault.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
    return "last_renewal" in about


# A Vault that remembers


class ScriptedVault:
    """A Vault that gives tokens of a hundred seconds, and remembers what it hears."""

    def __init__(self) -> None:
        self.logins: list[web.Response] = []
        self.renewals: list[web.Response] = []
        self.looks: list[web.Response] = []
        self.reads: list[web.Response] = []
        self.asked_for: list[tuple[str, str]] = []
        self.recording = Recording(self._answer)

    def _answer(self, heard: Heard) -> web.Response:
        if heard.path.endswith("/login"):
            return self.logins.pop(0) if self.logins else session(len(self.counted("/login")))
        if heard.path.endswith("/renew-self"):
            return self.renewals.pop(0) if self.renewals else session(0)
        if heard.path.endswith("/lookup-self"):
            return self.looks.pop(0) if self.looks else answer(200, {"data": {}})
        return self.reads.pop(0) if self.reads else answer(404)

    async def token_of(self, account: str, audience: str) -> Value:
        self.asked_for.append((account, audience))
        return Value.of_text(ACCOUNT_TOKEN)

    def counted(self, ending: str) -> list[Heard]:
        return [one for one in self.recording.heard if one.path.endswith(ending)]


def session(number: int, lasts: object = 100, **more: object) -> web.Response:
    token = f"hvs.canary-token-{number}"
    return answer(200, {"auth": {"client_token": token, "lease_duration": lasts, "renewable": True, **more}})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth, "loop_time", clock)
    return clock


@pytest.fixture
def scripted() -> ScriptedVault:
    return ScriptedVault()


@pytest.fixture
async def address(scripted: ScriptedVault) -> AsyncIterator[str]:
    async with serving(scripted.recording.handle) as address:
        yield address


async def test_a_service_account_shows_a_token_for_vault_alone(
    scripted: ScriptedVault, address: str, guard: Guard
) -> None:
    store = store_of(address, guard, ACCOUNT, token_of=scripted.token_of)
    assert type(await failing(store.read("a"))) is errors.NotFound
    login, read = scripted.recording.heard
    assert scripted.asked_for == [("reader", "vault")]
    assert (login.method, login.path) == ("POST", "/v1/auth/kubernetes/login")
    assert login.json == {"role": "shop", "jwt": ACCOUNT_TOKEN}
    assert "X-Vault-Token" not in login.headers
    assert read.headers["X-Vault-Token"] == "hvs.canary-token-1"
    assert ACCOUNT_TOKEN.encode() not in read.words


class KeptLogin:
    """A session that an earlier process has stored."""

    async def load(self) -> Value | None:
        return Value.of_text("hvs.canary-token-kept")

    async def save(self, login: Value) -> None:
        raise AssertionError(login)


@pytest.mark.parametrize(("left", "asked"), [(40, ["lookup-self", "revoke"]), (0, ["lookup-self"])])
async def test_the_session_of_a_service_account_without_tokens_is_used_to_its_end_and_not_extended(
    scripted: ScriptedVault, address: str, guard: Guard, left: int, asked: list[str]
) -> None:
    about = {"creation_ttl": 100, "ttl": left, "renewable": True}
    scripted.looks = [answer(200, {"data": about})]
    scripted.reads = [answer(204)]
    settings = {"engine": "dynamic", "mount": "database"}
    store = store_of(address, guard, ACCOUNT, settings=settings, keep=KeptLogin())

    revocation = store.revoke_lease("creds/a", ProviderLease("database/creds/a/1", "", timedelta(seconds=9)))
    if left:
        await revocation
    else:
        assert (await failing(revocation)).code == "NoTokens"

    assert [one.path.rpartition("/")[2] for one in scripted.recording.heard] == asked


async def test_the_settings_name_another_mount_and_the_server_as_audience(
    scripted: ScriptedVault, address: str, guard: Guard
) -> None:
    auth = {"kubernetes": {**ACCOUNT["kubernetes"], "mountPath": "team/k8s", "audience": f"{address}/"}}
    await failing(store_of(address, guard, auth, token_of=scripted.token_of).read("a"))
    assert scripted.recording.paths[0] == "POST /v1/auth/team/k8s/login"
    assert scripted.asked_for == [("reader", f"{address}/")]


@pytest.mark.parametrize(
    "audience", ["sts.amazonaws.com", "api://AzureADTokenExchange", "https://other.test"]
)
async def test_no_token_is_asked_for_that_is_good_elsewhere(
    audience: str, scripted: ScriptedVault, address: str, guard: Guard
) -> None:
    auth = {"kubernetes": {**ACCOUNT["kubernetes"], "audience": audience}}
    refused = await failing(store_of(address, guard, auth, token_of=scripted.token_of).read("a"))
    assert (type(refused), refused.code) == (errors.Refused, "ForeignAudience")
    assert (scripted.asked_for, scripted.recording.heard) == ([], [])


async def test_an_app_role_shows_its_id_and_secret(
    scripted: ScriptedVault, address: str, guard: Guard
) -> None:
    await failing(store_of(address, guard, APP_ROLE, f"{SECRET_ID}\n").read("a"))
    (login,) = scripted.counted("/login")
    assert login.path == "/v1/auth/approle/login"
    assert login.json == {"role_id": "shop", "secret_id": SECRET_ID}


async def test_a_token_is_renewed_when_half_of_its_time_is_over(
    scripted: ScriptedVault, address: str, guard: Guard, clock: Clock
) -> None:
    store = store_of(address, guard, APP_ROLE)
    for passed, renewed in ((0, 0), (49, 0), (2, 1), (49, 1), (2, 2)):
        clock.now += passed
        await failing(store.read("a"))
        assert (len(scripted.counted("/login")), len(scripted.counted("/renew-self"))) == (1, renewed)


@pytest.mark.parametrize(
    "renewal", [session(0, lasts=40), answer(403), answer(400, {"errors": [CANARY]}), answer(200, {})]
)
async def test_a_token_that_is_not_renewed_for_long_is_replaced(
    scripted: ScriptedVault, address: str, guard: Guard, clock: Clock, renewal: web.Response
) -> None:
    store = store_of(address, guard, APP_ROLE)
    await failing(store.read("a"))
    clock.now += 51
    scripted.renewals = [renewal]
    await failing(store.read("a"))
    assert scripted.recording.heard[-1].headers["X-Vault-Token"] == "hvs.canary-token-2"


async def test_a_token_that_cannot_be_renewed_is_replaced_at_once(
    scripted: ScriptedVault, address: str, guard: Guard, clock: Clock
) -> None:
    scripted.logins = [session(1, renewable=False)]
    store = store_of(address, guard, APP_ROLE)
    for passed in (0, 51):
        clock.now += passed
        await failing(store.read("a"))
    assert (len(scripted.counted("/login")), len(scripted.counted("/renew-self"))) == (2, 0)


async def test_while_logins_fail_for_now_a_token_is_used_to_its_end(
    scripted: ScriptedVault, address: str, guard: Guard, clock: Clock
) -> None:
    store = store_of(address, guard, APP_ROLE)
    await failing(store.read("a"))
    clock.now += 60
    scripted.renewals = [answer(503)]
    assert type(await failing(store.read("a"))) is errors.NotFound
    clock.now += 60
    scripted.logins = [answer(503)]
    assert type(await failing(store.read("a"))) is errors.Unreachable


async def test_a_token_without_an_end_is_never_renewed(
    scripted: ScriptedVault, address: str, guard: Guard, clock: Clock
) -> None:
    scripted.logins = [session(1, lasts=0)]
    store = store_of(address, guard, APP_ROLE)
    for passed in (0, 10**9):
        clock.now += passed
        await failing(store.read("a"))
    assert len(scripted.recording.heard) == 3


async def test_a_refused_read_is_tried_once_more_with_a_new_login(
    scripted: ScriptedVault, address: str, guard: Guard
) -> None:
    scripted.reads = [answer(403, {"errors": [CANARY]})] * 2
    scripted.looks = [answer(403)]
    store = store_of(address, guard, APP_ROLE)
    assert type(await failing(store.read("a"))) is errors.Denied
    assert [one.path for one in scripted.recording.heard] == [
        "/v1/auth/approle/login",
        "/v1/secret/data/a",
        "/v1/auth/token/lookup-self",
        "/v1/auth/approle/login",
        "/v1/secret/data/a",
    ]


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer(400, {"errors": [CANARY]}), errors.Unauthorized),
        (answer(403, {"errors": [CANARY]}), errors.Unauthorized),
        (answer(404, {"errors": [CANARY]}), errors.Unauthorized),
        (answer(429), errors.Throttled),
        (answer(500, {"errors": [CANARY]}), errors.Unreachable),
        (answer(200, {"auth": None}), errors.Unauthorized),
        (answer(200, {"auth": {"client_token": "", "mfa_requirement": {}}}), errors.Unauthorized),
        (answer(200, {"auth": {"client_token": f"{CANARY}\r\nX: y"}}), errors.Unauthorized),
        (answer(200, CANARY), errors.Unreachable),
    ],
    ids=range(9),
)
async def test_a_login_that_gives_no_token_is_refused_or_waited_for(
    scripted: ScriptedVault,
    address: str,
    guard: Guard,
    response: web.Response,
    meaning: type[errors.StoreError],
) -> None:
    scripted.logins = [response]
    refused = await failing(store_of(address, guard, APP_ROLE).read("a"))
    assert (type(refused), len(scripted.recording.heard)) == (meaning, 1)


async def test_without_tokens_of_service_accounts_no_request_is_sent(
    scripted: ScriptedVault, address: str, guard: Guard
) -> None:
    assert (await failing(store_of(address, guard, ACCOUNT).read("a"))).code == "NoTokens"
    assert scripted.recording.heard == []


async def test_a_close_that_fails_is_no_error(address: str, guard: Guard) -> None:
    store = store_of(address, guard, APP_ROLE)
    await failing(store.read("a"))
    await guard.close()
    await store.close()


def test_settings_say_what_they_need_and_whom_they_log_in_as() -> None:
    provider = discover()["vault"]

    def asked(auth: object) -> tuple[object, object]:
        config = provider.Config.model_validate({"server": "https://vault.example", "auth": auth})
        return provider.needs(config), provider.logs_in_as(config)

    assert asked(APP_ROLE) == ((Reference("Secret", "role", "id"),), None)
    assert asked(ACCOUNT) == ((), "reader")
