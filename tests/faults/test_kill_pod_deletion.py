"""A process that dies over the deletion of a pod neither forgets it nor deletes another."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import USER
from tests.faults.namespace import NAME, WorkloadNamespace
from tests.faults.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster

_ACCOUNT = "pod-deletion"
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"


@pytest.fixture
def stage(cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path) -> Iterator[Stage]:
    """A namespace in which the operator may delete pods, and in which revision 2 gets no pod ready."""
    space = WorkloadNamespace(cluster, f"pods-{secrets.token_hex(4)}")
    cluster.create("/api/v1/namespaces", {"metadata": {"name": space.namespace}})
    stage = Stage(space, accounts(_ACCOUNT), tmp_path)
    _allow(space)
    account = f"/api/v1/namespaces/{space.namespace}/serviceaccounts/default"
    eventually(lambda: cluster.get(account) is not None, "the namespace's ServiceAccount")
    space.create(rollout={"debounce": "0s", "progressDeadline": "2s"})
    cluster.create(f"/apis/apps/v1/namespaces/{space.namespace}/statefulsets", _stateful_set())
    stage.live(lambda: _is_rolled(space), "two pods with revision 1")
    yield stage
    cluster.delete(f"/api/v1/namespaces/{space.namespace}")


def _allow(space: WorkloadNamespace) -> None:
    name = {"metadata": {"name": _ACCOUNT}}
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]},
    ]
    space.cluster.create(f"{_RBAC}/{space.namespace}/roles", name | {"rules": rules})
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": USER.rpartition(":")[2]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _ACCOUNT}
    space.cluster.create(
        f"{_RBAC}/{space.namespace}/rolebindings", name | {"roleRef": role, "subjects": [subject]}
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


def _is_rolled(space: WorkloadNamespace) -> bool:
    found = space.cluster.get(f"/apis/apps/v1/namespaces/{space.namespace}/statefulsets/web")
    status = found.get("status") or {}
    counts = [status.get(one, 0) for one in ("replicas", "readyReplicas", "updatedReplicas")]
    is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return is_seen and counts == [2, 2, 2]


def _is_back(space: WorkloadNamespace) -> bool:
    conditions = {one["type"]: one["reason"] for one in space.status().get("conditions") or ()}
    return conditions.get("Stalled") == "RolledBack" and _is_rolled(space)


@pytest.mark.parametrize("failpoint", ["before:DeletePod", "after:DeletePod"])
def test_the_pod_is_deleted_once(failpoint: str, stage: Stage, cluster: Cluster) -> None:
    space = stage.space
    space.trigger("leaver")

    stage.die(failpoint)
    stage.live(lambda: _is_back(space), "every pod back at revision 1")

    deletes = [
        (call.uri, call.status)
        for call in cluster.writes(_ACCOUNT)
        if call.verb == "delete" and call.namespace == space.namespace
    ]
    assert deletes == [(f"/api/v1/namespaces/{space.namespace}/pods/web-1", 200)]
