"""A copy of an observation with other facts has all else unchanged."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from keyturn.core.observation.observed import Observed, with_facts
from tests.unit.core import builders as make


def test_a_copy_has_the_other_facts_and_all_else_unchanged() -> None:
    observed = make.observed()
    before = replace(observed)

    copy = with_facts(observed, lost=("history",), unbound=True)

    assert copy == replace(observed, lost=("history",), unbound=True)
    assert {field.name for field in fields(Observed)} == vars(copy).keys()
    assert observed == before


def test_a_copy_is_frozen() -> None:
    with pytest.raises(AttributeError):
        with_facts(make.observed()).lost = ("history",)  # type: ignore[misc]  # which mypy refuses too


def test_a_copy_with_another_state_has_its_current_revision() -> None:
    later = make.state(make.revision(2), make.revision())

    copy = with_facts(make.observed(state=None), state=later)

    assert copy.current == later.current
