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


async def serving() -> Cluster:
    cluster = Cluster(
        {
            "data": [{"name": "tokens", "generate": {"jwks": {"algorithm": "EdDSA"}}}],
            "rotation": {"overlap": "1h"},
        }
    )
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


async def rotate(cluster: Cluster, request: str) -> set[str]:
    """Rotate to the end of the overlap, and return the keys that were refused at any step."""
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = request
    cluster.touch_managed()
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
