"""A reader follows one rotation, and one reconcile at rest, through few files: the ceilings only shrink."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest

import keyturn
from keyturn import stores
from keyturn.core.labels import ROTATE
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.unit.stores.fake_stores import FakeProvider, FakeStores, ref

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

    def stay_within(self, ceilings: tuple[int, int, int]) -> None:
        over = [count > most for count, most in zip(self.counted, ceilings, strict=True)]
        assert not any(over), f"{self.counted} files, functions and changes of file are more than {ceilings}"


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


async def test_a_warm_read_of_a_store_enters_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.settings, "provider_of", lambda _: FakeProvider)
    fake, vault, ceilings = FakeStores(), ref(), (10, 75, 56)
    fake.store()
    await fake.read(store=vault)
    with profiled() as hops:
        await fake.read(store=vault, fresh=True)
    await fake.stores.close()

    hops.stay_within(ceilings)


@pytest.mark.parametrize(
    ("doing", "ceilings"),
    [(rotate, (64, 935, 2140)), (Cluster.look, (42, 383, 300))],
    ids=["rotation", "rest"],
)
async def test_few_files_functions_and_changes_of_file_are_entered(
    doing: Callable[[Cluster], Awaitable[object]], ceilings: tuple[int, int, int]
) -> None:
    cluster = await at_rest()
    with profiled() as hops:
        await doing(cluster)

    hops.stay_within(ceilings)
