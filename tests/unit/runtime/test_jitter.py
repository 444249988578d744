from __future__ import annotations

from itertools import islice

import pytest

from keyturn.runtime import jitter


@pytest.mark.parametrize(
    ("least", "chance", "pause"), [(0.5, 0, 5), (0.5, 0.5, 7.5), (0.5, 1, 10), (0.2, 0, 2), (0.2, 1, 10)]
)
def test_a_pause_is_a_random_part_of_the_longest(least: float, chance: float, pause: float) -> None:
    assert jitter.jittered(10, least, lambda: chance) == pytest.approx(pause)


def test_pauses_grow_without_end_up_to_the_longest() -> None:
    found = list(islice(jitter.pauses(1, 30), 40))

    longest = [1, 2, 4, 8, 16, *[30] * 35]
    assert all(most / 2 <= pause <= most for pause, most in zip(found, longest, strict=True))
    assert len(set(found)) > 30
