"""Stores with real servers behind them: what changes there, and in the objects that settings refer to, is seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from keyturn.kube import paths
from keyturn.runtime.reach import AllowedHost, Reach
from keyturn.stores.providers import Policy, RemoteValue
from keyturn.stores.providers.errors import NotFound, Refused, Unauthorized, Unreachable
from tests.support import vault as vaults
from tests.unit.stores.fake_stores import OPERATOR, FakeStores, cluster_ref, ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.vault import VaultServer

INTERVAL = 60.0
"""Seconds for which a value is kept: no process is held up for so long."""
_LAST = 0.001
"""Seconds of a sleep that ends after those whose time has come."""


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeStores]:
    fake = FakeStores(Reach(OPERATOR, tmp_path, [AllowedHost("127.0.0.1")]))
    yield fake
    await fake.stores.close()


class Clock:
    """Sets the clock of the running loop forward; otherwise it has the real time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._time, self._ahead = loop.time, 0.0
        patch.setattr(loop, "time", lambda: self._time() + self._ahead)

    async def passes(self, seconds: float) -> None:
        """Return when all has run whose time has come."""
        self._ahead += seconds
        await asyncio.sleep(_LAST)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(scope="session")
def vault() -> Iterator[VaultServer]:
    with vaults.running() as server:
        yield server


# Files


async def test_a_changed_file_is_read_when_the_interval_is_over_or_at_once_by_who_asks_for_it_fresh(
    fake: FakeStores, tmp_path: Path, clock: Clock
) -> None:
    fake.cluster_store("files", provider="files", path=str(tmp_path), interval=INTERVAL)
    (tmp_path / "db").write_text("old")
    assert await fake.read("db", cluster_ref("files")) == "old"
    (tmp_path / "db").write_text("new")

    assert await fake.read("db", cluster_ref("files")) == "old"
    assert await fake.read("db", cluster_ref("files"), fresh=True) == "new"
    (tmp_path / "db").write_text("newer")
    await clock.passes(INTERVAL)
    assert await fake.read("db", cluster_ref("files")) == "newer"


async def test_a_store_of_one_namespace_reads_no_files_whatever_its_spec_says(
    fake: FakeStores, tmp_path: Path
) -> None:
    # The API server refuses such a spec; who weakened its rules must not open the operator's files by that.
    (tmp_path / "db").write_text("canary")
    fake.store("files", provider="files", path=str(tmp_path))

    error = await fake.refusal("db", ref("files"))

    assert (type(error), error.code) == (Refused, "NoFilesRoot")


# .env files


async def test_an_edited_env_file_in_a_config_map_is_seen(fake: FakeStores, clock: Clock) -> None:
    fake.store("env", provider="dotenv", configMapRef={"name": "env", "key": ".env"}, interval=INTERVAL)
    path = paths.config_map("shop", "env")
    fake.api.put(path, {"data": {".env": "DB=old"}})
    assert await fake.read("DB", ref("env")) == "old"
    fake.api.put(path, {"data": {".env": "DB=new"}})

    assert await fake.read("DB", ref("env"), fresh=True) == "new"
    fake.api.put(path, {"data": {".env": "DB=newer"}})
    await clock.passes(INTERVAL)
    assert await fake.read("DB", ref("env")) == "newer"


async def test_a_fresh_read_of_an_env_file_does_not_join_a_read_of_the_earlier_file(fake: FakeStores) -> None:
    fake.store("env", provider="dotenv", secretRef={"name": "env", "key": ".env"})
    fake.secret("env", **{".env": "DB=leaked"})
    fake.api.delay = 0.5
    periodic = asyncio.create_task(fake.read("DB", ref("env")))
    await fake.until(lambda: bool(fake.api.asked))
    fake.secret("env", **{".env": "DB=new"})

    assert await fake.read("DB", ref("env"), fresh=True) == "new"
    await periodic


async def test_a_fresh_read_of_an_env_file_fails_while_the_api_server_is_away(fake: FakeStores) -> None:
    fake.store("env", provider="dotenv", secretRef={"name": "env", "key": ".env"})
    fake.secret("env", **{".env": "DB=leaked"})
    await fake.read("DB", ref("env"))
    fake.api.is_away = True

    assert isinstance(await fake.refusal("DB", ref("env"), fresh=True), Unreachable)


# Kubernetes


def part(found: RemoteValue, name: str) -> bytes:
    assert not isinstance(found.content, Value)
    return found.content[name].reveal()


async def test_a_store_of_this_cluster_reads_the_namespace_of_the_caller_and_no_other(
    fake: FakeStores,
) -> None:
    fake.cluster_store("here", provider="kubernetes")
    fake.secret("db", namespace="shop", password="of shop")  # noqa: S106
    fake.secret("db", namespace="office", password="of office")  # noqa: S106
    fake.secret("only-theirs", namespace="office", password="canary")  # noqa: S106

    for namespace in ("shop", "office", "shop"):
        found = await fake.stores.read(cluster_ref("here"), namespace, "db")
        assert part(found, "password") == f"of {namespace}".encode()
    with pytest.raises(NotFound):
        await fake.stores.read(cluster_ref("here"), "shop", "only-theirs")
    with pytest.raises(Refused):
        await fake.stores.read(cluster_ref("here"), "shop", "../../office/secrets/db")


# Vault


def token_of(vault: VaultServer) -> str:
    rules = 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    vault.call("POST", "sys/policies/acl/shop", {"policy": rules})
    made = vault.call("POST", "auth/token/create", {"policies": ["shop"], "ttl": "1h"})
    return str(made["auth"]["client_token"])


def store_of(vault: VaultServer) -> dict[str, Any]:
    login = {"token": {"secretRef": {"name": "login", "key": "token"}}}
    return {"provider": "vault", "server": vault.address, "auth": login}


async def test_a_token_that_was_revoked_and_replaced_is_no_interruption(
    fake: FakeStores, vault: VaultServer
) -> None:
    fake.store("vault", interval=60, **store_of(vault))
    vault.call("POST", "secret/data/rotated", {"data": {"password": "hunter2"}})
    first = token_of(vault)
    fake.secret("login", token=first)
    await fake.read("rotated", ref("vault"))

    vault.call("POST", "auth/token/revoke", {"token": first})
    fake.secret("login", token=token_of(vault))

    assert await fake.read("rotated", ref("vault"), fresh=True) == '{"password":"hunter2"}'


async def test_a_token_that_was_revoked_is_said_to_be_refused_until_there_is_another(
    fake: FakeStores, vault: VaultServer
) -> None:
    key = fake.store("vault", interval=1, **store_of(vault))
    fake.secret("login", token="hvs.nobodys")  # noqa: S106
    assert type(await fake.refusal("x", ref("vault"))) is Unauthorized
    assert fake.reason(key) == "AuthenticationFailed"

    fake.secret("login", token=token_of(vault))

    await fake.until(lambda: fake.reason(key) == "Valid", 60)
    assert key in fake.recovered


async def test_a_vault_is_written_below_the_prefix_only(fake: FakeStores, vault: VaultServer) -> None:
    fake.cluster_store("vault", prefix="{namespace}/", **store_of(vault))
    fake.secret("login", namespace=OPERATOR, token=token_of(vault))
    vault.call("POST", "secret/data/office/db", {"data": {"password": "canary"}})

    await fake.stores.write(cluster_ref("vault"), "shop", "db", {"password": Value(b"ours")}, Policy.REPLACE)
    for key in ("../office/db", "%2e%2e/office/db", "..%2foffice/db", "x/../../office/db"):
        assert isinstance(await fake.refusal(key, cluster_ref("vault")), Refused)

    there = vault.call("GET", "secret/data/shop/db")["data"]["data"]
    assert there == {"password": "ours"}
