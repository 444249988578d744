"""What every provider keeps to, from the moment its file exists."""

import asyncio
import logging
import pkgutil
import re
import secrets
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Mapping
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.installation.crds.schema import structural
from keyturn.stores import providers
from keyturn.stores.providers import (
    Capability,
    Policy,
    Provider,
    RemoteValue,
    WriteResult,
    discover,
    properties,
    provider_of,
)
from keyturn.stores.providers.errors import NotFound, Refused, StoreError, Unauthorized, Unreachable
from tests.leaks.scan import leaks
from tests.support import vault as vaults
from tests.unit.stores.providers.provider_fixtures import ProviderUnderTest

KINDS = list(discover())
READERS = [kind for kind in KINDS if Capability.WRITE not in discover()[kind].capabilities]
ELSEWHERE = "kubernetes elsewhere"
"""The same provider with another cluster, where it writes as well."""
LENDING = "vault dynamic"
"""The same provider with an engine that is only read."""
VARIANTS = [
    *("awsSecretsManager by role", "azureKeyVault by identity", ELSEWHERE),
    *("vault by role", "vault v1", LENDING),
]
HEAVY = {"botocore", "dotenv", "google_crc32c", "jsonpath", "liquid"}
SHARED = {"base", "errors", "guard", "properties"}

SHOPS = [*KINDS, *VARIANTS]
WRITERS = [kind for kind in SHOPS if kind not in {*READERS, LENDING}]


def patient(kinds: list[str]) -> list[Any]:
    """Let the one test wait that builds Vault because nobody did on this machine."""
    waits = pytest.mark.timeout(vaults.BUILD_SECONDS)
    return [pytest.param(kind, marks=waits) if kind.startswith("vault") else kind for kind in kinds]


every = pytest.mark.parametrize("kind", patient(SHOPS))
every_kind = pytest.mark.parametrize("kind", KINDS)
every_writer = pytest.mark.parametrize("kind", patient(WRITERS))
every_remote = pytest.mark.parametrize(
    "kind", patient([kind for kind in SHOPS if kind not in {"files", "dotenv"}])
)

LOGIN = {"username": "shop", "password": "correct-horse-battery-staple"}


def parts_of(texts: Mapping[str, str]) -> dict[str, Value]:
    return {name: Value.of_text(text) for name, text in texts.items()}


async def texts(provider: Provider[Any], key: str, version: str | None = None) -> dict[str, str]:
    found = await provider.read(key, version)
    return {name: value.reveal().decode() for name, value in properties.parts(found.content).items()}


async def failing(doing: Awaitable[object]) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        await doing
    return refusal.value


def test_a_kind_begins_with_the_name_of_its_module() -> None:
    modules = {info.name for info in pkgutil.iter_modules(providers.__path__)} - SHARED
    found = {re.split("[A-Z]", kind)[0] for kind in KINDS}
    assert found == {name for name in modules if not name.startswith("_")}


def test_they_are_found_in_alphabetical_order() -> None:
    assert sorted(KINDS) == KINDS


def imported_by(doing: str) -> set[str]:
    """Name the modules that a process has imported after it has done something with providers."""
    code = f"import sys; from keyturn.stores import providers; {doing}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return set(found.stdout.split())


def test_to_find_them_imports_no_sdk() -> None:
    found = imported_by("providers.discover()")
    assert HEAVY.isdisjoint(module.partition(".")[0] for module in found)


@every_kind
def test_each_is_found_by_its_kind(kind: str) -> None:
    assert provider_of(kind) is discover()[kind]


@pytest.mark.parametrize("kind", ["", "guard", "base", "aws_secrets_manager", "vaults", "../vault", "_aws"])
def test_what_is_no_kind_is_no_provider(kind: str) -> None:
    assert provider_of(kind) is None


def test_to_use_one_imports_no_other() -> None:
    all_of_them = {provider.__module__ for provider in discover().values()}
    assert imported_by("providers.provider_of('vault')") & all_of_them == {"keyturn.stores.providers.vault"}


@every_kind
def test_users_read_a_sentence_under_each_setting(kind: str) -> None:
    schema = discover()[kind].Config.model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    found = [one for model in models for one in model.get("properties", {}).values()]
    assert all(one["description"].endswith(".") for one in found)
    assert all(model["description"].endswith(".") for model in models if "properties" in model)


@every_kind
def test_its_settings_become_a_structural_schema(kind: str) -> None:
    assert structural(discover()[kind].Config)["type"] == "object"


@every
async def test_it_reads_what_is_there(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    found = await tested.provider.read(f"{prefix}login")
    assert properties.take(found.content, "password") == Value.of_text(LOGIN["password"])


@every
async def test_it_reads_every_property(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


@every
async def test_text_of_any_language_comes_through(tested: ProviderUnderTest, prefix: str) -> None:
    written = {"password": 'Grüße, 世界 🔑 \\ " {{ $x }}'}
    await tested.seed(f"{prefix}login", written)
    assert await texts(tested.provider, f"{prefix}login") == written


@every
async def test_an_absent_key_is_not_found(tested: ProviderUnderTest, prefix: str) -> None:
    assert isinstance(await failing(tested.provider.read(f"{prefix}absent")), NotFound)


@every
async def test_an_absent_property_is_not_found(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    found = await tested.provider.read(f"{prefix}login")
    with pytest.raises(NotFound):
        properties.take(found.content, "absent")


@every
async def test_the_same_content_has_the_same_version(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    first, second = [await tested.provider.read(f"{prefix}login") for _ in range(2)]
    assert first.version == second.version


@every
async def test_a_change_is_seen_and_has_another_version(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    before = await tested.provider.read(f"{prefix}login")
    await tested.seed(f"{prefix}login", {**LOGIN, "password": "another"})
    after = await tested.provider.read(f"{prefix}login")
    assert properties.take(after.content, "password") == Value(b"another")
    assert has_changed(before, after)


def has_changed(before: RemoteValue, after: RemoteValue) -> bool:
    return before.version is None or before.version != after.version


@every
async def test_a_version_says_nothing_of_the_content(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    found = await tested.provider.read(f"{prefix}login")
    secret = LOGIN["password"].encode()
    assert leaks([secret], {"version": str(found.version).encode()}) == set()


@every
async def test_an_older_version_is_read_where_the_store_keeps_them(
    tested: ProviderUnderTest, prefix: str
) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    old = (await tested.provider.read(f"{prefix}login")).version
    await tested.seed(f"{prefix}login", {"password": "newer"})
    if Capability.VERSIONS in tested.provider.capabilities:
        assert await texts(tested.provider, f"{prefix}login", old) == LOGIN
    else:
        refusal = await failing(tested.provider.read(f"{prefix}login", "1"))
        assert (type(refusal), refusal.code) == (Refused, "NoVersions")


@every
async def test_an_unknown_version_is_an_error(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    assert isinstance(await failing(tested.provider.read(f"{prefix}login", "4711")), NotFound | Refused)


@every
async def test_many_may_read_at_once(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    found = await asyncio.gather(*(texts(tested.provider, f"{prefix}login") for _ in range(30)))
    assert found == [LOGIN] * 30


TRICKS = (
    *("", ".", "..", "../other", "a/../../b", "/etc/passwd", "a\0b", "a\nb", "a\r\nHost: evil", "%2e%2e%2fb"),
    *("a?list=true", "a#b", "..\\b", "k" * 1025, "\ud800"),
)


@every
@pytest.mark.parametrize("key", TRICKS, ids=range(len(TRICKS)))
async def test_no_key_leads_elsewhere(tested: ProviderUnderTest, prefix: str, key: str) -> None:
    await tested.seed(f"{prefix}a", LOGIN)
    assert isinstance(await failing(tested.provider.read(key)), NotFound | Refused)


# Writing


@pytest.mark.parametrize("kind", READERS)
async def test_what_is_only_read_refuses_writes(tested: ProviderUnderTest, prefix: str) -> None:
    written = await failing(tested.provider.write(f"{prefix}login", parts_of(LOGIN)))
    deleted = await failing(tested.provider.delete(f"{prefix}login"))
    assert (written.code, deleted.code) == ("ReadOnly", "ReadOnly")


@every_writer
async def test_what_is_written_is_read(tested: ProviderUnderTest, prefix: str) -> None:
    written = await tested.provider.write(f"{prefix}login", parts_of(LOGIN))
    found = await tested.provider.read(f"{prefix}login")
    assert (written.outcome, written.version) == (WriteResult.CREATED, found.version)
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


@every_writer
async def test_the_second_write_of_the_same_changes_nothing(tested: ProviderUnderTest, prefix: str) -> None:
    first = await tested.provider.write(f"{prefix}login", parts_of(LOGIN))
    second = await tested.provider.write(f"{prefix}login", parts_of(LOGIN))
    assert (second.outcome, second.version) == (WriteResult.UNCHANGED, first.version)


@every_writer
async def test_an_object_with_nested_members_is_known_again(tested: ProviderUnderTest, prefix: str) -> None:
    content = Value(b'{"keys": [{"kty": "EC", "alg": "ES256"}], "n": 1.10, "b": true, "a": "\xc3\xbc<"}')
    await tested.provider.write(f"{prefix}keys", content)
    second = await tested.provider.write(f"{prefix}keys", content)
    found = await tested.provider.inspect(f"{prefix}keys")
    assert second.outcome is WriteResult.UNCHANGED
    assert properties.have_same_members(found.content, content)


@every_writer
async def test_what_is_inspected_is_what_is_read(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    read, inspected = [
        await reading(f"{prefix}login") for reading in (tested.provider.read, tested.provider.inspect)
    ]
    assert (read.content, read.version) == (inspected.content, inspected.version)
    assert isinstance(await failing(tested.provider.inspect(f"{prefix}absent")), NotFound)


@every_writer
async def test_a_write_replaces_what_was_there(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    written = await tested.provider.write(f"{prefix}login", parts_of({"password": "newer"}))
    assert written.outcome is WriteResult.REPLACED
    assert await texts(tested.provider, f"{prefix}login") == {"password": "newer"}


@every_writer
async def test_a_write_if_not_exists_keeps_what_was_there(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    newer = parts_of({"password": "newer"})
    written = await tested.provider.write(f"{prefix}login", newer, Policy.IF_NOT_EXISTS)
    assert written.outcome is WriteResult.KEPT
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


@every_writer
async def test_a_write_if_not_exists_writes_what_was_not_there(
    tested: ProviderUnderTest, prefix: str
) -> None:
    written = await tested.provider.write(f"{prefix}login", parts_of(LOGIN), Policy.IF_NOT_EXISTS)
    assert written.outcome is WriteResult.CREATED


@every_writer
async def test_two_writers_who_create_at_once_both_find_it_done(
    tested: ProviderUnderTest, prefix: str
) -> None:
    done = await asyncio.gather(
        *(tested.provider.write(f"{prefix}login", parts_of(LOGIN)) for _ in range(4)), return_exceptions=True
    )
    assert not [one for one in done if isinstance(one, BaseException)]
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


@pytest.mark.parametrize("kind", patient([kind for kind in (*KINDS, ELSEWHERE) if kind not in READERS]))
async def test_a_key_that_appears_while_we_write_is_kept(
    tested: ProviderUnderTest, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tested.provider._read

    async def overtaken(key: str, version: str | None) -> RemoteValue:
        monkeypatch.undo()
        try:
            return await read(key, version)
        finally:
            await tested.seed(key, LOGIN)

    monkeypatch.setattr(tested.provider, "_read", overtaken)
    newer = parts_of({"password": "newer"})
    written = await tested.provider.write(f"{prefix}login", newer, Policy.IF_NOT_EXISTS)
    assert written.outcome is WriteResult.KEPT
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


@every_writer
async def test_what_is_deleted_is_not_found(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    await tested.provider.delete(f"{prefix}login")
    assert isinstance(await failing(tested.provider.read(f"{prefix}login")), NotFound)


@every_writer
async def test_to_delete_twice_or_what_is_absent_is_success(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    for key in ("login", "login", "absent"):
        await tested.provider.delete(f"{prefix}{key}")


@every_writer
async def test_what_was_deleted_can_be_written_again(tested: ProviderUnderTest, prefix: str) -> None:
    await tested.seed(f"{prefix}login", {"password": "before"})
    await tested.provider.delete(f"{prefix}login")
    await tested.provider.write(f"{prefix}login", parts_of(LOGIN))
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


@pytest.mark.parametrize("kind", patient([kind for kind in WRITERS if kind != ELSEWHERE]))
async def test_a_part_that_is_no_text_is_refused_and_changes_nothing(
    tested: ProviderUnderTest, prefix: str
) -> None:
    await tested.seed(f"{prefix}login", LOGIN)
    refusal = await failing(tested.provider.write(f"{prefix}login", {"password": Value(b"\xff\xfe")}))
    assert (type(refusal), refusal.code) == (Refused, "NotText")
    assert await texts(tested.provider, f"{prefix}login") == LOGIN


# Trouble


@every_remote
async def test_a_stranger_is_unauthorized(tested: ProviderUnderTest, prefix: str) -> None:
    assert tested.stranger
    assert isinstance(await failing(tested.stranger.read(f"{prefix}login")), Unauthorized)


@every_remote
async def test_a_store_that_is_away_is_unreachable(tested: ProviderUnderTest, prefix: str) -> None:
    assert tested.deaf
    assert isinstance(await failing(tested.deaf.read(f"{prefix}login")), Unreachable)


@every
async def test_neither_errors_nor_logs_nor_the_provider_report_a_value(
    tested: ProviderUnderTest, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    canaries = [secrets.token_hex(20) for _ in range(3)]
    caplog.set_level(logging.DEBUG)
    await tested.seed(f"{prefix}login", {"password": canaries[0]})
    said = [await anything(tested.provider.read(f"{prefix}login")), repr(vars(tested.provider))]
    for provider in filter(None, (tested.provider, tested.stranger, tested.deaf)):
        said += [
            await anything(provider.read(f"{prefix}absent")),
            await anything(provider.read(f"{prefix}login", "4711")),
            await anything(provider.write(f"{prefix}login", {"password": Value.of_text(canaries[1])})),
            await anything(provider.write(f"{prefix}login", {"x": Value.of_text("\0" + canaries[2])})),
            await anything(provider.write(f"{prefix}login", {"x": Value(b"\xff" + canaries[2].encode())})),
            await anything(provider.delete(f"{prefix}login")),
        ]
    places = {"what was said": "\n".join(said).encode(), "the log": caplog.text.encode()}
    assert leaks([text.encode() for text in (*canaries, *tested.logins)], places) == set()


async def anything(doing: Awaitable[object]) -> str:
    """Return all that could be printed of what came of it."""
    try:
        return repr(await doing)
    except StoreError as error:
        return "".join(traceback.format_exception(error)) + repr(vars(error))
