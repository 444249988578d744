"""An operator for selected namespaces, of which one may not be read: it was deleted, or its RoleBinding was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import LEASES, Cluster
from tests.faults.namespace import BYSTANDER, CONSUMERS, KEPT, ROTATED, WorkloadNamespace, workload_namespaces
from tests.support.kept_operator import KeptOperator

_ACCOUNT = "selected"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PATIENCE = 90.0
"""Seconds: kopf asks for a list at most ten seconds after the last time."""


def _grant(cluster: Cluster, role: str, namespace: str = "") -> None:
    """Bind a ClusterRole to the account: in a namespace, or in the whole cluster."""
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    folder = f"{_RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{_RBAC}/clusterrolebindings"
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": f"{_ACCOUNT}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": "default"}],
    }
    cluster.create(folder, body)


def _revoke(cluster: Cluster, namespace: str) -> None:
    cluster.delete(f"{_RBAC}/namespaces/{namespace}/rolebindings/{_ACCOUNT}-keyturn")


@pytest.fixture
def kubeconfig(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account that has no right in any namespace yet, except on its Lease."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _ACCOUNT}}
    cluster.create("/api/v1/namespaces/default/serviceaccounts", account)
    cluster.kubectl("apply", "-f", "-", given=LEASES)
    for role in ("keyturn-classes", "keyturn-faults-leases"):
        _grant(cluster, role)
    yield cluster.plane.service_account_kubeconfig("default", _ACCOUNT, tmp_path / "kubeconfig")
    for role in ("keyturn-classes", "keyturn-faults-leases"):
        cluster.delete(f"{_RBAC}/clusterrolebindings/{_ACCOUNT}-{role}")
    cluster.delete(f"/api/v1/namespaces/default/serviceaccounts/{_ACCOUNT}")


def _rotates(space: WorkloadNamespace, revision: int) -> None:
    space.trigger(f"to-{revision}")
    space.wait_for(revision, _PATIENCE)


def test_a_namespace_without_rights_stops_no_other_and_is_served_when_it_has_them(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    one, other = workload_namespaces(cluster, 2)
    serving = [f"--namespace={name}" for name in (one.namespace, other.namespace, "selected-and-deleted")]
    _grant(cluster, "keyturn", one.namespace)
    with KeptOperator(
        kubeconfig, tmp_path / "operator.log", *serving, env={"POD_NAMESPACE": one.namespace}
    ) as operator:
        operator.wait_for_log("leading")
        one.create()
        other.create()
        one.wait_for(1)
        assert {line["namespace"] for line in operator.lines("namespace not watched")} == {
            other.namespace,
            "selected-and-deleted",
        }

        _grant(cluster, "keyturn", other.namespace)
        other.wait_for(1, _PATIENCE)
        before = other.snapshot()

        _revoke(cluster, other.namespace)
        with operator.away():
            pass
        _rotates(one, 2)

        _grant(cluster, "keyturn", other.namespace)
        _rotates(other, 2)
        after = other.snapshot()

    assert after.values[KEPT] == before.values[KEPT]
    assert after.values[ROTATED] != before.values[ROTATED]
    assert after.recorded == {**before.recorded, 2: after.values}
    assert after.generations == {**dict.fromkeys(CONSUMERS, 2), BYSTANDER: 1}


def test_a_namespace_whose_secrets_may_not_be_listed_says_so_and_changes_nothing(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    one, other = workload_namespaces(cluster, 2)
    serving = [f"--namespace={space.namespace}" for space in (one, other)]
    for space in (one, other):
        _grant(cluster, "keyturn", space.namespace)
    with KeptOperator(
        kubeconfig, tmp_path / "operator.log", *serving, env={"POD_NAMESPACE": one.namespace}
    ) as operator:
        for space in (one, other):
            space.create()
        for space in (one, other):
            space.wait_for(1)
        before = other.snapshot()

        role = cluster.get(f"{_RBAC}/clusterroles/keyturn")
        rules = [rule for rule in role["rules"] if "secrets" not in rule["resources"]]
        without = {**role, "metadata": {"name": "selected-without-secrets"}, "rules": rules}
        cluster.create(f"{_RBAC}/clusterroles", without)
        _revoke(cluster, other.namespace)
        _grant(cluster, "selected-without-secrets", other.namespace)
        with operator.away():
            pass
        other.trigger("leaver")

        eventually(lambda: other.snapshot().conditions["Ready"] == "Unknown", "the missing right", _PATIENCE)
        (ready,) = (each for each in other.status()["conditions"] if each["type"] == "Ready")
        assert ready["reason"] == "Forbidden"
        assert "list secrets" in ready["message"]
        now = other.snapshot()
        assert (now.values, now.recorded, now.generations) == (
            before.values,
            before.recorded,
            before.generations,
        )
        _rotates(one, 2)

        _grant(cluster, "keyturn", other.namespace)
        other.wait_for(2, _PATIENCE)
    cluster.delete(f"{_RBAC}/clusterroles/selected-without-secrets")
