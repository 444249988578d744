"""Sweeps: `make test` draws some of the cases, `make soak` has all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import soak

if TYPE_CHECKING:
    import pytest

CASES = list(range(20))


def test_the_same_seed_draws_the_same_cases_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "TIMES", 1)

    drawn = soak.draw(CASES, 5)

    assert drawn == sorted(set(drawn))
    assert (len(drawn), drawn) == (5, soak.draw(CASES, 5))


def test_another_seed_draws_other_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "TIMES", 1)
    monkeypatch.setattr(soak, "SEED", 1)
    first = soak.draw(CASES, 5)
    monkeypatch.setattr(soak, "SEED", 2)

    assert soak.draw(CASES, 5) != first


def test_a_short_sweep_has_the_cases_that_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "TIMES", 1)

    assert soak.some(CASES, 3, 7) == [3, 7]


def test_a_long_sweep_has_all_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "TIMES", 2)

    assert soak.draw(CASES, 5) == soak.some(CASES, 3, 7) == CASES
