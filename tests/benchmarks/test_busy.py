"""The benchmarks of a busy operator measure, on one control plane."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.busy import LOADS, loads
from benchmarks.busy.hostile import WAYS
from benchmarks.cluster import fresh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.cluster import Cluster

_OBJECTS = len(WAYS)
_SECONDS = 1.0


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("short_rests", "forked")
async def test_each_load_has_newcomers_that_become_ready_meanwhile() -> None:
    async with fresh() as cluster:

        @asynccontextmanager
        async def the_same() -> AsyncIterator[Cluster]:
            yield cluster

        figures = {
            "created": await loads.created(_OBJECTS, the_same),
            "refreshed": await loads.refreshed(_OBJECTS, the_same, _SECONDS),
            "harmed": await loads.harmed(_OBJECTS, the_same, _SECONDS),
            "rotated": await loads.rotated(_OBJECTS, the_same, 20),
        }

    assert figures.keys() == LOADS.keys()
    for one in figures.values():
        assert one["samples"] >= 1
        assert 0 < one["p50_seconds"] <= one["p99_seconds"] <= one["longest_seconds"]
        assert one["delay_seconds"] == pytest.approx(one["longest_seconds"] - one["idle_seconds"])
