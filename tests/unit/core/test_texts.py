from __future__ import annotations

import pytest

from keyturn.core.texts import first_of


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["a"], "a", id="one"),
        pytest.param(["a", "b"], "a, b", id="as many as are named"),
        pytest.param(["a", "b", "c"], "a, b and 1 more", id="one more"),
        pytest.param(["a", "b", "c", "d"], "a, b and 2 more", id="two more"),
    ],
)
def test_a_few_are_named_and_the_others_counted(names: list[str], text: str) -> None:
    assert first_of(names, 2) == text
