"""Thousands of pods in a namespace, and an operator that may not list them, on a real API server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import USER, Call, Cluster
from tests.faults.test_evictions import Home, homes, operator_of, template
from tests.support.objects import Client
from tests.support.soak import TIMES

pytestmark = pytest.mark.timeout(600)
_ACCOUNT, _BLIND = "many-pods", "no-pods"
_PATIENCE = 120.0
_PAGE = 500
_PODS = 5000 if TIMES > 1 else 600
_SECRETS = 5
_SOON = "keyturn.core.rotation.old_pods._UNREAD_INTERVAL=3"
"""Seconds after which pods that could not be listed are listed again, instead of a minute."""
_MOST_GROWTH = 64 * 1024
"""KiB by which the peak of the operator's memory may grow for the list."""


@pytest.fixture
def home(cluster: Cluster) -> Iterator[Home]:
    (home,) = homes(cluster, 1)
    yield home
    cluster.delete(f"/api/v1/namespaces/{home.space.namespace}")


def lists_of_all_pods(home: Home, account: str) -> list[Call]:
    """Return the pages of the pods of the namespace that an operator has read, oldest first."""
    calls = home.cluster.audit(f"{home.pods}?")
    return [one for one in calls if one.user == f"{USER}:{account}" and "labelSelector" not in one.uri]


def peak_of(pid: int) -> int:
    """Return the peak of a process's memory in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def add_many_pods(home: Home, count: int) -> None:
    """Create pods that use the Secret and that no node has: they hold no value, and each is in the list."""
    body = template(generateName="many-")
    body["spec"] |= {"schedulerName": "none"}
    clients = [Client.of(home.cluster.plane.kubeconfig) for _ in range(4)]

    def add(client: Client) -> None:
        for _ in range(count // len(clients)):
            client.create(home.pods, body)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(add, clients))
    for client in clients:
        client.close()


def secret_named(name: str) -> dict[str, Any]:
    spec = {"data": [{"name": "token", "generate": {"bytes": {}}}], "rollout": {"debounce": "0s"}}
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name},
        "spec": spec | {"rotation": {"trigger": "first"}},
    }


def test_one_list_in_pages_serves_all_secrets_of_a_namespace_with_thousands_of_pods(
    home: Home, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    cluster, only = home.cluster, f"--namespace={home.space.namespace}"
    path = home.space.managed.rpartition("/")[0]
    names = [f"s{number}" for number in range(_SECRETS)]
    for name in names:
        cluster.create(path, secret_named(name))
    add_many_pods(home, _PODS)
    with operator_of(home, accounts(_ACCOUNT), tmp_path / "operator.log", only) as operator:
        home.space.wait_for(1, _PATIENCE)
        eventually(lambda: revisions(home, names) == [[1]] * _SECRETS, "first revisions", _PATIENCE)
        assert lists_of_all_pods(home, _ACCOUNT) == [], "a first revision asserts nothing about pods"
        before = peak_of(operator.pid)

        for name in names:
            cluster.edit(f"{path}/{name}", lambda body: body["spec"]["rotation"].update(trigger="next"))
        eventually(lambda: revisions(home, names) == [[2, 1]] * _SECRETS, "second revisions", _PATIENCE)
        growth = peak_of(operator.pid) - before
        operator.stop()

    pages = lists_of_all_pods(home, _ACCOUNT)
    firsts = [one for one in pages if "continue=" not in one.uri]
    assert max(int(re.findall(r"limit=(\d+)", one.uri)[0]) for one in pages) <= _PAGE
    assert len(pages) >= len(firsts) * -(-_PODS // _PAGE)
    assert 1 <= len(firsts) <= _SECRETS * (1 + operator.losses)
    assert growth < _MOST_GROWTH


def revisions(home: Home, names: list[str]) -> list[list[int]]:
    found = {
        one["metadata"]["name"]: one for one in home.cluster.items(home.space.managed.rpartition("/")[0])
    }
    statuses = [found[name].get("status") or {} for name in names]
    return [[entry["revision"] for entry in status.get("history", ())] for status in statuses]


# Without the right to list pods


@pytest.fixture
def blind(cluster: Cluster, accounts: Callable[[str], Path]) -> Path:
    """The kubeconfig of an operator whose role lacks pods."""
    kubeconfig = accounts(_BLIND)
    role = cluster.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/keyturn")
    rules = [
        rule | {"resources": [one for one in rule["resources"] if one != "pods"]} for rule in role["rules"]
    ]
    limited: dict[str, Any] = {
        "metadata": {"name": f"keyturn-{_BLIND}"},
        "rules": [one for one in rules if one["resources"]],
    }
    cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", limited)
    cluster.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{_BLIND}-keyturn")
    subject = {"kind": "ServiceAccount", "name": _BLIND, "namespace": USER.rpartition(":")[2]}
    binding = {
        "metadata": {"name": f"{_BLIND}-limited"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": limited["metadata"]["name"],
        },
        "subjects": [subject],
    }
    cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    return kubeconfig


def verdict(home: Home) -> tuple[str, str]:
    found = {one["type"]: one for one in home.space.status().get("conditions") or ()}
    current = found.get("WorkloadsCurrent", {})
    return current.get("status", ""), current.get("reason", "")


def test_without_the_right_to_list_pods_nothing_is_asserted_until_it_is_granted(
    home: Home, blind: Path, tmp_path: Path
) -> None:
    cluster, only = home.cluster, f"--namespace={home.space.namespace}"
    log = tmp_path / "operator.log"
    with operator_of(home, blind, log, only, constants=_SOON) as operator:
        home.space.wait_for(1, _PATIENCE)
        cluster.create(home.pods, template(name="bare"))
        home.second_after()
        home.space.trigger("leaver")
        eventually(lambda: verdict(home) == ("Unknown", "PodsUnknown"), "it is unknown", _PATIENCE)
        assert [one["revision"] for one in home.space.status()["history"]] == [1]

        grant(home)
        eventually(lambda: verdict(home) == ("False", "NotRestartedByKeyturn"), "the pod is found", _PATIENCE)
        cluster.delete(f"{home.pods}/bare")
        home.space.wait_for(2, _PATIENCE)
        operator.stop()


def grant(home: Home) -> None:
    """Let the operator list the pods of the namespace."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{home.space.namespace}"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    home.cluster.create(f"{path}/roles", {"metadata": {"name": _BLIND}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": _BLIND, "namespace": USER.rpartition(":")[2]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _BLIND}
    home.cluster.create(
        f"{path}/rolebindings", {"metadata": {"name": _BLIND}, "roleRef": role, "subjects": [subject]}
    )
