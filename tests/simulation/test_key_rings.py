"""What a pod encrypts can be read by every pod, at each step of a rotation of a key ring, and as long as it lasts."""

import base64
import json

import pytest

from keyturn.core.labels import ROLLBACK, ROTATE
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.simulation.test_emergencies import put_emergency

RING = "ring.json"
MOMENTS = [number / 2 for number in range(2, 13)]
"""Before and after each write of a rotation."""


class Service:
    """Two workloads that write and read data with the ring."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.written: set[str] = set()
        """The keys with which data was written."""

    @classmethod
    async def started(cls) -> "Service":
        cluster = Cluster({"data": [{"name": "storage", "generate": {"keyRing": {}}}]})
        await cluster.settle()
        service = cls(cluster)
        for name in ("writer", "reader"):
            cluster.add_workload(name, frozenset({RING}))
        await cluster.settle()
        service.work()
        return service

    @property
    def primary(self) -> str:
        return ring_in(self.cluster.data()[RING])[0]

    def ask(self, annotation: str, text: str) -> None:
        self.cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = text
        self.cluster.touch_managed()

    def work(self) -> set[str]:
        """Let each living pod write and read; return the keys that one of them lacks."""
        pods = [
            one for pods in self.cluster.pods.values() for one in (pods, pods.healthy) if one and one.read
        ]
        rings = [ring_in(one.read[RING]) for one in pods if one.read]
        assert rings
        self.written |= {ring[0] for ring in rings}
        return {name for name in self.written for ring in rings if name not in ring}

    async def settle(self) -> set[str]:
        """Work at each step until the operator rests; return the keys that a pod lacked."""
        lacked: set[str] = set()
        while True:
            self.cluster.tell()
            before = self.cluster.writes
            until = await self.cluster.look()
            lacked |= self.work()
            rolled = self.cluster.finish_rollouts()
            lacked |= self.work()
            if not rolled and self.cluster.writes == before and self.cluster.dies_at is None:
                return lacked
            self.cluster.now = max(self.cluster.now, until or self.cluster.now)


def ring_in(written: str) -> list[str]:
    return [key["id"] for key in json.loads(base64.b64decode(written))["keys"]]


@pytest.mark.parametrize("moment", [None, *MOMENTS])
async def test_all_data_is_readable_during_three_rotations(moment: float | None) -> None:
    service = await Service.started()
    primaries = [service.primary]
    for request in ("a", "b", "c"):
        service.cluster.dies_at = service.cluster.writes + moment if moment else None
        service.ask(ROTATE, request)
        assert await service.settle() == set()
        primaries.append(service.primary)
    assert len(set(primaries)) == len(primaries), "a rotation has not changed the primary key"


async def test_a_rotation_that_fails_goes_back_to_a_ring_with_the_key_that_it_promoted() -> None:
    service = await Service.started()
    before = service.primary
    service.cluster.doomed = {2}
    service.ask(ROTATE, "a")
    assert await service.settle() == set()
    assert service.primary == before


async def test_a_rollback_goes_back_one_rotation_and_no_further() -> None:
    service = await Service.started()
    for request in ("a", "b"):
        service.ask(ROTATE, request)
        await service.settle()
    last = service.primary
    service.ask(ROLLBACK, "1")
    assert await service.settle() == set()
    assert service.primary == last
    messages = [one["message"] for one in service.cluster.objects[MANAGED]["status"]["conditions"]]
    assert any(
        "the key ring storage of revision 1 lacks keys in use; write one of 2" in one for one in messages
    )
    service.ask(ROLLBACK, "2")
    assert await service.settle() == set()
    assert service.primary != last


async def test_an_emergency_replaces_both_keys_and_keeps_the_old_ones() -> None:
    service = await Service.started()
    exposed = ring_in(service.cluster.data()[RING])
    put_emergency(service.cluster, "leak")
    await service.cluster.settle()
    ring = ring_in(service.cluster.data()[RING])
    assert ring[2:] == exposed
    assert service.work() == set()


async def test_a_rotation_that_is_requested_between_two_emergencies_promotes_no_exposed_key() -> None:
    service = await Service.started()
    put_emergency(service.cluster, "first")
    await service.cluster.settle()
    exposed = ring_in(service.cluster.data()[RING])
    put_emergency(service.cluster, "second")
    service.ask(ROTATE, "a")
    await service.cluster.settle()
    ring = ring_in(service.cluster.data()[RING])
    assert ring != exposed
    assert set(ring[:2]).isdisjoint(exposed)
    assert service.work() == set()
