"""An emergency is not done while a workload uses exposed values, wherever they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.emergency import AffectedState
from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.kube import paths
from tests.simulation.simulated_cluster import KEY, SECOND, TARGET, Cluster

if TYPE_CHECKING:
    from keyturn.core.emergency.progress import Affected

PASSWORD: list[dict[str, Any]] = [{"name": "password", "generate": {"password": {}}}]
RENAMED = paths.secret("shop", "db2")
IN_USE = "Deployment/api still uses the Secret 'db', which keeps the values of revision 1; let it use 'db2'"


async def running(**target: Any) -> Cluster:
    cluster = Cluster({"data": PASSWORD, "target": target})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    return cluster


async def declare(cluster: Cluster) -> None:
    metadata = {
        "name": "leak",
        "namespace": "shop",
        "uid": "uid-of-leak",
        "creationTimestamp": cluster.now.replace(microsecond=0).isoformat(),
    }
    body = {"metadata": metadata, "spec": {"reason": "a laptop was stolen", "names": ["db"]}, "status": {}}
    cluster.context.cache.emergencies.put(EmergencyKey("shop", "leak"), body)
    cluster.now += 5 * SECOND
    await cluster.settle()


async def rename(cluster: Cluster, **target: Any) -> None:
    cluster.change_managed()["target"] = {**target, "name": "db2"}
    await cluster.settle()


async def let_use(cluster: Cluster, secret: str) -> None:
    body = cluster.objects[cluster.path_of("api")]
    template = body["spec"]["template"]
    template["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": secret}}]
    cluster.now += 2 * SECOND
    cluster.pods["api"].made = cluster.now  # by the rollout of that change
    cluster.pause("api", paused=False)  # which counts as a change of it
    await cluster.settle()


def progress(cluster: Cluster) -> Affected:
    found = cluster.memory.emergencies.progress(KEY, "uid-of-leak")
    assert found is not None
    return found


@pytest.mark.parametrize("is_immutable", [False, True], ids=["declared after", "advised by the status"])
async def test_a_workload_that_uses_the_secret_under_its_earlier_name_is_waited_for(
    is_immutable: bool,  # noqa: FBT001
) -> None:
    target = {"immutable": True} if is_immutable else {}
    cluster = await running(**target)
    exposed = cluster.data()
    if is_immutable:
        await declare(cluster)
        assert "write another target.name" in (progress(cluster).message or "")
        await rename(cluster, **target)
    else:
        await rename(cluster)
        await declare(cluster)

    assert (progress(cluster).state, progress(cluster).message) == (AffectedState.ROTATED, IN_USE)
    assert OWNER_LABEL not in cluster.objects[TARGET]["metadata"]["labels"], "it is released"
    assert cluster.data() == exposed
    assert cluster.objects[RENAMED]["data"] != exposed

    await let_use(cluster, "db2")
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_secret_that_another_client_has_created_under_that_name_is_not_waited_for() -> None:
    cluster = await running()
    await rename(cluster)
    cluster.objects[TARGET]["metadata"]["uid"] = "another"

    await declare(cluster)

    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_deleted_secret_is_waited_for_while_a_workload_has_its_name() -> None:
    cluster = await running()
    await rename(cluster)
    del cluster.objects[TARGET]

    await declare(cluster)

    assert progress(cluster).message == IN_USE
