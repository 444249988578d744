"""What Azure keeps, and how; what the refusals of a vault mean; and which challenges of a vault are followed."""

import json
import time
from itertools import product
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores import located
from keyturn.stores.providers import Policy, Provider, WriteResult, errors
from keyturn.stores.providers.errors import Conflict, Denied, NotFound, Refused, UnusableError
from keyturn.stores.providers.guard import Guard
from tests.leaks.scan import leaks
from tests.unit.stores.providers.azure.exchanges import again, answering, failing, refusal
from tests.unit.stores.providers.azure.fake_azure import CLIENT, LOGIN, VAULT, Azure, Sent
from tests.unit.stores.providers.azure.fake_entra_id import CANARY, TENANT

# Values


async def test_a_lone_text_is_written_as_text(store: Provider[Any], azure: Azure) -> None:
    await store.write("key", Value(b"text"))
    assert (azure.vault.newest("key").value, azure.vault.newest("key").content_type) == ("text", "text/plain")


async def test_parts_are_written_as_one_json_document(store: Provider[Any], azure: Azure) -> None:
    await store.write("key", {"b": Value(b"2"), "a": Value("ü".encode())})
    there = azure.vault.newest("key")
    assert (json.loads(there.value), there.content_type) == ({"a": "ü", "b": "2"}, "application/json")


async def test_what_we_create_says_who_made_it(store: Provider[Any], azure: Azure) -> None:
    await store.write("key", Value(b"x"))
    assert azure.vault.newest("key").tags == {"managed-by": "keyturn"}


async def test_what_we_replace_keeps_the_tags_that_it_had(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", tags={"cost-centre": "4711"})
    await store.write("key", Value(b"y"))
    assert azure.vault.newest("key").tags == {"cost-centre": "4711"}


@pytest.mark.parametrize("version", ["", "latest", "../other", "0" * 31, "g" * 32])
async def test_what_is_no_version_is_not_asked_for(store: Provider[Any], azure: Azure, version: str) -> None:
    assert (await failing(store.read("key", version))).code == "InvalidVersion"
    assert azure.sent == []


@pytest.mark.parametrize(
    "key",
    [
        *("shop_auth", "shop.auth", "ü", "k" * 128, f"{'k' * 64}/{'k' * 62}"),
        *("/a", "a/", "a//b", "a/../b", "a--b/c", "a/b--c", "a-/b", "a/-b"),
    ],
)
async def test_what_is_no_name_in_azure_is_refused(store: Provider[Any], azure: Azure, key: str) -> None:
    refused = await failing(store.read(key))
    assert (type(refused), refused.code) == (Refused, "InvalidKey")
    assert azure.sent == []


async def test_a_slash_is_written_as_two_hyphens(store: Provider[Any], azure: Azure) -> None:
    await store.write("team-a/shop/db", Value(b"x"))
    assert list(azure.vault.alive) == ["team-a--shop--db"]
    assert (await store.read("team-a/shop/db")).content == Value(b"x")
    await store.delete("team-a/shop/db")
    assert azure.vault.alive == {}


async def test_a_name_with_two_hyphens_is_read_as_it_is(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("ConnectionStrings--Db", "x")
    assert (await store.read("ConnectionStrings--Db")).content == Value(b"x")


def test_no_two_keys_with_slashes_are_the_same_name(store: Provider[Any]) -> None:
    spelled = ("".join(letters) for length in range(1, 9) for letters in product("a-/", repeat=length))
    taken = [key for key in spelled if "/" in key and is_taken(store, key)]
    assert {"a/a", "a-a/a", "a/a/a"} <= set(taken)
    assert len({key.replace("/", "--") for key in taken}) == len(taken)


def test_below_a_prefix_no_namespace_reaches_the_names_of_another(store: Provider[Any]) -> None:
    keys = ["".join(letters) for length in range(1, 7) for letters in product("a-/", repeat=length)]
    reached: dict[str, str] = {}
    for namespace, key in product(("a", "a-a", "a--a", "a--a--a"), keys):
        found = below_a_prefix(key, namespace)
        if found and is_taken(store, found):
            assert reached.setdefault(found.replace("/", "--"), namespace) == namespace
    assert set(reached.values()) == {"a", "a-a"}


def below_a_prefix(key: str, namespace: str) -> str | None:
    try:
        return located(key, "{namespace}/", namespace)
    except Refused:
        return None


def is_taken(store: Provider[Any], key: str) -> bool:
    try:
        store._check(key)
    except Refused:
        return False
    return True


async def test_as_much_as_azure_keeps_is_written_and_read(store: Provider[Any]) -> None:
    content = Value(b"x" * 25600)
    await store.write("key", content)
    assert (await store.read("key")).content == content


async def test_more_than_azure_keeps_is_refused_and_not_sent(store: Provider[Any], azure: Azure) -> None:
    refused = await failing(store.write("key", Value(b"x" * 25601)))
    assert (type(refused), refused.code) == (Refused, "TooLarge")
    assert azure.vault.alive == {}


async def test_a_lone_value_that_is_no_text_is_refused(store: Provider[Any]) -> None:
    refused = await failing(store.write("key", Value(b"\xff")))
    assert (type(refused), refused.code) == (Refused, "NotText")


# What is not of use


async def test_a_disabled_secret_is_refused(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", attributes={"enabled": False})
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (Refused, "SecretDisabled")


async def test_a_disabled_secret_is_not_written_over(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", attributes={"enabled": False})
    assert (await failing(store.write("key", Value(b"y")))).code == "SecretDisabled"
    assert azure.vault.newest("key").value == "x"


async def test_an_expired_secret_is_not_found(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", attributes={"exp": int(time.time()) - 1})
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (UnusableError, "Expired")
    assert isinstance(refused, NotFound)


async def test_an_expired_secret_is_written_over(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", attributes={"exp": int(time.time()) - 1})
    assert (await store.write("key", Value(b"y"))).outcome is WriteResult.CREATED
    assert (await store.read("key")).content == Value(b"y")


async def test_an_expired_secret_exists(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", attributes={"exp": int(time.time()) - 1})
    assert (await store.write("key", Value(b"y"), Policy.IF_NOT_EXISTS)).outcome is WriteResult.KEPT
    assert azure.vault.newest("key").value == "x"


async def test_an_expired_secret_that_is_replaced_keeps_its_tags(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", tags={"cost-centre": "4711"}, attributes={"exp": int(time.time()) - 1})
    await store.write("key", Value(b"y"))
    assert azure.vault.newest("key").tags == {"cost-centre": "4711"}


@pytest.mark.parametrize("attribute", [{"exp": -1}, {"nbf": 86400}], ids=["expired", "of tomorrow"])
async def test_a_secret_outside_of_its_dates_can_be_inspected(
    store: Provider[Any], azure: Azure, attribute: dict[str, int]
) -> None:
    now = int(time.time())
    azure.vault.seed("key", "x", attributes={name: now + seconds for name, seconds in attribute.items()})
    assert (await store.inspect("key")).content == Value(b"x")


async def test_neither_an_absent_nor_a_disabled_secret_can_be_inspected(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "x", attributes={"enabled": False})
    assert type(await failing(store.inspect("absent"))) is NotFound
    assert (await failing(store.inspect("key"))).code == "SecretDisabled"


async def test_a_secret_of_tomorrow_is_refused(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x", attributes={"nbf": int(time.time()) + 86400})
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (Refused, "NotYetValid")


async def test_a_secret_within_its_dates_is_read(store: Provider[Any], azure: Azure) -> None:
    now = int(time.time())
    azure.vault.seed("key", "x", attributes={"nbf": now - 60, "exp": now + 60})
    assert (await store.read("key")).content == Value(b"x")


# Deletion


async def test_what_is_deleted_can_be_recovered(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x")
    await store.delete("key")
    assert (list(azure.vault.alive), list(azure.vault.deleted)) == ([], ["key"])


async def test_a_deleted_name_is_recovered_before_it_is_written_over(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "old", tags={"cost-centre": "4711"})
    await store.delete("key")
    written = await store.write("key", Value(b"new"))
    assert written.outcome is WriteResult.CREATED
    assert [one.value for one in azure.vault.alive["key"]] == ["old", "new"]
    assert azure.vault.newest("key").tags == {"cost-centre": "4711"}
    assert not [one for one in azure.sent if one.method == "DELETE" and "deletedsecrets" in one.path]


async def test_a_deletion_and_a_recovery_that_take_their_time_are_waited_for(
    store: Provider[Any], azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyturn.stores.providers.azure._POLL_SECONDS", 0)
    azure.vault.polls = 3
    azure.vault.seed("key", "old")
    await store.delete("key")
    assert (await store.write("key", Value(b"new"))).outcome is WriteResult.CREATED
    assert (await store.read("key")).content == Value(b"new")


async def test_who_may_not_recover_is_denied(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "old")
    await store.delete("key")
    azure.entra.applications[CLIENT].may = frozenset({"get", "set"})
    assert isinstance(await failing(store.write("key", Value(b"new"))), Denied)


@pytest.mark.parametrize("inner", ["ObjectIsBeingDeleted", "ObjectIsBeingRecovered"])
async def test_a_name_that_is_being_deleted_is_a_conflict(
    store: Provider[Any], azure: Azure, inner: str
) -> None:
    azure.instead = lambda sent: refusal(409, "Conflict", inner) if sent.method == "PUT" else None
    await failing(store.read("key"))
    assert isinstance(await failing(store.write("key", Value(b"x"))), Conflict)


@pytest.mark.parametrize(
    ("answer", "meaning", "code"),
    [
        (refusal(403, "Forbidden", "ForbiddenByRbac"), errors.Denied, "ForbiddenByRbac"),
        (refusal(403, "Forbidden", "ForbiddenByPolicy"), errors.Denied, "ForbiddenByPolicy"),
        (refusal(403, "Forbidden", "AccessDenied"), errors.Denied, "AccessDenied"),
        (refusal(403, "Forbidden"), errors.Denied, "Forbidden"),
        (refusal(403, "Forbidden", "ForbiddenByFirewall"), errors.Refused, "ForbiddenByFirewall"),
        (refusal(403, "Forbidden", "SecretDisabled"), errors.Refused, "SecretDisabled"),
        (refusal(404, "SecretNotFound"), errors.NotFound, "SecretNotFound"),
        (refusal(400, "BadParameter"), errors.Refused, "BadParameter"),
        (refusal(429, "Throttled", Retry_After="5"), errors.Throttled, "Throttled"),
        (refusal(500, "InternalServerError"), errors.Unreachable, "InternalServerError"),
        (refusal(503, "Forbidden", "ForbiddenByRbac"), errors.Unreachable, "ForbiddenByRbac"),
        (refusal(503, f"{CANARY} in words"), errors.Unreachable, "Unknown"),
        (refusal(403, [CANARY], {"x": CANARY}), errors.Denied, "Unknown"),
        (answering(502, f"<html>{CANARY}</html>"), errors.Unreachable, "Status502"),
        (answering(404, [CANARY]), errors.NotFound, "Status404"),
        (answering(302, CANARY, Location=f"https://{CANARY}"), errors.Refused, "Redirected"),
    ],
    ids=range(16),
)
async def test_a_refusal_means_what_its_codes_say(
    store: Provider[Any], azure: Azure, answer: web.Response, meaning: type[errors.StoreError], code: str
) -> None:
    azure.instead = lambda sent: again(answer) if "Authorization" in sent.headers else None
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (meaning, code)
    assert refused.retry_after == (5.0 if meaning is errors.Throttled else None)
    assert len(azure.sent_to(VAULT)) == 2  # a challenge and a refusal: the caller says when to try again


ID = f"https://{VAULT}/secrets/key/{'0' * 32}"
BOMB = "<!DOCTYPE b [<!ENTITY a '" + CANARY * 9 + "'>]><b>&a;</b>"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "application/json"),
        (f"no JSON {CANARY}", "application/json"),
        (BOMB, "text/xml"),
        (f"[{CANARY!r}]", "text/plain"),
        ("[]", "application/json"),
        ("{}", "application/json"),
        ('{"value":' + "[" * 100_000 + "]" * 100_000 + "}", "application/json"),
        ('{"value":' + "9" * 5000 + "}", "application/json"),
        (json.dumps({"value": None, "id": ID}), "application/json"),
        (json.dumps({"value": CANARY}), "application/json"),
        (json.dumps({"value": CANARY, "id": CANARY}), "application/json"),
        (json.dumps({"value": CANARY, "id": f"https://{VAULT}/secrets/key"}), "application/json"),
        ('{"value": "' + CANARY + '\\ud800", "id": "' + ID + '"}', "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "attributes": {"exp": CANARY}}), "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "attributes": [CANARY]}), "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "tags": [CANARY]}), "application/json"),
    ],
    ids=range(16),
)
async def test_what_makes_no_sense_is_no_answer(
    store: Provider[Any], azure: Azure, text: str, kind: str
) -> None:
    def senseless(sent: Sent) -> web.Response | None:
        return web.Response(text=text, content_type=kind) if "Authorization" in sent.headers else None

    azure.instead = senseless
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (errors.Unreachable, "MalformedAnswer")


async def test_a_vault_that_lets_us_in_is_checked_without_reading_a_value(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "x")
    azure.entra.applications[CLIENT].may = frozenset()
    await store.check()
    assert not [one for one in azure.sent if one.path.endswith("/key")]


async def test_a_login_that_is_refused_is_found_by_the_check(azure: Azure, guard: Guard) -> None:
    refused = await failing(azure.store(guard, "wrong-secret").check())
    assert (type(refused), refused.code) == (errors.Unauthorized, "AADSTS7000215")


async def test_a_vault_behind_its_network_rules_is_found_by_the_check(
    store: Provider[Any], azure: Azure
) -> None:
    azure.instead = lambda sent: (
        refusal(403, "Forbidden", "ForbiddenByFirewall") if sent.host == VAULT else None
    )
    assert isinstance(await failing(store.check()), errors.Refused)


OTHER_TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"


HOSTILE = [
    ({"authorization": f"https://evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"https://login.test.evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"http://login.microsoftonline.com/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"//evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": "https://[evil/x"}, "ForeignAuthority"),
    ({"authorization_uri": f"https://evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"https://login.microsoftonline.com/{OTHER_TENANT}"}, "ForeignTenant"),
    ({"authorization": "https://login.microsoftonline.com/common"}, "ForeignTenant"),
    ({"authorization": "https://login.microsoftonline.com"}, "ForeignTenant"),
    ({"resource": "https://management.azure.com"}, "ForeignResource"),
    ({"resource": "https://vault.azure.net"}, "ForeignResource"),
    ({"resource": "https://test"}, "ForeignResource"),
    ({"resource": ""}, "ForeignResource"),
    ({"resource": "", "scope": "https://graph.microsoft.com/.default"}, "ForeignResource"),
]
hostile = pytest.mark.parametrize(("named", "code"), HOSTILE, ids=range(len(HOSTILE)))


@hostile
async def test_a_vault_that_sends_us_elsewhere_gets_no_login_and_no_token(
    store: Provider[Any], azure: Azure, named: dict[str, str], code: str
) -> None:
    azure.instead = lambda sent: azure.unauthorized(**named) if sent.host == VAULT else None
    refused = await failing(store.write("key", Value(b"x")))
    assert (type(refused), refused.code) == (Refused, code)
    (asked,) = azure.sent
    assert (asked.host, asked.headers.get("Authorization"), asked.body) == (VAULT, None, "")


async def test_a_challenge_of_another_name_of_the_authority_is_taken(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "x")
    known = f"https://login.windows.net/{TENANT.upper()}"

    def challenging(sent: Sent) -> web.Response | None:
        is_first = sent.host == VAULT and "Authorization" not in sent.headers
        return azure.unauthorized(authorization=known) if is_first else None

    azure.instead = challenging
    assert (await store.read("key")).content == Value(b"x")
    assert [one.host for one in azure.sent] == [VAULT, LOGIN, VAULT]


async def test_a_vault_sees_no_value_before_it_has_shown_who_it_is(
    store: Provider[Any], azure: Azure
) -> None:
    azure.instead = lambda sent: azure.unauthorized() if sent.host == VAULT and sent.method == "PUT" else None
    await failing(store.write("key", Value(b"the-value-of-a-secret")))
    assert [one.headers["Authorization"] for one in azure.sent_to(VAULT) if "the-value" in one.body]


async def test_a_vault_is_sent_what_it_needs_and_nothing_of_this_machine(
    store: Provider[Any], azure: Azure, guard: Guard
) -> None:
    await failing(store.read("key"))
    names = {name for one in azure.sent_to(VAULT) for name in one.headers}
    assert names == {*("Host", "Accept", "Accept-Encoding", "User-Agent", "Authorization")}
    assert {one.headers["User-Agent"] for one in azure.sent} == {guard._session.headers["User-Agent"]}
    assert leaks([azure.secret.encode()], {"the vault": str(azure.sent_to(VAULT)).encode()}) == set()


@pytest.mark.parametrize(
    ("vault", "code"),
    [
        ("https://shop.vault.azure.net.evil.test", "ForeignVault"),
        ("https://vault.azure.net", "ForeignVault"),
        ("https://a.b.vault.azure.net", "ForeignVault"),
        ("https://other.test", "ForeignVault"),
        ("https://10.0.0.1", "ForeignVault"),
    ],
)
async def test_a_vault_that_is_none_of_azures_is_asked_only_if_an_administrator_allows_it(
    azure: Azure, guard: Guard, vault: str, code: str
) -> None:
    assert (await failing(azure.store(guard, vaultUrl=vault).read("key"))).code == code
    assert azure.sent == []


async def test_an_authority_that_is_none_of_azures_is_asked_only_if_an_administrator_allows_it(
    azure: Azure, guard: Guard
) -> None:
    refused = await failing(azure.store(guard, authorityHost="https://evil.test").read("key"))
    assert (refused.code, azure.sent) == ("ForeignAuthority", [])
