"""A reader follows one rotation, and one reconcile at rest, through few files: the ceilings only shrink."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import keyturn
from keyturn.core.labels import ROTATE
from tests.simulation.simulated_cluster import MANAGED, Cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

_PACKAGE = str(Path(keyturn.__file__).parent)


@dataclass
class Hops:
    """Files and functions of the operator that were entered, and calls of a function of another file."""

    files: set[str] = field(default_factory=set)
    functions: set[tuple[str, str, int]] = field(default_factory=set)
    changes: int = 0
    _last: str = ""

    def see(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_PACKAGE):
            return
        self.changes += code.co_filename != self._last
        self._last = code.co_filename
        self.files.add(code.co_filename)
        self.functions.add((code.co_filename, code.co_qualname, code.co_firstlineno))

    @property
    def counted(self) -> tuple[int, int, int]:
        return len(self.files), len(self.functions), self.changes


@contextmanager
def profiled() -> Iterator[Hops]:
    hops, before = Hops(), sys.getprofile()
    sys.setprofile(hops.see)
    try:
        yield hops
    finally:
        sys.setprofile(before)


async def at_rest() -> Cluster:
    """Return a cluster at rest after a rotation, which has filled what is computed once."""
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    cluster.add_workload("api", None)
    await cluster.settle()
    await rotate(cluster)
    return cluster


async def rotate(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = f"word-{cluster.writes}"
    cluster.touch_managed()
    await cluster.settle()


@pytest.mark.parametrize(
    ("doing", "ceilings"),
    [(rotate, (86, 1146, 3562)), (Cluster.look, (72, 634, 576))],
    ids=["rotation", "rest"],
)
async def test_few_files_functions_and_changes_of_file_are_entered(
    doing: Callable[[Cluster], Awaitable[object]], ceilings: tuple[int, int, int]
) -> None:
    cluster = await at_rest()
    with profiled() as hops:
        await doing(cluster)

    over = [count > most for count, most in zip(hops.counted, ceilings, strict=True)]
    assert not any(over), f"{hops.counted} files, functions and changes of file are more than {ceilings}"
