"""Rules as tables: a case is its name and its data, and one test runs them all."""

from collections.abc import Sequence
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet


def case(name: str, *values: Any) -> ParameterSet:
    """Return a case of a table; its name is read after that of the test."""
    return pytest.param(*values, id=name)


def cases(columns: str | Sequence[str], *given: ParameterSet) -> pytest.MarkDecorator:
    """Run the decorated test once with each case."""
    return pytest.mark.parametrize(columns, given)
