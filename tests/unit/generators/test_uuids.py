"""UUIDs of both versions."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.base import Recipe
from keyturn.core.value import Value
from keyturn.generators import make
from keyturn.generators.random_bytes import Uuid, uuid7

EXAMPLE = uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
EXAMPLE_TIME = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def of(**settings: Any) -> Uuid:
    generator = make(Recipe({"uuid": settings}))
    assert isinstance(generator, Uuid)
    return generator


@pytest.mark.parametrize("version", [4, 7])
def test_it_is_of_the_version_asked_for(version: int) -> None:
    made = of(version=version).draw()
    assert uuid.UUID(made.reveal().decode()).version == version


def test_without_a_version_it_is_random() -> None:
    assert uuid.UUID(of().draw().reveal().decode()).version == 4


def test_the_example_of_rfc_9562_is_met() -> None:
    assert uuid7(EXAMPLE_TIME, chance=0xCC3 << 62 | 0x18C4DC0C0C07398F) == EXAMPLE


@given(chance=st.integers(0, (1 << 74) - 1))
def test_no_chance_disturbs_version_and_variant(chance: int) -> None:
    made = uuid7(EXAMPLE_TIME, chance)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_a_later_millisecond_sorts_later() -> None:
    highest = (1 << 74) - 1
    assert uuid7(EXAMPLE_TIME, highest) < uuid7(EXAMPLE_TIME + timedelta(milliseconds=1), chance=0)


@pytest.mark.parametrize(
    "written",
    [
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",
    ],
    ids=["upper case", "no hyphens", "another version", "another variant"],
)
def test_it_refuses_what_it_would_write_otherwise(written: str) -> None:
    assert not of(version=7).fits(Value.of_text(written))


def test_it_is_no_secret() -> None:
    assert make(Recipe({"uuid": {}})).strength() is None
