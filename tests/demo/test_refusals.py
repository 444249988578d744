"""What the demo of a database needs is said before anything begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.demo.showing import left_behind, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("cluster", ["current", "kind"])
def test_another_cluster_gets_no_database(cluster: str, scratch: Path) -> None:
    code, said = run(scratch, "--database", f"--cluster={cluster}", "--yes")

    assert code == 1
    assert "it needs the demo's own control plane" in said
    assert left_behind(scratch) == []
