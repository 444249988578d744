"""How the values of a managed secret are read: all of them or none, and what is said of one that cannot be."""

import asyncio
import contextlib
import json
from datetime import timedelta
from typing import Any

import orjson
import pytest

from keyturn.controllers.managedsecret.leases import LeaseManager, UnrecordedLeases
from keyturn.controllers.managedsecret.pull import read_all
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import Reading
from keyturn.core.observation.observed import with_facts
from keyturn.core.spec.desired import resolve_spec
from keyturn.generators.base import GeneratorContext
from keyturn.generators.key_pairs import Jwks, JwksConfig
from keyturn.stores.providers import errors
from sandbox.harness import until
from tests.support.cases import case, cases
from tests.support.memory_stores import InMemoryStores, texts
from tests.unit.core.builders import (
    API_KEY,
    AT_REST,
    EVERYTHING,
    NOW,
    PASSWORD,
    PUBLISHED_TARGET,
    PUSH,
    VAULT,
    managed,
    observed,
    secret_class,
)

KEY = ObjectKey("shop", "db")
TOKEN: dict[str, Any] = {"name": "token", "from": {"storeRef": VAULT, "remoteRef": {"key": "prod/token"}}}
CANARY = "canary-3fGh"
STRONG = "Aa1-" * 8
ALL: dict[str, Any] = {"data": [], "dataFrom": [EVERYTHING]}
AS_IT_IS: dict[str, Any] = {"state": AT_REST, "target": PUBLISHED_TARGET, "status": None}
NEW: dict[str, Any] = {"state": None, "target": None, "status": {}}


@pytest.fixture
def remote() -> InMemoryStores:
    return InMemoryStores()


async def read(
    remote: InMemoryStores,
    spec: dict[str, Any],
    *,
    fresh: bool = False,
    outputs: tuple[str, ...] = ("value",),
    **others: Any,
) -> Reading:
    look = observed(None, **{**NEW, **others})
    desired = resolve_spec(managed(spec), look.secret_class, lambda _: outputs)
    look = with_facts(look, desired=desired)
    stores: Any = remote
    borrower = LeaseManager(KEY, desired, None, UnrecordedLeases(), stores, lambda: NOW, reissue=())
    return await read_all(KEY, look, stores, borrower, fresh=fresh)


async def problem(remote: InMemoryStores, spec: dict[str, Any], **others: Any) -> Wait | Stalled:
    reading = await read(remote, spec, **others)
    assert (reading.values, reading.found) == ({}, {})
    assert reading.problem
    assert CANARY not in reading.problem.message
    assert reading.problem.__cause__ is reading.problem.__context__ is None
    return reading.problem


def from_(key: str, name: str = "api-key", **ref: str) -> dict[str, Any]:
    return {"name": name, "from": {"storeRef": VAULT, "remoteRef": {"key": key, **ref}}}


# What is read


async def test_each_value_is_read_from_its_place(remote: InMemoryStores) -> None:
    remote.keep("prod/api", "one")
    remote.keep("prod/token", "two")
    reading = await read(remote, {"data": [PASSWORD, API_KEY, {**TOKEN, "keys": {"value": "TOKEN"}}]})
    assert {name: texts(kept.data()) for name, kept in reading.values.items()} == {
        "api-key": {"api-key": "one"},
        "token": {"TOKEN": "two"},
    }
    assert reading.problem is None


async def test_the_secret_that_is_written_is_not_read(remote: InMemoryStores) -> None:
    remote.here = True
    remote.keep(KEY.name, {"password": "one"})
    own = {"name": "own", "from": {"storeRef": {"name": "here"}, "remoteRef": {"key": KEY.name}}}
    reading = await read(remote, {"data": [own]})
    assert isinstance(reading.problem, Stalled)
    assert reading.problem.reason == "InvalidSource"
    assert remote.asked == []


@cases(
    ("content", "ref", "value"),
    case("all of it", '{"token": "a"}', {}, '{"token": "a"}'),
    case("a property of a document", '{"token": "a"}', {"property": "token"}, "a"),
    case("a part", {"token": "a", "b": "c"}, {"property": "token"}, "a"),
    case("a path", '{"deep": {"er": "a"}}', {"property": "deep.er"}, "a"),
)
async def test_a_property_is_taken(
    content: Any, ref: dict[str, str], value: str, remote: InMemoryStores
) -> None:
    remote.keep("prod/api", content)
    reading = await read(remote, {"data": [from_("prod/api", **ref)]})
    assert texts(reading.values["api-key"].outputs) == {"value": value}


@cases(
    ("fresh", "asked"),
    case("as it is shared", False, ["read prod/api 3"]),
    case("anew", True, ["read prod/api 3 fresh"]),
)
async def test_a_version_is_asked_for(fresh: bool, asked: list[str], remote: InMemoryStores) -> None:
    remote.keep("prod/api", "a")
    await read(remote, {"data": [from_("prod/api", version="3")]}, fresh=fresh)
    assert remote.asked == asked


async def test_what_was_read_reports_where_from_so_that_another_place_is_read_again(
    remote: InMemoryStores,
) -> None:
    remote.keep("a", "same")
    remote.keep("b", "same")
    one, other = [await read(remote, {"data": [from_(key)]}) for key in "ab"]
    assert one.values["api-key"].recipe != other.values["api-key"].recipe
    assert "same" not in one.values["api-key"].recipe


# All or nothing


async def test_one_of_three_that_fails_leaves_nothing_and_is_named(remote: InMemoryStores) -> None:
    remote.keep("prod/api", CANARY)
    remote.keep("prod/app", {"a": CANARY})
    found = await problem(remote, {"data": [API_KEY, TOKEN], "dataFrom": [EVERYTHING]})
    assert found.reason == "SourceNotFound"
    assert found.message == (
        "token: key 'prod/token' of SecretStore 'vault' does not exist (NoSuchKey); store it, or write another key"
    )


async def test_of_two_that_fail_the_one_that_needs_a_person_is_named(remote: InMemoryStores) -> None:
    remote.fails["prod/api"] = errors.Unreachable("Timeout")
    found = await problem(remote, {"data": [API_KEY, TOKEN]})
    assert isinstance(found, Stalled)
    assert found.message.startswith("token: key 'prod/token'")
    assert found.message.endswith("; and 1 more could not be read")


async def test_of_two_that_will_come_back_the_first_is_named(remote: InMemoryStores) -> None:
    remote.fails |= {
        "prod/api": errors.Throttled("Busy", retry_after=60),
        "prod/token": errors.Unreachable("Timeout"),
    }
    found = await problem(remote, {"data": [API_KEY, TOKEN]})
    assert isinstance(found, Wait)
    assert found.after == timedelta(seconds=60)
    assert found.message.startswith("api-key: key 'prod/api'")
    assert found.message.endswith("; and 1 more could not be read")


@pytest.mark.usefixtures("impatient")
async def test_all_are_asked_at_the_same_time(remote: InMemoryStores) -> None:
    events = [remote.hang("prod/api"), remote.hang("prod/token")]
    reading = asyncio.ensure_future(read(remote, {"data": [API_KEY, TOKEN]}))
    await until(lambda: remote.asked == ["read prod/api", "read prod/token"])
    for event in events:
        event.set()
    assert (await reading).problem


@pytest.mark.usefixtures("impatient")
async def test_who_is_cancelled_asks_no_longer(remote: InMemoryStores) -> None:
    remote.keep("prod/api", "a")
    remote.hang("prod/api")
    before = asyncio.all_tasks()
    reading = asyncio.ensure_future(read(remote, {"data": [API_KEY]}))
    await until(lambda: bool(remote.asked))
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await until(lambda: asyncio.all_tasks() == before)


async def test_a_defect_of_ours_is_no_trouble_of_a_store(remote: InMemoryStores) -> None:
    remote.fails["prod/api"] = ZeroDivisionError()  # type: ignore[assignment]  # whatever it is
    with pytest.raises(ZeroDivisionError):
        await read(remote, {"data": [API_KEY]})


# What a refusal means


WHERE = "api-key: key 'prod/api' of SecretStore 'vault'"


@cases(
    ("error", "expected"),
    case(
        "not there",
        errors.NotFound("NoSuchKey"),
        Stalled("SourceNotFound", f"{WHERE} does not exist (NoSuchKey); store it, or write another key"),
    ),
    case(
        "no login",
        errors.Unauthorized("Status401", "the login is refused"),
        Stalled("ProviderError", f"{WHERE}: the store rejects the request (Status401: the login is refused)"),
    ),
    case(
        "no right",
        errors.Denied("Status403"),
        Stalled("ProviderError", f"{WHERE}: the store rejects the request (Status403)"),
    ),
    case(
        "never so",
        errors.Refused("InvalidKey", "write a key such as prod/payments"),
        Stalled("ProviderError", f"{WHERE}: write a key such as prod/payments (InvalidKey)"),
    ),
    case(
        "no login to show",
        errors.Unauthorized("LoginNotFound", "there is no Secret 'login'"),
        Stalled("ProviderError", f"{WHERE}: there is no Secret 'login' (LoginNotFound)"),
    ),
    case(
        "no right, with a hint",
        errors.Denied("AccessDenied", "allow ssm:DescribeParameters"),
        Stalled(
            "ProviderError",
            f"{WHERE}: the store rejects the request (AccessDenied: allow ssm:DescribeParameters)",
        ),
    ),
    case(
        "no login, with a code of Entra ID",
        errors.Unauthorized("AADSTS7000215", "the client secret is wrong"),
        Stalled(
            "ProviderError",
            f"{WHERE}: the store rejects the request (AADSTS7000215: the client secret is wrong)",
        ),
    ),
    case(
        "too often, and it says when",
        errors.Throttled("Status429", retry_after=90),
        Wait("ProviderError", f"{WHERE}: request failed (Status429); retrying", timedelta(seconds=90)),
    ),
    case(
        "too often, and it says too soon",
        errors.Throttled("Status429", retry_after=0.1),
        Wait("ProviderError", f"{WHERE}: request failed (Status429); retrying", timedelta(seconds=5)),
    ),
    case(
        "no answer",
        errors.Unreachable("Timeout"),
        Wait("ProviderError", f"{WHERE}: request failed (Timeout); retrying", timedelta(seconds=5)),
    ),
    case(
        "a typo in the host",
        errors.Unreachable("HostNotFound", "no such host"),
        Stalled("ProviderError", f"{WHERE}: no such host"),
    ),
    case(
        "somebody wrote in between",
        errors.Conflict("Status409"),
        Wait("ProviderError", f"{WHERE}: request failed (Status409); retrying", timedelta(seconds=5)),
    ),
    case(
        "no such store",
        Stalled("StoreNotFound", "there is no SecretStore 'vault'"),
        Stalled("StoreNotFound", "there is no SecretStore 'vault'"),
    ),
)
async def test_a_refusal_waits_or_asks_for_a_person(
    error: errors.StoreError | Stalled, expected: Wait | Stalled, remote: InMemoryStores
) -> None:
    remote.fails["prod/api"] = error
    found = await problem(remote, {"data": [API_KEY]})
    assert (type(found), vars(found)) == (type(expected), vars(expected))


@cases(
    ("content", "ref", "reason"),
    case("a property of what is no document", CANARY, {"property": "token"}, "ProviderError"),
    case("no such property", f'{{"{CANARY}": 1}}', {"property": "token"}, "SourceNotFound"),
    case("null", f'{{"token": null, "b": "{CANARY}"}}', {"property": "token"}, "ProviderError"),
    case("nothing", "", {}, "EmptyValue"),
    case("an empty property", '{"token": ""}', {"property": "token"}, "EmptyValue"),
)
async def test_what_makes_no_value_says_so_and_quotes_nothing(
    content: str, ref: dict[str, str], reason: str, remote: InMemoryStores
) -> None:
    remote.keep("prod/api", content)
    assert (await problem(remote, {"data": [from_("prod/api", **ref)]})).reason == reason


# The length that the class asks for


@pytest.mark.parametrize("enforcement", ["Deny", None])
async def test_a_value_that_is_too_short_is_not_taken(
    enforcement: str | None, remote: InMemoryStores
) -> None:
    remote.keep("prod/api", CANARY)
    given = secret_class(minLength=len(CANARY) + 1, **({"enforcement": enforcement} if enforcement else {}))
    found = await problem(remote, {"data": [API_KEY]}, given=given)
    assert found.reason == "PolicyViolation"
    assert found.message == (
        f"{WHERE} is shorter than the {len(CANARY) + 1} characters that class strict asks for; store a longer one"
    )


@cases(
    "given",
    case("just enough", secret_class(minLength=len(CANARY))),
    case("a class that warns", secret_class(minLength=99, enforcement="Warn")),
    case("a class without a minimum", secret_class()),
    case("no class", None),
)
async def test_a_value_that_is_long_enough_is_taken(given: Any, remote: InMemoryStores) -> None:
    remote.keep("prod/api", CANARY)
    assert (await read(remote, {"data": [API_KEY]}, given=given)).problem is None


# All properties of a key


async def test_every_property_is_a_key_behind_its_prefix(remote: InMemoryStores) -> None:
    remote.keep("prod/app", {"user": "a", "pass.word": "b"})
    reading = await read(remote, {"data": [], "dataFrom": [EVERYTHING, {**EVERYTHING, "prefix": "APP_"}]})
    assert [texts(kept.data()) for kept in reading.values.values()] == [
        {"user": "a", "pass.word": "b"},
        {"APP_user": "a", "APP_pass.word": "b"},
    ]


async def test_a_property_may_be_empty(remote: InMemoryStores) -> None:
    remote.keep("prod/app", {"user": "a", "note": ""})
    assert texts((await read(remote, ALL)).values["dataFrom[0]"].data()) == {"user": "a", "note": ""}


async def test_what_data_writes_goes_before(remote: InMemoryStores) -> None:
    remote.keep("prod/app", {"password": "a", "user": "b"})
    reading = await read(remote, {"data": [PASSWORD], "dataFrom": [EVERYTHING]})
    assert texts(reading.values["dataFrom[0]"].data()) == {"user": "b"}


@cases(
    ("content", "reason"),
    case("none", "{}", "EmptyValue"),
    case("of what is no document", CANARY, "ProviderError"),
    case("of a list", f'["{CANARY}"]', "ProviderError"),
    case("with a blank", {"a b": CANARY}, "InvalidKeys"),
    case("without a name", {"": CANARY}, "InvalidKeys"),
    case("that leads away", {"..": CANARY}, "InvalidKeys"),
    case("that begins as if it did", {"..a": CANARY}, "InvalidKeys"),
    case("a dot", {".": CANARY}, "InvalidKeys"),
    case("with a line's end", {"a\n": CANARY}, "InvalidKeys"),
    case("that is too long", {"a" * 254: CANARY}, "InvalidKeys"),
    case("of a value before", {"a.previous": CANARY}, "InvalidKeys"),
    case("with an umlaut", {"ü": CANARY}, "InvalidKeys"),
)
async def test_properties_that_make_no_keys_are_refused(
    content: Any, reason: str, remote: InMemoryStores
) -> None:
    remote.keep("prod/app", content)
    found = await problem(remote, ALL)
    assert found.reason == reason
    assert found.message.startswith("dataFrom[0]: key 'prod/app' of SecretStore 'vault'")


async def test_a_property_whose_name_may_be_a_value_is_reported_by_its_number(remote: InMemoryStores) -> None:
    remote.keep("prod/app", {"user": "a", f"{CANARY} as a name": "b", "port": "c"})
    found = await problem(remote, ALL)
    assert (CANARY in found.message, "number 2 of 3 there" in found.message) == (False, True)


@pytest.mark.parametrize("name", ["a" * 253, ".a", ".a..b", "-", "_.-"])
async def test_properties_that_make_keys_are_taken(name: str, remote: InMemoryStores) -> None:
    remote.keep("prod/app", {name: "a"})
    assert (await read(remote, ALL)).problem is None


async def test_two_that_bring_the_same_key_are_distinguished_by_a_prefix(remote: InMemoryStores) -> None:
    remote.keep("prod/app", {"user": CANARY})
    found = await problem(remote, {"data": [], "dataFrom": [EVERYTHING, EVERYTHING]})
    assert (found.reason, found.message) == (
        "InvalidKeys",
        "dataFrom[0] and dataFrom[1] both bring the key 'user'; give one of them another prefix",
    )


# What an earlier life has pushed

GENERATED: dict[str, Any] = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}


def found_in(reading: Reading) -> dict[str, dict[str, str]]:
    return {name: texts(kept.outputs) for name, kept in reading.found.items()}


@cases(
    ("push", "content"),
    case("a document of parts", PUSH, {"password": STRONG}),
    case("a document of text", PUSH, f'{{"password": "{STRONG}"}}'),
    case("one value", {**PUSH, "secretKey": "password"}, STRONG),
)
async def test_a_value_that_was_pushed_is_found_again(
    push: Any, content: Any, remote: InMemoryStores
) -> None:
    remote.keep("shop/db", content)
    reading = await read(remote, {**GENERATED, "pushTo": [push]})
    assert found_in(reading) == {"password": {"value": STRONG}}
    assert remote.asked == ["inspect shop/db"]


KEY_SET: dict[str, Any] = {
    "data": [{"name": "sign", "generate": {"jwks": {}}}],
    "pushTo": [
        {**PUSH, "secretKey": "private.jwks"},
        {**PUSH, "secretKey": "public.jwks", "remoteRef": {"key": "shop/public"}},
    ],
}


@pytest.mark.parametrize("has_parts", [False, True], ids=["one text", "parts"])
async def test_an_object_that_was_pushed_is_found_again_in_the_spelling_of_its_store(
    remote: InMemoryStores, has_parts: bool
) -> None:
    made = Jwks(JwksConfig()).generate(GeneratorContext(NOW))
    for key, output in (("shop/db", "private.jwks"), ("shop/public", "public.jwks")):
        members = orjson.loads(made[output].reveal())
        spelled = {name: one if isinstance(one, str) else json.dumps(one) for name, one in members.items()}
        remote.keep(key, spelled if has_parts else json.dumps(members, indent=1, sort_keys=True))

    found = found_in(await read(remote, KEY_SET, outputs=Jwks.outputs))

    assert {name: orjson.loads(text) for name, text in found["sign"].items()} == {
        name: orjson.loads(value.reveal()) for name, value in made.items()
    }


@cases(
    "content",
    case("nothing", None),
    case("another key", {"other": STRONG}),
    case("what the generator could not have made", {"password": "short"}),
    case("what is no document", CANARY),
)
async def test_what_cannot_be_ours_is_not_taken_back(content: Any, remote: InMemoryStores) -> None:
    if content is not None:
        remote.keep("shop/db", content)
    reading = await read(remote, {**GENERATED, "pushTo": [PUSH]})
    assert (reading.problem, found_in(reading)) == (None, {})


async def test_of_two_places_the_first_counts(remote: InMemoryStores) -> None:
    other = {**PUSH, "remoteRef": {"key": "shop/other"}}
    remote.keep("shop/db", {"password": STRONG})
    remote.keep("shop/other", {"password": STRONG[::-1]})
    reading = await read(remote, {**GENERATED, "pushTo": [PUSH, other]})
    assert found_in(reading) == {"password": {"value": STRONG}}


async def test_nothing_is_generated_again_while_a_place_does_not_answer_that_may_hold_it(
    remote: InMemoryStores,
) -> None:
    remote.fails["shop/db"] = errors.Unreachable("Timeout")
    found = await problem(remote, {**GENERATED, "pushTo": [PUSH]})
    assert isinstance(found, Wait)
    assert found.message.startswith("pushTo: key 'shop/db' of SecretStore 'vault'")


async def test_nothing_is_generated_again_while_a_pushed_value_exists_and_cannot_be_read(
    remote: InMemoryStores,
) -> None:
    remote.keep("shop/db", {"password": STRONG})
    remote.unreadable.add("shop/db")
    found = await problem(remote, {**GENERATED, "pushTo": [PUSH]})
    assert isinstance(found, Stalled)
    assert found.message == (
        "pushTo: key 'shop/db' of SecretStore 'vault' exists and cannot be read (Disabled: enable it);"
        " make it readable, or delete it at the store to generate a new value"
    )


async def test_a_pushed_value_that_has_expired_is_found_again(remote: InMemoryStores) -> None:
    remote.keep("shop/db", {"password": STRONG})
    remote.unusable.add("shop/db")
    reading = await read(remote, {**GENERATED, "pushTo": [PUSH]})
    assert found_in(reading) == {"password": {"value": STRONG}}


async def test_a_place_is_not_read_where_the_value_is_not_lost(remote: InMemoryStores) -> None:
    remote.keep("prod/api", "a")
    spec = {"data": [PASSWORD, API_KEY], "pushTo": [PUSH]}
    await read(remote, spec, **AS_IT_IS)
    assert remote.asked == ["read prod/api"]


async def test_what_is_read_for_one_object_is_bounded(remote: InMemoryStores) -> None:
    for place in range(5):
        remote.keep(f"prod/{place}", "x" * 1024 * 1024)
    spec = {"data": [from_(f"prod/{place}", f"key-{place}") for place in range(5)]}
    stalled = await problem(remote, spec)
    assert stalled.reason == "ProviderError"
    assert "TooLarge" in stalled.message
