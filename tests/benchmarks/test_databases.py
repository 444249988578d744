"""The benchmarks of database passwords measure, with a few accounts."""

from __future__ import annotations

import pytest

from benchmarks.cluster import fresh
from benchmarks.databases import databases

_OVERLAP = 2


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("short_rests")
async def test_a_rotation_and_a_burst_are_measured() -> None:
    figures = await databases(3, fresh, rotations=1, overlap=_OVERLAP)

    assert 0 < figures["single_seconds_until_published"] < figures["single_seconds"]
    assert 0 < figures["single_seconds_own"] < figures["single_seconds"]
    assert figures["single_logins"] > 0
    assert 0 < figures["seconds_until_published"] < 60
    assert 0 < figures["seconds_from_overlap_until_refused"] < 60
    assert 0 < figures["sessions"] <= 10
    assert figures["earlier_passwords_accepted"] == 0
    assert [count for name, count in figures.items() if name.endswith("failed_logins")] == [0, 0]
