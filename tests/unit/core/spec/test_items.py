"""Where each value comes from, and under which keys it is written."""

from dataclasses import replace
from typing import Any

import pytest

from keyturn.api.base import Recipe
from keyturn.api.secretclass import SecretClass
from keyturn.api.source import StoreKind
from keyturn.core.errors import Stalled
from keyturn.core.spec.items import Item, is_spread, items_of
from keyturn.core.spec.references import Source
from keyturn.core.value import Value
from tests.support.cases import case, cases
from tests.unit.core.builders import API_KEY, EVERYTHING, PASSWORD, USERNAME, managed, secret_class

VAULT = StoreKind.SECRET_STORE, "vault"
READ = Item("api-key", None, None, {"value": "api-key"}, source=Source(*VAULT, "prod/api"))
ALL = Item("dataFrom[0]", None, None, {}, source=Source(*VAULT, "prod/app", prefix=""))
GIVEN = Item("username", None, Value(b"shop"), {"value": "username"})
MADE = Item("password", Recipe({"password": {}}), None, {"value": "password"})


def items(spec: dict[str, Any], given: SecretClass | None = None) -> tuple[Item, ...]:
    return items_of(managed(spec), given, lambda _: ("value",))


@cases(
    ("spec", "expected"),
    case("made", {"data": [PASSWORD]}, (MADE,)),
    case("given", {"data": [USERNAME]}, (GIVEN,)),
    case("read", {"data": [API_KEY]}, (READ,)),
    case("all of a key", {"data": [], "dataFrom": [EVERYTHING]}, (ALL,)),
    case(
        "all of a key, and no more",
        {"data": [], "dataFrom": [{**EVERYTHING, "deletionPolicy": "Delete"}]},
        (replace(ALL, deletes=True),),
    ),
    case(
        "of everything, and data goes first",
        {"data": [API_KEY, PASSWORD], "dataFrom": [EVERYTHING]},
        (READ, MADE, ALL),
    ),
)
def test_each_value_has_its_source(spec: dict[str, Any], expected: tuple[Item, ...]) -> None:
    assert items(spec) == expected


def test_what_is_read_is_written_under_another_key_by_keys() -> None:
    (item,) = items({"data": [{**API_KEY, "keys": {"value": "API_KEY"}}]})
    assert item.keys == {"value": "API_KEY"}


def test_entries_of_data_from_are_distinguished_by_their_places() -> None:
    found = items({"data": [], "dataFrom": [EVERYTHING, {**EVERYTHING, "prefix": "APP_"}]})
    assert [item.name for item in found] == ["dataFrom[0]", "dataFrom[1]"]
    assert all(item.spreads and is_spread(item.name) for item in found)


def test_no_other_item_spreads() -> None:
    assert not any(item.spreads or is_spread(item.name) for item in (READ, MADE, GIVEN))


def test_what_is_read_needs_no_generator_of_a_class() -> None:
    assert items({"data": [API_KEY]}, secret_class(generate={"bytes": {}})) == (READ,)


@cases(
    ("spec", "reason", "message"),
    case(
        "from nowhere",
        {"data": [{"name": "password"}], "className": "strict"},
        "NoGenerator",
        "data item 'password' has none of generate, from and literal, and the class 'strict' has no generate;"
        " write one, such as generate: {password: {}}",
    ),
    case(
        "an output that a store does not have",
        {"data": [{**API_KEY, "keys": {"token": "API_KEY"}}]},
        "InvalidKeys",
        "keys of data item 'api-key' names token, which it does not make; write one of value",
    ),
    case(
        "two under one key",
        {"data": [PASSWORD, {**API_KEY, "keys": {"value": "password"}}]},
        "InvalidKeys",
        "data items 'password' and 'api-key' both write the key 'password'; give one of them another by keys",
    ),
)
def test_what_cannot_be_followed_says_what_to_write(spec: dict[str, Any], reason: str, message: str) -> None:
    with pytest.raises(Stalled) as stalled:
        items(spec, secret_class())
    assert (stalled.value.reason, stalled.value.message) == (reason, message)


@pytest.mark.parametrize("length", [1, 244])
def test_a_value_can_stay_beside_the_next_where_its_key_leaves_room(length: int) -> None:
    (item,) = items({"data": [{**PASSWORD, "keys": {"value": "k" * length}, "keepPrevious": True}]})
    assert item.keep_previous


@pytest.mark.parametrize("length", [245, 253])
def test_a_key_that_leaves_no_room_for_the_value_before_is_refused(length: int) -> None:
    key = "k" * length
    with pytest.raises(Stalled) as stalled:
        items({"data": [{**PASSWORD, "keys": {"value": key}, "keepPrevious": True}]})
    assert (stalled.value.reason, stalled.value.message) == (
        "InvalidKeys",
        (
            f"keepPrevious of data item 'password' would write {key}.previous, which is longer than the 253"
            " characters of a key; write a key of at most 244 by keys"
        ),
    )
