"""`make mutants` changes what it says it changes, and the tests of a module notice most changes of it."""

from __future__ import annotations

import ast

import pytest

from tests import mutants

_SAMPLE = 20
_FLOOR = 11
"""Mutants of the sample that the tests of their own folder notice; tests/simulation notices more but takes long."""

_MODULE = """
LIMIT = 3 > 2


def rule(observed):
    if observed.now < observed.due:
        return None
    observed.note("x")
    log.info("not a candidate")
    return observed.now == observed.due
"""


def changed(index: int) -> str:
    return ast.unparse(mutants.mutated("core/x.py", _MODULE, index))


def test_comparisons_guards_and_statements_of_functions_are_candidates() -> None:
    found = mutants.candidates("core/x.py", _MODULE)

    assert [(one.kind, one.function, one.line) for one in found] == [
        ("guard", "rule", 6),
        ("comparison", "rule", 6),
        ("statement", "rule", 8),
        ("comparison", "rule", 10),
    ]


@pytest.mark.parametrize(
    ("index", "line"),
    [
        (0, "if False:"),
        (1, "if observed.now <= observed.due:"),
        (2, "pass"),
        (3, "return observed.now != observed.due"),
    ],
)
def test_one_place_is_changed(index: int, line: str) -> None:
    before, after = ast.unparse(ast.parse(_MODULE)).splitlines(), changed(index).splitlines()

    assert [new.strip() for old, new in zip(before, after, strict=True) if old != new] == [line]


def test_a_choice_does_not_depend_on_where_the_code_is() -> None:
    moved = [one.digest for one in mutants.candidates("core/y.py", f"import ast\n{_MODULE}")]

    assert moved == [one.digest for one in mutants.candidates("core/x.py", _MODULE)]


@pytest.mark.timeout(1200)
def test_a_sample_of_mutants_is_noticed() -> None:
    sample = mutants.chosen(_SAMPLE)

    survivors = [one for one in sample if not mutants.is_killed(one, one.tests[:-1])]

    assert len(survivors) <= _SAMPLE - _FLOOR, survivors
