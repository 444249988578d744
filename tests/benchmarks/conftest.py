"""Short benchmarks for tests, which look at no figure of speed."""

from collections.abc import Collection

import pytest

from benchmarks import cluster
from tests.support.operator import Operator

_USUAL, _SHORT = 2.0, 0.3
"""Seconds of rest between two measurements; a longer rest waits for something that comes late."""


@pytest.fixture
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let benchmarks rest less between two measurements."""
    are_quiet = cluster.are_quiet

    async def soon(pids: Collection[int], seconds: float, share: float = 0.02) -> float:
        return await are_quiet(pids, _SHORT if seconds <= _USUAL else seconds, share)

    for module in ("cluster", "contender"):
        monkeypatch.setattr(f"benchmarks.{module}.are_quiet", soon)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork operators instead of starting each as it is shipped."""
    monkeypatch.setattr("benchmarks.cluster.harness.Operator", Operator)
