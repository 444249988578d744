from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyturn.core.times import to_second

NOON = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("microsecond", [0, 1, 500_000, 999_999])
def test_a_time_is_cut_to_its_second(microsecond: int) -> None:
    assert to_second(NOON.replace(microsecond=microsecond)) == NOON
