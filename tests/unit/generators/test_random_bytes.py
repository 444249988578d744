"""Random bytes in every encoding."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.base import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Strength, make
from keyturn.generators.random_bytes import BytesConfig, RandomBytes


def of(**settings: Any) -> RandomBytes:
    return RandomBytes(BytesConfig.model_validate(settings))


@pytest.mark.parametrize(
    ("settings", "strength"),
    [
        ({}, Strength(44, 256)),
        ({"length": 24}, Strength(32, 192)),
        ({"length": 22}, Strength(32, 176)),
        ({"encoding": "base64url"}, Strength(43, 256)),
        ({"encoding": "base64url", "length": 24}, Strength(32, 192)),
        ({"encoding": "hex"}, Strength(64, 256)),
        ({"encoding": "hex", "length": 16}, Strength(32, 128)),
        ({"encoding": "base32", "length": 20}, Strength(32, 160)),
        ({"encoding": "base32", "length": 16}, Strength(32, 128)),
        ({"encoding": "raw"}, Strength(32, 256)),
    ],
    ids=str,
)
def test_the_strength_is_that_of_the_bytes_and_of_their_written_form(
    settings: dict[str, Any], strength: Strength
) -> None:
    assert make(Recipe({"bytes": settings})).strength() == strength


@pytest.mark.parametrize(
    ("encoding", "too_few", "written"),
    [("base64", 21, 28), ("base64url", 23, 31), ("hex", 15, 30), ("base32", 15, 24), ("raw", 31, 31)],
)
def test_one_byte_less_than_the_floor_is_refused(encoding: str, too_few: int, written: int) -> None:
    with pytest.raises(Stalled) as refusal:
        make(Recipe({"bytes": {"encoding": encoding, "length": too_few}}))
    has = f"bytes gives {written} characters and {8 * too_few} bits of entropy"
    assert refusal.value.message == (
        f"{has}, at least 32 and 128 are needed; write length: {too_few + 1} or more"
    )


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("base64", b"+/8="),
        ("base64url", b"-_8"),
        ("hex", b"fbff"),
        ("base32", b"7P7Q===="),
        ("raw", b"\xfb\xff"),
    ],
)
def test_it_knows_its_own_way_of_writing(encoding: str, written: bytes) -> None:
    assert of(encoding=encoding, length=2).fits(Value(written))


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("base64", b"+/9="),
        ("base64", b"-_8="),
        ("base64", b"+/8"),
        ("base64", b"+/8=\n"),
        ("base64url", b"-_8="),
        ("base64url", b"+/8"),
        ("base64url", b"-_9"),
        ("hex", b"FBFF"),
        ("hex", b"fbfg"),
        ("hex", b"fbf"),
        ("base32", b"7p7q===="),
        ("base32", b"7P7Q"),
        ("raw", b"\xfb\xff\x00"),
    ],
)
def test_it_refuses_what_it_would_write_otherwise(encoding: str, written: bytes) -> None:
    assert not of(encoding=encoding, length=2).fits(Value(written))


@given(encoding=st.sampled_from(["base64", "base64url", "hex", "base32", "raw"]), length=st.integers(0, 100))
def test_it_accepts_its_own_values_and_none_of_another_length(encoding: str, length: int) -> None:
    value = of(encoding=encoding, length=length).draw()
    assert [
        other for other in range(102) if of(encoding=encoding, length=other).fits(value)
    ] == [length]  # fmt: skip


def test_every_bit_is_as_often_set_as_not() -> None:
    drawn = base64.b64decode(of(length=4096).draw().reveal())
    ones = int.from_bytes(drawn).bit_count()
    # Half of 32768 coins, within 6.1 standard deviations of 90.5: wrong once in a billion runs.
    assert abs(ones - 16384) < 553
