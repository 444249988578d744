"""How times are written for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.text import NOTHING, clock, since, until

NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "ago", "to_come"),
    [
        (None, NOTHING, NOTHING),
        (NOW - timedelta(seconds=45), "45s", "45s late"),
        (NOW, "0s", "in 0s"),
        (NOW + timedelta(hours=3, minutes=20), "0s", "in 3h20m"),
        (NOW + timedelta(days=89, hours=3), "0s", "in 89d"),
    ],
)
def test_a_time_is_written_by_its_distance(time: datetime | None, ago: str, to_come: str) -> None:
    assert (since(time, NOW), until(time, NOW)) == (ago, to_come)


def test_a_point_in_time_is_written_as_logs_have_it() -> None:
    assert clock(NOW) == "2026-05-01 12:30:00 UTC"
