from __future__ import annotations

from datetime import timedelta

import pytest

from keyturn.core.backoff import backoff

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempts", "pause"), [(0, 15), (1, 15), (2, 30), (3, 60), (5, 240), (6, 300), (10_000, 300)]
)
def test_each_failure_in_a_row_doubles_the_pause(attempts: int, pause: int) -> None:
    assert backoff(15 * SECOND, attempts, 300 * SECOND) == pause * SECOND
    assert backoff(15.0, attempts, 300.0) == pause


def test_a_first_pause_beyond_the_longest_is_cut() -> None:
    assert backoff(600 * SECOND, 1, 300 * SECOND) == 300 * SECOND
