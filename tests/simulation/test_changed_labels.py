"""The owner label of a Secret is changed: its owner reports that, and the named one leaves the Secret as it is."""

from typing import Any, Final

import pytest

from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.kube import paths
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster

OTHER: Final = ObjectKey("shop", "other")
MANAGED_OTHER: Final = paths.managed_secret(OTHER.namespace, OTHER.name)


def spec(**more: Any) -> dict[str, Any]:
    return {"data": [{"name": "password", "generate": {"password": {}}}], **more}


@pytest.fixture
async def cluster() -> Cluster:
    """Return a cluster with two ManagedSecrets at rest."""
    cluster = Cluster(spec())
    await cluster.settle()
    metadata = {"name": "other", "namespace": "shop", "uid": "uid-other", "generation": 1, "annotations": {}}
    cluster.put(MANAGED_OTHER, {"metadata": metadata, "spec": spec()})
    await reconcile_other(cluster)
    return cluster


async def reconcile_other(cluster: Cluster) -> None:
    for _ in range(5):
        cluster.tell()
        cluster.context.cache.put_managed(cluster.objects[MANAGED_OTHER])
        await reconcile(OTHER, cluster.memory, cluster.context)


async def test_the_state_secret_has_the_labels_of_the_target() -> None:
    """Such as one that an admission policy requires of every Secret."""
    labels = {"cost-centre": "4711", "argocd.argoproj.io/secret-type": "repository"}
    annotations = {"replicator.example.com/to": "*"}
    template = {"metadata": {"labels": labels, "annotations": annotations}}
    cluster = Cluster(spec(target={"template": template}))
    await cluster.settle()

    state = cluster.objects[STATE]["metadata"]
    assert cluster.objects[TARGET]["metadata"]["labels"].items() >= labels.items()
    assert state["labels"] == {
        "cost-centre": "4711",
        OWNER_LABEL: "db",
        "app.kubernetes.io/managed-by": "keyturn",
    }
    assert "annotations" not in state


def set_owner(cluster: Cluster, path: str, owner: str) -> None:
    body = cluster.objects[path]
    body["metadata"]["labels"][OWNER_LABEL] = owner
    cluster._stamp(body)


@pytest.mark.parametrize("path", [TARGET, STATE])
async def test_a_secret_of_another_one_is_left_as_it_is(cluster: Cluster, path: str) -> None:
    set_owner(cluster, path, "other")
    metadata = dict(cluster.objects[path]["metadata"])

    await reconcile_other(cluster)

    assert cluster.objects[path]["metadata"] == metadata
    cluster.tell()
    await cluster.look()
    ready = next(one for one in cluster.objects[MANAGED]["status"]["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "SecretNotOwned")


async def test_nothing_is_written_while_target_name_differs_from_the_secret_that_was_written(
    cluster: Cluster,
) -> None:
    """The CRD refuses the change; an older CRD, or a ManagedSecret that is created again, does not."""
    before = {path: cluster.objects[path]["metadata"]["resourceVersion"] for path in (TARGET, STATE)}
    cluster.change_managed()["target"] = {"name": "renamed"}

    await cluster.settle()

    ready = next(one for one in cluster.objects[MANAGED]["status"]["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert paths.secret("shop", "renamed") not in cluster.objects
    assert {path: cluster.objects[path]["metadata"]["resourceVersion"] for path in before} == before

    del cluster.objects[TARGET]
    await cluster.settle()
    assert paths.secret("shop", "renamed") in cluster.objects
