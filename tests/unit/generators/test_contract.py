"""What every generator keeps to, from the moment its file exists."""

from __future__ import annotations

import functools
import itertools
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn import generators
from keyturn.api.base import FORMS, Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Generator, Outputs, discover, make
from tests.support.machine_speed import least_cost, pace
from tests.unit.generators.generated import generator_of, made

KINDS = list(discover())
HEAVY = {"bcrypt", "cryptography", "joserfc", "xkcdpass"}


@pytest.fixture(params=KINDS)
def generator(request: pytest.FixtureRequest) -> Generator[Any]:
    return generator_of(request.param)


def several(generator: Generator[Any], times: int) -> list[Outputs]:
    """Make outputs, fewer of those that take long."""
    return [made(generator) for _ in range(3 if generator.is_slow else times)]


@functools.cache
def example(kind: str) -> tuple[Generator[Any], Outputs]:
    generator = generator_of(kind)
    return generator, made(generator)


def secrets_of(generator: Generator[Any]) -> list[str]:
    return [name for name in generator.outputs if name not in generator.public]


def test_each_module_has_a_generator() -> None:
    files = {info.name for info in pkgutil.iter_modules(generators.__path__) if not info.name.startswith("_")}
    assert {found.__module__.rpartition(".")[2] for found in discover().values()} == files - {"base"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_that_needs_another_item_has_no_secret_of_its_own(kind: str) -> None:
    assert bool(generator_of(kind).needs) == (kind in FORMS)


def test_they_are_found_in_alphabetical_order() -> None:
    assert sorted(KINDS) == KINDS


def test_to_find_them_imports_nothing_large() -> None:
    code = "import sys; from keyturn import generators; generators.discover(); print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert HEAVY.isdisjoint(module.partition(".")[0] for module in found.stdout.split())


@pytest.mark.parametrize("kind", ["certificate", "ecKey", "ed25519Key", "jwks", "sshKey"])
def test_the_first_import_of_something_large_takes_long(kind: str) -> None:
    code = f"""
from tests.unit.generators.generated import generator_of, made
generator = generator_of("{kind}")
before = generator.is_slow
made(generator)
print(before, generator.is_slow)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert said.stdout == "True False\n"


def test_it_makes_the_outputs_that_it_names(generator: Generator[Any]) -> None:
    assert tuple(made(generator)) == generator.outputs


def test_it_makes_a_secret(generator: Generator[Any]) -> None:
    assert secrets_of(generator)


def test_it_accepts_what_it_generates(generator: Generator[Any]) -> None:
    assert all(generator.accepts(outputs) for outputs in several(generator, 200))


def test_no_two_of_its_values_are_equal(generator: Generator[Any]) -> None:
    drawn = several(generator, 1000)
    for name in secrets_of(generator):
        assert len({outputs[name].reveal() for outputs in drawn}) == len(drawn)


def test_its_secrets_are_at_least_as_long_as_it_says(generator: Generator[Any]) -> None:
    strength = generator.strength()
    least = 0 if strength is None else strength.length
    shortest = min(
        len(outputs[name].reveal()) for outputs in several(generator, 100) for name in secrets_of(generator)
    )
    assert shortest >= least


def test_it_accepts_nothing_longer_or_shorter(generator: Generator[Any]) -> None:
    outputs = made(generator)
    accepted = [
        name
        for name, value in outputs.items()
        for other in spoilt(value.reveal(), generator.kind)
        if generator.accepts({**outputs, name: Value(other)})
    ]
    assert accepted == []


def spoilt(written: bytes, kind: str) -> Iterator[bytes]:
    # An "a" can make another word of a word ("are", "area"); a "q" cannot.
    letter = b"q" if kind == "passphrase" else b"a"
    yield from (b"", written[: len(written) // 2], written[len(written) // 2 :])
    yield from (written + letter, letter + written)


def test_it_accepts_nothing_that_lacks_an_output_or_has_another(generator: Generator[Any]) -> None:
    outputs = dict(made(generator))
    lacking = [{name: value for name, value in outputs.items() if name != left_out} for left_out in outputs]
    assert not any(generator.accepts(one) for one in (*lacking, {**outputs, "other": Value(b"")}))


def test_it_accepts_no_secret_of_another_draw(generator: Generator[Any]) -> None:
    """Where there is more than one output, they have to belong together."""
    one, other = made(generator), made(generator)
    mixed = [{**one, name: other[name]} for name in generator.outputs[1:] if one[name] != other[name]]
    accepted = [generator.accepts(outputs) for outputs in mixed]
    # A bcrypt hash is not compared with its password: that takes as long as making it.
    assert generator.kind == "basicAuth" or not any(accepted)


ADOPTABLE: Mapping[str, set[tuple[str, ...]]] = {
    "basicAuth": {("password",), ("username", "password"), ("password", "auth")},
    "certificate": {("tls.crt", "tls.key")},
    "ecKey": {("privateKey",)},
    "ed25519Key": {("privateKey",)},
    "jwks": {("private.jwks",)},
    "keyRing": {("primary",), ("keys",), ("ring.json",)}
    | set(itertools.combinations(("primary", "keys", "ring.json"), 2)),
    "rsaKey": {("privateKey",)},
    "sshKey": {("privateKey",)},
    "totp": {("secret",), ("uri",)},
}
"""The outputs of an existing Secret from which the others follow."""


def test_it_adopts_what_is_whole_or_from_which_the_rest_follows(generator: Generator[Any]) -> None:
    names, outputs = generator.outputs, made(generator)
    subsets = [one for size in range(1, len(names) + 1) for one in itertools.combinations(names, size)]
    adopted = {one: generator.adopted({name: outputs[name] for name in one}) for one in subsets}

    assert {one for one, whole in adopted.items() if whole} == {names, *ADOPTABLE.get(generator.kind, ())}
    for one, whole in adopted.items():
        # A ring without its ring.json has no next key; the first revision after the adoption brings one.
        is_next_unknown = generator.kind == "keyRing" and "ring.json" not in one
        assert whole is None or (
            generator.accepts(whole) != is_next_unknown and all(whole[name] == outputs[name] for name in one)
        )


def test_it_adopts_nothing_empty(generator: Generator[Any]) -> None:
    assert not any(generator.adopted({name: Value(b"")}) for name in generator.outputs)


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.binary(max_size=80))
def test_it_takes_any_bytes_without_an_error(kind: str, content: bytes) -> None:
    generator, outputs = example(kind)
    for name in outputs:
        generator.accepts({**outputs, name: Value(content)})
        generator.adopted({name: Value(content)})


def test_printing_it_shows_no_value(generator: Generator[Any]) -> None:
    outputs = made(generator)
    written = [repr(outputs[name].reveal())[2:-1] for name in secrets_of(generator)]
    assert not any(text in repr(vars(generator)) for text in written)


def test_what_is_not_slow_does_not_hold_others_up(generator: Generator[Any]) -> None:
    assert generator.is_slow or least_cost(lambda: made(generator)) < 0.02 * pace()


def test_it_overlaps_without_losing_an_output(generator: Generator[Any]) -> None:
    fresh, previous = made(generator), made(generator)
    assert generator.overlapping(fresh, previous).keys() == fresh.keys()


def test_it_merges_the_outputs_that_it_names_and_no_other(generator: Generator[Any]) -> None:
    fresh, previous = made(generator), made(generator)
    overlapping = generator.overlapping(fresh, previous)
    assert {name for name in fresh if overlapping[name] != fresh[name]} == generator.merges


def test_it_overlaps_with_anything_that_was_there(generator: Generator[Any]) -> None:
    fresh = made(generator)
    previous = dict.fromkeys(generator.outputs, Value(b"found in a Secret"))
    assert generator.overlapping(fresh, previous) == fresh


def test_it_ends_after_its_renewal_if_it_ends_at_all(generator: Generator[Any]) -> None:
    life = generator.life(made(generator))
    assert life is None or life.renew < life.end


@pytest.mark.parametrize("kind", KINDS)
def test_users_read_a_sentence_under_each_setting(kind: str) -> None:
    schema = discover()[kind].Config.model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    found = [one for model in models for one in model["properties"].values()]
    assert all(one["description"].endswith(".") for one in found)


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
        "password.length: write a whole number",
    )
