"""The demo on kind uses a cluster of its own and deletes it."""

from __future__ import annotations

from argparse import Namespace
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from demo import __main__ as demo
from demo.cluster import Kind, Refused
from demo.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def chosen(folder: Path, *, node: str | None = None) -> object:
    return demo._cluster(Namespace(cluster="kind", node=node, yes=False), Screen(), folder)


def test_its_cluster_is_deleted_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps: list[str] = []

    @contextmanager
    def cluster(kubeconfig: Path) -> Iterator[Path]:
        steps.append("created")
        yield kubeconfig
        steps.append("deleted")

    monkeypatch.setattr("sandbox.kind.cluster", cluster)
    kind = chosen(tmp_path)
    assert isinstance(kind, Kind)

    kubeconfig = kind.open()

    assert (kubeconfig.parent, steps) == (tmp_path, ["created"])
    kind.close()
    assert steps == ["created", "deleted"]


def test_it_gets_no_node_of_the_demo(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        chosen(tmp_path, node="real")
