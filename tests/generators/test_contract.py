"""What every generator keeps to, from the moment its file exists."""

from __future__ import annotations

import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn import generators
from keyturn.api.recipe import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Generator, discover, make

KINDS = list(discover())


@pytest.fixture(params=KINDS)
def generator(request: pytest.FixtureRequest) -> Generator[Any]:
    return make(Recipe({request.param: {}}))


def test_each_file_brings_one_generator() -> None:
    files = {info.name for info in pkgutil.iter_modules(generators.__path__)}
    assert len(discover()) == len(files - {"base"})


def test_they_are_found_in_alphabetical_order() -> None:
    assert sorted(KINDS) == KINDS


def test_it_accepts_what_it_generates(generator: Generator[Any]) -> None:
    assert all(generator.accepts(generator.generate()) for _ in range(200))


def test_no_two_of_its_values_are_equal(generator: Generator[Any]) -> None:
    assert len({generator.generate().reveal() for _ in range(2000)}) == 2000


def test_its_values_are_as_long_as_it_says(generator: Generator[Any]) -> None:
    strength = generator.strength()
    length = None if strength is None else strength.length
    assert length in {None, len(generator.generate().reveal())}


def test_it_accepts_nothing_longer_or_shorter(generator: Generator[Any]) -> None:
    written = generator.generate().reveal()
    assert not any(
        generator.accepts(Value(other)) for other in (b"", written[:-1], written + b"a", written + b"\n")
    )


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.binary(max_size=80))
def test_it_takes_any_bytes_without_an_error(kind: str, content: bytes) -> None:
    make(Recipe({kind: {}})).accepts(Value(content))


def test_printing_it_shows_no_value(generator: Generator[Any]) -> None:
    written = generator.generate().reveal()
    assert repr(written)[2:-1] not in repr(vars(generator))


@pytest.mark.parametrize("kind", KINDS)
def test_users_read_a_sentence_under_each_setting(kind: str) -> None:
    properties = discover()[kind].Config.model_json_schema()["properties"].values()
    assert all(setting["description"].endswith(".") for setting in properties)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Stalled) as refusal:
        make(Recipe({"guess": {}}))
    assert (refusal.value.reason, refusal.value.message) == (
        "InvalidGenerator",
        f"there is no generator 'guess'; write one of {', '.join(KINDS)}",
    )


def test_a_setting_of_the_wrong_type_is_refused_without_being_quoted() -> None:
    with pytest.raises(Stalled) as refusal:
        make(Recipe({"password": {"length": "canary"}}))
    assert (refusal.value.reason, refusal.value.message) == (
        "InvalidGenerator",
        "password.length: input should be a valid integer, unable to parse string as an integer",
    )
