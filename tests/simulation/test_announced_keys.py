"""Tokens verify at each step of a rotation of JSON Web Keys, between pods of before and after their restart."""

import base64
import json

import pytest

from keyturn.core.labels import ROTATE
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.simulation.test_emergencies import put_emergency

PRIVATE, PUBLIC = "private.jwks", "public.jwks"
MOMENTS = [number / 2 for number in range(2, 22)]
"""Before and after each write of a rotation."""


async def serving(overlap: str = "1h") -> Cluster:
    tokens = {"name": "tokens", "generate": {"jwks": {"algorithm": "EdDSA"}}}
    cluster = Cluster({"data": [tokens], "rotation": {"overlap": overlap}})
    await cluster.settle()
    cluster.add_workload("signer", frozenset({PRIVATE}))
    cluster.add_workload("verifier", frozenset({PUBLIC}))
    await cluster.settle()
    return cluster


def names_in(written: str) -> list[str]:
    return [key["kid"] for key in json.loads(base64.b64decode(written))["keys"]]


def refused(cluster: Cluster) -> set[str]:
    """Return the names of the keys that a living pod signs with, and another one does not verify."""
    living = [one for pods in cluster.pods.values() for one in (pods, pods.healthy) if one and one.read]
    signing = {names_in(one.read[PRIVATE])[0] for one in living if one.read and PRIVATE in one.read}
    known = [set(names_in(one.read[PUBLIC])) for one in living if one.read and PUBLIC in one.read]
    assert signing
    assert known
    return {name for name in signing for names in known if name not in names}


def ask(cluster: Cluster, request: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = request
    cluster.touch_managed()
    cluster.tell()


async def rotate(cluster: Cluster, request: str) -> set[str]:
    """Rotate to the end of the overlap, and return the keys that were refused at any step."""
    ask(cluster, request)
    found: set[str] = set()
    while True:
        cluster.tell()
        before = cluster.writes
        until = await cluster.look()
        found |= refused(cluster)
        rolled = cluster.finish_rollouts()
        found |= refused(cluster)
        if until is None and not rolled and cluster.writes == before:
            return found
        cluster.now = max(cluster.now, until or cluster.now)


@pytest.mark.parametrize("moment", [None, *MOMENTS])
async def test_no_token_is_refused_during_a_rotation(moment: float | None) -> None:
    cluster = await serving()
    signed = [names_in(cluster.data()[PRIVATE])[0]]
    for request in ("a", "b", "c"):
        cluster.dies_at = cluster.writes + moment if moment else None
        assert await rotate(cluster, request) == set()
        signed.append(names_in(cluster.data()[PRIVATE])[0])
    assert cluster.dies_at is None, "a moment is after the last write"
    assert len(set(signed)) == len(signed), "a rotation has not changed the key that signs"


@pytest.mark.parametrize("revoke", ["Immediately", "AfterRollout"])
async def test_an_emergency_replaces_the_announced_key_as_well(revoke: str) -> None:
    cluster = await serving()
    exposed = set(names_in(cluster.data()[PRIVATE]))
    put_emergency(cluster, "leak", revoke=revoke)
    await cluster.settle()
    assert exposed.isdisjoint(names_in(cluster.data()[PRIVATE])[:2])


async def test_a_rotation_waits_until_every_pod_has_the_key_that_it_promotes() -> None:
    cluster = await serving()
    ask(cluster, "first")
    await cluster.look()
    ask(cluster, "second")
    first = names_in(cluster.data()[PRIVATE])[0]
    for _ in range(10):
        cluster.tell()
        await cluster.look()
    assert names_in(cluster.data()[PRIVATE])[0] == first
    assert refused(cluster) == set()
    conditions = cluster.objects[MANAGED]["status"]["conditions"]
    assert any("every pod has the key that it promotes" in one["message"] for one in conditions)
    assert await rotate(cluster, "second") == set()
    assert names_in(cluster.data()[PRIVATE])[0] != first


async def test_without_an_overlap_the_announced_key_signs_as_well() -> None:
    cluster = await serving("0s")
    announced = names_in(cluster.data()[PRIVATE])[1]
    await rotate(cluster, "a")
    assert names_in(cluster.data()[PRIVATE])[0] == announced
