"""What is special about Vault: check-and-set, folders, deleted versions, and whom the token is shown to."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import (
    Policy,
    Provider,
    Reference,
    RemoteValue,
    WriteResult,
    discover,
    properties,
)
from keyturn.stores.providers.errors import (
    Denied,
    NotFound,
    Refused,
    StoreError,
    Throttled,
    Unauthorized,
    Unreachable,
)
from tests.support import vault as vaults
from tests.support.api_servers import Scripted, answer, serving
from tests.support.vault import VaultServer
from tests.unit.stores.providers import provider_fixtures
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, failing_without, guarded, opened
from tests.unit.stores.providers.tls_server import authority, serving_tls

pytestmark = pytest.mark.timeout(vaults.BUILD_SECONDS)

TOKEN = "hvs.token-of-the-store"  # noqa: S105  # of nobody
CANARY = "canary-of-an-answer"


@pytest.fixture
async def store(vault: VaultServer) -> AsyncIterator[Provider[Any]]:
    async with guarded(LOOPBACK) as guard:
        yield provider_fixtures.vault(vault.address, vault.token, guard)


failing = failing_without(CANARY, TOKEN)


def parts(**texts: str) -> dict[str, Value]:
    return {name: Value.of_text(text) for name, text in texts.items()}


# A real Vault


async def test_a_path_of_folders_is_read(store: Provider[Any], vault: VaultServer, prefix: str) -> None:
    vault.call("POST", f"secret/data/{prefix}a/b/c", {"data": {"x": "y"}})
    found = await store.read(f"{prefix}a/b/c")
    assert properties.take(found.content, "x") == Value(b"y")


async def test_numbers_and_lists_in_a_secret_stay_as_they_are(
    store: Provider[Any], vault: VaultServer, prefix: str
) -> None:
    vault.call("POST", f"secret/data/{prefix}a", {"data": {"n": 9007199254740991, "l": [1, {"a": None}]}})
    found = await store.read(f"{prefix}a")
    assert properties.take(found.content, "n") == Value(b"9007199254740991")
    assert properties.take(found.content, "l") == Value(b'[1,{"a":null}]')


async def test_an_older_version_that_is_destroyed_is_not_found(
    store: Provider[Any], vault: VaultServer, prefix: str
) -> None:
    for text in ("one", "two"):
        await store.write(f"{prefix}a", parts(x=text))
    vault.call("PUT", f"secret/destroy/{prefix}a", {"versions": [1]})
    assert isinstance(await failing(store.read(f"{prefix}a", "1")), NotFound)
    assert (await store.read(f"{prefix}a")).version == "2"


async def test_what_is_written_over_a_deleted_one_is_created(store: Provider[Any], prefix: str) -> None:
    await store.write(f"{prefix}a", parts(x="1"))
    await store.delete(f"{prefix}a")
    written = await store.write(f"{prefix}a", parts(x="2"))
    assert (written.outcome, written.version) == (WriteResult.CREATED, "2")


async def overtaken(
    store: Provider[Any], vault: VaultServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> WriteResult:
    """Write a key that another writer creates after our first read, and that Vault deletes in an hour."""
    vault.call("POST", f"secret/metadata/{key}", {"delete_version_after": "1h"})
    read = store._read

    async def before_another(key: str, version: str | None) -> RemoteValue:
        monkeypatch.undo()
        try:
            return await read(key, version)
        finally:
            vault.call("POST", f"secret/data/{key}", {"data": {"x": "theirs"}})

    monkeypatch.setattr(store, "_read", before_another)
    return (await store.write(key, parts(x="ours"), Policy.IF_NOT_EXISTS)).outcome


async def test_a_version_that_vault_will_delete_later_is_not_written_over(
    store: Provider[Any], vault: VaultServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await overtaken(store, vault, f"{prefix}a", monkeypatch) is WriteResult.KEPT
    assert properties.take((await store.read(f"{prefix}a")).content, "x") == Value(b"theirs")


@pytest.mark.parametrize("operation", ["delete", "destroy"])
async def test_what_is_written_over_a_destroyed_one_is_created(
    store: Provider[Any], vault: VaultServer, prefix: str, operation: str
) -> None:
    await store.write(f"{prefix}a", parts(x="1"))
    vault.call("PUT", f"secret/{operation}/{prefix}a", {"versions": [1]})
    written = await store.write(f"{prefix}a", parts(x="2"))
    assert (written.outcome, written.version) == (WriteResult.CREATED, "2")


async def test_a_deleted_secret_can_be_brought_back(
    store: Provider[Any], vault: VaultServer, prefix: str
) -> None:
    await store.write(f"{prefix}a", parts(x="1"))
    await store.delete(f"{prefix}a")
    vault.call("PUT", f"secret/undelete/{prefix}a", {"versions": [1]})
    assert properties.take((await store.read(f"{prefix}a")).content, "x") == Value(b"1")


async def test_a_lone_value_that_is_no_object_is_refused(store: Provider[Any], prefix: str) -> None:
    assert isinstance(await failing(store.write(f"{prefix}a", Value(b"text"))), Refused)


OBJECT = Value(b'{"keys": [{"kty": "EC", "alg": "ES256"}], "n": 1.10, "t": "<1>", "f": false}')


@pytest.mark.parametrize("engine", [{}, {"mount": "old", "version": "v1"}], ids=["v2", "v1"])
async def test_an_object_is_written_with_its_nested_members_and_known_again(
    vault: VaultServer, prefix: str, engine: dict[str, str]
) -> None:
    async with guarded(LOOPBACK) as guard:
        store = provider_fixtures.vault(vault.address, vault.token, guard, **engine)
        await store.write(f"{prefix}a", OBJECT)

        found = (await store.read(f"{prefix}a")).content
        again = await store.write(f"{prefix}a", OBJECT)
        kept = await store.write(f"{prefix}a", OBJECT, Policy.IF_NOT_EXISTS)
        other = await store.write(f"{prefix}a", Value(b'{"keys": []}'), Policy.IF_NOT_EXISTS)

    assert properties.take(found, "keys.0.alg") == Value(b"ES256")
    assert properties.have_same_members(found, OBJECT)
    assert [one.outcome for one in (again, kept, other)] == [
        WriteResult.UNCHANGED,
        WriteResult.UNCHANGED,
        WriteResult.KEPT,
    ]


async def test_a_number_that_vault_would_round_is_refused(store: Provider[Any], prefix: str) -> None:
    refused = await failing(store.write(f"{prefix}a", Value(b'{"account": 12345678901234567890}')))
    assert (type(refused), refused.code) == (Refused, "NotExact")
    assert isinstance(await failing(store.read(f"{prefix}a")), NotFound)


# Whom the token is shown to


async def asked_of(*answers: web.Response | float, **settings: str) -> tuple[StoreError, list[web.Request]]:
    script = Scripted(*answers)
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(provider_fixtures.vault(server, TOKEN, guard, **settings).read("a"))
    return refused, script.asked


async def test_the_namespace_of_the_settings_is_asked() -> None:
    _, asked = await asked_of(answer(404), namespace="team/shop")
    assert asked[0].headers["X-Vault-Namespace"] == "team/shop"


@pytest.mark.parametrize("written", ["", "\n", "two words", "a\r\nX-Evil: 1", "ü", "a\0"])
async def test_what_is_no_token_is_not_sent(written: str) -> None:
    script = Scripted(answer())
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        assert isinstance(
            await failing(provider_fixtures.vault(server, written, guard).read("a")), Unauthorized
        )
    assert script.asked == []


async def test_a_newline_at_the_end_of_a_token_is_no_part_of_it(vault: VaultServer, prefix: str) -> None:
    async with guarded(LOOPBACK) as guard:
        store = provider_fixtures.vault(vault.address, f"{vault.token}\n", guard)
        assert (await store.write(f"{prefix}a", parts(x="y"))).outcome is WriteResult.CREATED


@pytest.mark.parametrize(
    ("server", "code"), [("http://vault.example", "PlainHttp"), ("https://10.0.0.1:8200", "InsideAddress")]
)
async def test_a_server_inside_is_asked_only_if_an_administrator_allows_it(server: str, code: str) -> None:
    async with guarded() as guard:
        assert (await failing(provider_fixtures.vault(server, TOKEN, guard).read("a"))).code == code


async def test_the_authorities_of_ca_ref_are_trusted_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls, _ = authority(tmp_path, "localhost")
    other, _ = authority(tmp_path / "other", "localhost")
    script = Scripted(answer(body={"data": {"data": {"x": "y"}, "metadata": {"version": 3}}}))
    settings = {
        "auth": {"token": {"secretRef": {"name": "vault", "key": "token"}}},
        "caRef": {"name": "ca", "key": "ca.crt"},
    }
    referred = {
        Reference("Secret", "vault", "token"): RemoteValue(Value.of_text(TOKEN)),
        Reference("ConfigMap", "ca", "ca.crt"): RemoteValue(Value((tmp_path / "ca.crt").read_bytes())),
    }
    async with (
        serving_tls(tls, "localhost", script.handle) as good,
        serving_tls(other, "localhost", script.handle) as bad,
        guarded(AllowedHost("localhost")) as guard,
    ):
        store = opened("vault", {"server": good, **settings}, guard=guard, referred=referred)
        assert (await store.read("a")).version == "3"
        impostor = opened("vault", {"server": bad, **settings}, guard=guard, referred=referred)
        assert isinstance(await failing(impostor.read("a")), Unreachable)


# Trouble


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer(401, {"errors": [CANARY]}), Unauthorized),
        (answer(404, {"errors": [CANARY]}), NotFound),
        (answer(429, {"errors": [CANARY]}, Retry_After="5"), Throttled),
        (answer(400, {"errors": [CANARY]}), Refused),
        (answer(500, CANARY), Unreachable),
        (answer(503, {"errors": ["Vault is sealed"]}), Unreachable),
        (answer(200, f"no JSON {CANARY}"), Unreachable),
        (answer(200, {"data": CANARY}), Unreachable),
        (answer(200, {"data": {"data": {"x": CANARY}}}), Unreachable),
        (answer(200, []), Unreachable),
        (answer(200, {"data": {"data": None, "metadata": {"version": 1}}}), NotFound),
    ],
    ids=range(11),
)
async def test_an_answer_means_what_its_status_says(
    response: web.Response, meaning: type[StoreError]
) -> None:
    refused, asked = await asked_of(response)
    assert (type(refused), len(asked)) == (meaning, 1)
    assert refused.retry_after == (5.0 if meaning is Throttled else None)


@pytest.mark.parametrize(
    ("looked", "meaning"),
    [(answer(), Denied), (answer(403, {"errors": [CANARY]}), Unauthorized), (answer(503), Unreachable)],
    ids=["known", "unknown", "away"],
)
async def test_what_is_forbidden_is_denied_to_a_token_that_vault_knows(
    looked: web.Response, meaning: type[StoreError]
) -> None:
    refused, asked = await asked_of(answer(403, {"errors": [CANARY]}), looked)
    assert (type(refused), len(asked)) == (meaning, 2)


def test_settings_ask_for_the_token_and_the_authorities() -> None:
    provider = discover()["vault"]
    token, ca = {"name": "t", "key": "token"}, {"name": "ca", "key": "ca.crt"}
    config = provider.Config.model_validate(
        {"server": "https://vault.example", "auth": {"token": {"secretRef": token}}, "caRef": ca}
    )
    assert provider.needs(config) == (
        Reference("Secret", "t", "token"),
        Reference("ConfigMap", "ca", "ca.crt"),
    )
