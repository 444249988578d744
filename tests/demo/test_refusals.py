"""What a real node for the demo lacks is said before anything begins, with what to write instead."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from demo.cluster import Refused
from demo.node import Node
from demo.screen import Screen
from tests.demo.showing import left_behind, run

if TYPE_CHECKING:
    from pathlib import Path


def test_without_root_it_says_what_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(Refused, match="needs root: write sudo make demo NODE=real, or leave NODE=real out"):
        Node(Screen(), tmp_path).open()


@pytest.mark.parametrize("cluster", ["current", "kind"])
def test_another_cluster_gets_no_node(cluster: str, scratch: Path) -> None:
    code, said = run(scratch, "--node=real", f"--cluster={cluster}", "--yes")

    assert code == 1
    assert f"leave NODE or CLUSTER={cluster} out" in said
    assert left_behind(scratch) == []
