"""A status that is too large for the cache is read before it is replaced, and what metrics count of it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from keyturn.checklist.monitor import ClusterEvidence
from keyturn.controllers.object_metrics import facts
from keyturn.core.labels import ROTATE
from keyturn.endpoints.exposition import ObjectFacts
from keyturn.kube import errors
from tests.simulation.simulated_cluster import KEY, MANAGED, STATE, Cluster

if TYPE_CHECKING:
    from keyturn.kube.wire import Body

MANY = 450


class Refusing(Cluster):
    """Refuses to read what `refused` has."""

    refused: frozenset[str] = frozenset()

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        if path in self.refused:
            raise errors.Forbidden("get", path, 403, "Forbidden")
        return await super().get(path, metadata_only=metadata_only)


async def rotated() -> Refusing:
    """Return a cluster with many workloads that are not restarted, whose status is larger than the cache keeps."""
    cluster = Refusing(
        {
            "data": [{"name": "password", "generate": {"password": {}}}],
            "rotation": {"every": "90d", "overlap": "0s"},
            "rollout": {"restart": "None"},
        }
    )
    await cluster.settle()
    for number in range(MANY):
        cluster.add_workload(f"payments-worker-{number:03}", None)
    await cluster.settle()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    await cluster.settle()
    cluster.tell()
    assert len(orjson.dumps(cluster.objects[MANAGED]["status"])) > 64 * 1024
    assert cluster.context.cache.is_large(KEY)
    return cluster


async def test_one_failed_read_takes_nothing_from_a_large_status() -> None:
    cluster = await rotated()
    before = cluster.objects[MANAGED]["status"]
    cluster.refused = frozenset({STATE})
    cluster.memory.secrets.doubt(KEY)  # as after a restart: both Secrets are read again
    await cluster.look()

    after = cluster.objects[MANAGED]["status"]
    assert [one["status"] for one in after["conditions"] if one["type"] == "Ready"] == ["Unknown"]
    changed = {"conditions", "rest", "state"}
    assert {name: part for name, part in after.items() if name not in changed} == {
        name: part for name, part in before.items() if name not in changed
    }

    cluster.refused = frozenset()
    await cluster.settle()
    assert cluster.objects[MANAGED]["status"]["history"] == before["history"]
    assert cluster.objects[MANAGED]["status"]["schedule"] == before["schedule"]


async def test_a_large_status_that_cannot_be_read_is_not_replaced() -> None:
    cluster = await rotated()
    before, writes = cluster.objects[MANAGED]["status"], cluster.writes
    cluster.refused = frozenset({STATE, MANAGED})
    cluster.memory.secrets.doubt(KEY)
    await cluster.look()
    assert (cluster.objects[MANAGED]["status"], cluster.writes) == (before, writes)


async def test_metrics_count_what_a_large_status_has() -> None:
    cluster = await rotated()
    cluster.change_managed()["suspend"] = True
    await cluster.settle()
    cluster.now += timedelta(days=200)
    await cluster.settle()
    cluster.tell()

    samples = facts(cluster.context.cache, ClusterEvidence(), lambda: cluster.now)
    found = [one for one in samples if isinstance(one, ObjectFacts)]

    status = cluster.objects[MANAGED]["status"]
    assert (status["overdue"], status["revision"]) == (True, 2)
    assert [(one.is_overdue, one.revision, one.workloads, one.violations) for one in found] == [
        (True, 2, MANY, ("overdue",))
    ]
    assert found[0].conditions.keys() == {one["type"] for one in status["conditions"]}
