"""A process that dies over the deletion of a pod neither forgets it nor deletes another."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import USER
from tests.faults.namespace import NAME, Scene
from tests.faults.test_kill_shape import Stage, moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster

_ACCOUNT = "pod-deletion"
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"


@pytest.fixture
def stage(cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path) -> Iterator[Stage]:
    """A namespace in which the operator may delete pods, and in which revision 2 gets no pod ready."""
    scene = Scene(cluster, f"pods-{secrets.token_hex(4)}")
    cluster.create("/api/v1/namespaces", {"metadata": {"name": scene.namespace}})
    stage = Stage(scene, accounts(_ACCOUNT), tmp_path)
    _allow(scene)
    account = f"/api/v1/namespaces/{scene.namespace}/serviceaccounts/default"
    eventually(lambda: cluster.get(account) is not None, "the namespace's ServiceAccount")
    scene.create(rollout={"debounce": "0s", "progressDeadline": "2s"})
    cluster.create(f"/apis/apps/v1/namespaces/{scene.namespace}/statefulsets", _stateful_set())
    stage.live(lambda: _is_rolled(scene), "two pods with revision 1")
    yield stage
    cluster.delete(f"/api/v1/namespaces/{scene.namespace}")


def _allow(scene: Scene) -> None:
    name = {"metadata": {"name": _ACCOUNT}}
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]},
    ]
    scene.cluster.create(f"{_RBAC}/{scene.namespace}/roles", name | {"rules": rules})
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": USER.rpartition(":")[2]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _ACCOUNT}
    scene.cluster.create(
        f"{_RBAC}/{scene.namespace}/rolebindings", name | {"roleRef": role, "subjects": [subject]}
    )


def _stateful_set() -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "example.org/none",
        "envFrom": [{"secretRef": {"name": NAME}}],
    }
    annotations = {"sandbox.keyturn.dev/fails-with": f"{NAME}=2"}
    template = {
        "metadata": {"labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    spec = {"replicas": 2, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"name": "web"}, "spec": spec | {"template": template}}


def _is_rolled(scene: Scene) -> bool:
    found = scene.cluster.get(f"/apis/apps/v1/namespaces/{scene.namespace}/statefulsets/web")
    status = found.get("status") or {}
    counts = [status.get(one, 0) for one in ("replicas", "readyReplicas", "updatedReplicas")]
    is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return is_seen and counts == [2, 2, 2]


def _is_back(scene: Scene) -> bool:
    conditions = {one["type"]: one["reason"] for one in scene.status().get("conditions") or ()}
    return conditions.get("Stalled") == "RolledBack" and _is_rolled(scene)


@pytest.mark.parametrize("failpoint", moments("DeletePod"))
def test_the_pod_is_deleted_once(failpoint: str, stage: Stage, cluster: Cluster) -> None:
    scene = stage.scene
    scene.trigger("leaver")

    stage.die(failpoint)
    stage.live(lambda: _is_back(scene), "every pod back at revision 1")

    deletes = [
        (call.uri, call.status)
        for call in cluster.writes(_ACCOUNT)
        if call.verb == "delete" and call.namespace == scene.namespace
    ]
    assert deletes == [(f"/api/v1/namespaces/{scene.namespace}/pods/web-1", 200)]
