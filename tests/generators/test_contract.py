"""What every generator keeps to, from the moment its file exists."""

from __future__ import annotations

import pkgutil
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn import generators
from keyturn.api.recipe import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Generator, Given, Outputs, discover, make

KINDS = list(discover())
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(params=KINDS)
def generator(request: pytest.FixtureRequest) -> Generator[Any]:
    return make(Recipe({request.param: {}}))


def made(generator: Generator[Any]) -> Outputs:
    return generator.generate(Given(NOW))


def test_each_file_brings_one_generator() -> None:
    files = {info.name for info in pkgutil.iter_modules(generators.__path__)}
    assert len(discover()) == len(files - {"base"})


def test_they_are_found_in_alphabetical_order() -> None:
    assert sorted(KINDS) == KINDS


def test_it_makes_the_outputs_that_it_names(generator: Generator[Any]) -> None:
    assert tuple(made(generator)) == generator.outputs


def test_it_accepts_what_it_generates(generator: Generator[Any]) -> None:
    assert all(generator.accepts(made(generator)) for _ in range(200))


def test_no_two_of_its_values_are_equal(generator: Generator[Any]) -> None:
    secret = generator.outputs[0]
    assert len({made(generator)[secret].reveal() for _ in range(2000)}) == 2000


def test_its_values_are_as_long_as_it_says(generator: Generator[Any]) -> None:
    strength = generator.strength()
    length = None if strength is None else strength.length
    assert length in {None, *(len(value.reveal()) for value in made(generator).values())}


def test_it_accepts_nothing_longer_or_shorter(generator: Generator[Any]) -> None:
    outputs = made(generator)
    spoilt = (
        {**outputs, name: Value(other)}
        for name, value in outputs.items()
        for other in (b"", value.reveal()[:-1], value.reveal() + b"a", value.reveal() + b"\n")
    )
    assert not any(generator.accepts(one) for one in spoilt)


def test_it_accepts_nothing_that_lacks_an_output_or_has_another(generator: Generator[Any]) -> None:
    outputs = dict(made(generator))
    lacking = [{name: value for name, value in outputs.items() if name != left_out} for left_out in outputs]
    assert not any(generator.accepts(one) for one in (*lacking, {**outputs, "other": Value(b"")}))


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.binary(max_size=80))
def test_it_takes_any_bytes_without_an_error(kind: str, content: bytes) -> None:
    generator = make(Recipe({kind: {}}))
    generator.accepts(dict.fromkeys(generator.outputs, Value(content)))


def test_printing_it_shows_no_value(generator: Generator[Any]) -> None:
    written = [repr(value.reveal())[2:-1] for value in made(generator).values()]
    assert not any(text in repr(vars(generator)) for text in written)


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
