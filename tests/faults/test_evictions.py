"""Evictions of an emergency, on a real API server: each pod once, and not against a PodDisruptionBudget."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, USER, Call, Cluster
from tests.faults.namespace import WorkloadNamespace
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator

pytestmark = pytest.mark.timeout(600)
_ACCOUNT = "evictions"
_PATIENCE = 90.0
_CREATED, _REFUSED = 201, 429
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_SPEC: dict[str, Any] = {"data": [{"name": "token", "generate": {"bytes": {}}}], "rotation": {}}


@dataclass(frozen=True, slots=True)
class Home:
    """A namespace with pods that Keyturn does not restart, and its emergency."""

    space: WorkloadNamespace

    @property
    def cluster(self) -> Cluster:
        return self.space.cluster

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.space.namespace}/pods"

    @property
    def emergency(self) -> str:
        return f"{MANAGED}/namespaces/{self.space.namespace}/emergencyrotations/leak"

    def names(self) -> set[str]:
        return {one["metadata"]["name"] for one in self.cluster.items(self.pods)}

    def declare(self) -> None:
        spec = {"reason": "a laptop was stolen", "selector": {}, "evict": True}
        body = {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "EmergencyRotation",
            "metadata": {"name": "leak"},
        }
        self.cluster.create(self.emergency.rpartition("/")[0], body | {"spec": spec})

    def updated(self) -> tuple[str, str]:
        status = self.cluster.get(self.emergency).get("status") or {}
        found = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}
        return found.get("ServicesUpdated", ("", ""))

    def pending(self) -> set[str]:
        """Return the owners of pods that the status has as not restarted."""
        rows = self.space.status().get("workloads", ())
        return {
            f"{row['kind']}/{row['name']}" for row in rows if row.get("reason") == "NotRestartedByKeyturn"
        }

    def evictions(self) -> list[Call]:
        """Return the requests for evictions, oldest first."""
        calls = self.cluster.audit(f"{self.pods}/")
        return [one for one in calls if one.user == f"{USER}:{_ACCOUNT}" and one.uri.endswith("/eviction")]

    def evicted(self) -> list[str]:
        """Return the pods whose eviction the API server has accepted."""
        return sorted(call.uri.split("/")[-2] for call in self.evictions() if call.status == _CREATED)

    def second_after(self) -> None:
        """Wait until what is created is, in whole seconds, newer than what is there."""
        accounts = f"/api/v1/namespaces/{self.space.namespace}/serviceaccounts"

        def now() -> str:
            made = self.cluster.create(accounts, {"metadata": {"generateName": "clock-"}})
            return str(made["metadata"]["creationTimestamp"])

        first = now()
        eventually(lambda: now() > first, "a second later")


def homes(cluster: Cluster, count: int) -> list[Home]:
    """Make namespaces in which the operator may evict pods."""
    found = [Home(WorkloadNamespace(cluster, f"evict-{secrets.token_hex(4)}")) for _ in range(count)]
    name = {"metadata": {"name": _ACCOUNT}}
    rules = [{"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]}]
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": USER.rpartition(":")[2]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _ACCOUNT}
    for home in found:
        here = home.space.namespace
        cluster.create("/api/v1/namespaces", {"metadata": {"name": here}})
        cluster.create(f"{_RBAC}/namespaces/{here}/roles", name | {"rules": rules})
        cluster.create(
            f"{_RBAC}/namespaces/{here}/rolebindings", name | {"roleRef": role, "subjects": [subject]}
        )
        account = f"/api/v1/namespaces/{here}/serviceaccounts/default"
        eventually(partial(exists, cluster, account), "the ServiceAccount")
        home.space.create(**_SPEC)
    return found


def exists(cluster: Cluster, path: str) -> bool:
    return cluster.get(path) is not None


def template(**metadata: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "example.org/none", "envFrom": [{"secretRef": {"name": "auth"}}]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"metadata": metadata, "spec": spec}


def operator_of(
    home: Home, kubeconfig: Path, log: Path, *arguments: str, constants: str = ""
) -> KeptOperator:
    # As if the term of one that died before were over.
    home.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.space.namespace}/leases/keyturn")
    env = {"POD_NAMESPACE": home.space.namespace, CONSTANTS: constants}
    return KeptOperator(kubeconfig, log, *arguments, env=env)


def is_over(home: Home) -> bool:
    return home.updated()[0] == "True"


@pytest.fixture
def home(cluster: Cluster) -> Iterator[Home]:
    (home,) = homes(cluster, 1)
    yield home
    cluster.delete(f"/api/v1/namespaces/{home.space.namespace}")


def test_a_pod_is_evicted_when_its_budget_permits_it_and_others_do_not_wait(
    home: Home, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    budget = f"/apis/policy/v1/namespaces/{home.space.namespace}/poddisruptionbudgets"
    only, cluster = f"--namespace={home.space.namespace}", home.cluster
    with operator_of(home, accounts(_ACCOUNT), tmp_path / "operator.log", only) as operator:
        home.space.wait_for(1, _PATIENCE)
        for name in ("guarded", "plain"):
            cluster.create(home.pods, template(name=name, labels={"app": name}))
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
        cluster.create(budget, {"metadata": {"name": "guard"}, "spec": spec})
        eventually(lambda: counts(cluster, budget) == (1, 0), "a budget with one pod and no room", 60)
        home.second_after()

        home.declare()
        eventually(lambda: home.names() == {"guarded"}, "the pod without a budget is evicted", _PATIENCE)
        eventually(lambda: any(one.status == _REFUSED for one in home.evictions()), "a refusal", _PATIENCE)
        eventually(lambda: home.pending() == {"Pod/guarded"}, "the other pod is named", _PATIENCE)
        refusals = operator.told("pod not evicted")
        assert home.updated() == ("False", "RollingOut")
        assert {(one["pod"], one["reason"]) for one in refusals} == {("guarded", "Refused")}

        cluster.edit(f"{budget}/guard", lambda body: body["spec"].update(minAvailable=0))
        eventually(partial(is_over, home), "the services are updated", _PATIENCE)
        operator.stop()

    assert home.evicted() == ["guarded", "plain"]
    assert (home.names(), home.space.status()["revision"]) == (set(), 2)


def counts(cluster: Cluster, budget: str) -> tuple[int, int]:
    """Return how many healthy pods a budget has, and how many of them may be evicted."""
    status = cluster.get(f"{budget}/guard").get("status") or {}
    return status.get("currentHealthy", 0), status.get("disruptionsAllowed", -1)
