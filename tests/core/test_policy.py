"""Which rules of its class a managed secret breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.policy import Violation, violations_of
from keyturn.core.strength import Strength
from tests.core.builders import secret_class

if TYPE_CHECKING:
    from keyturn.api.secretclass import SecretClass

SHORT = Violation(
    "minLength", "password would have 39 characters and class strict asks for 40; write a larger length"
)
WEAK = Violation(
    "minEntropyBits",
    "password would have 199 bits of entropy and class strict asks for 200; write a larger length or exclude less",
)
STRICT = secret_class(minLength=40, minEntropyBits=200)


@pytest.mark.parametrize(
    ("given", "strength", "violations"),
    [
        pytest.param(None, Strength(1, 1), (), id="no class"),
        pytest.param(secret_class(), Strength(1, 1), (), id="a class without minimums"),
        pytest.param(STRICT, Strength(40, 200), (), id="just enough"),
        pytest.param(STRICT, Strength(39, 200), (SHORT,), id="one character short"),
        pytest.param(STRICT, Strength(40, 199), (WEAK,), id="one bit short"),
        pytest.param(STRICT, Strength(39, 199), (SHORT, WEAK), id="both"),
    ],
)
def test_a_value_is_held_against_the_minimums(
    given: SecretClass | None, strength: Strength, violations: tuple[Violation, ...]
) -> None:
    assert violations_of(given, {"password": strength}) == violations


def test_a_value_a_fraction_of_a_bit_short_is_not_called_enough() -> None:
    (violation,) = violations_of(STRICT, {"password": Strength(40, 199.9)})
    assert "199 bits" in violation.message


@pytest.mark.parametrize(
    ("strength", "is_enough"),
    [
        pytest.param(Strength(32, 128), True, id="just enough"),
        pytest.param(Strength(31, 128), False, id="one character short"),
        pytest.param(Strength(32, 127.9), False, id="a tenth of a bit short"),
    ],
)
def test_the_floor(strength: Strength, is_enough: bool) -> None:  # noqa: FBT001
    assert strength.is_enough == is_enough
