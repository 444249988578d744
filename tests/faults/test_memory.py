"""What tenants may store costs the operator no more memory than it has: 512 MiB in manifests/base."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.apiserver import MANAGED
from tests.support.kubectl import eventually
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.faults.apiserver import Cluster

_MOST_MIB = 400
_LITERAL = "x" * 16384


def _largest(number: int) -> dict[str, Any]:
    """Return a ManagedSecret of the largest spec; suspended, since two Secrets of each would fill the disk."""
    texts = [{"name": f"text-{one}", "literal": _LITERAL} for one in range(8)]
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": f"large-{number}"},
        "spec": {"suspend": True, "data": texts},
    }


def _heaviest(number: int) -> dict[str, Any]:
    """Return a ManagedSecret as heavy as an object may be: no schema bounds its labels."""
    body = _largest(number)
    body["metadata"]["labels"] = {f"label-{one:05}-{'x' * 50}": "x" * 60 for one in range(9500)}
    return body


def _stateful_set(number: int) -> dict[str, Any]:
    """Return a StatefulSet with a mebibyte of environment and no pods."""
    labels = {"app": f"heavy-{number}"}
    env = [{"name": f"TEXT_{one}", "value": "x" * 65536} for one in range(16)]
    pod = {"containers": [{"name": "app", "image": "app", "env": env}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": labels["app"]},
        "spec": {
            "replicas": 0,
            "serviceName": "heavy",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"memory-{secrets.token_hex(4)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    cluster.delete(f"/api/v1/namespaces/{name}")


def _create(cluster: Cluster, path: str, bodies: Iterable[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda body: cluster.create(path, body), bodies))


@contextmanager
def _running(kubeconfig: Path, log: Path, namespace: str) -> Iterator[Operator]:
    # A program of its own: a fork shares the memory of what it was forked from.
    operator = Operator(
        kubeconfig,
        log,
        f"--namespace={namespace}",
        env={"POD_NAMESPACE": namespace},
        program=("-m", "keyturn"),
    )
    with operator:
        yield operator


def _most_mib(operator: Operator) -> int:
    status = Path(f"/proc/{operator.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) >> 10


@pytest.mark.parametrize(
    ("make", "count"), [(_largest, 1000), (_heaviest, 100)], ids=["largest specs", "heaviest objects"]
)
def test_large_managed_secrets_fit_into_memory(
    make: Callable[[int], dict[str, Any]],
    count: int,
    cluster: Cluster,
    namespace: str,
    accounts: Callable[[str], Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    _create(cluster, f"{MANAGED}/namespaces/{namespace}/managedsecrets", map(make, range(count)))
    with _running(accounts("memory"), tmp_path / "operator.log", namespace) as operator:
        operator.wait_for_log("leading", timeout=120)
        eventually(lambda: operator.looks() >= count, "a look at each of them", timeout=300)
        most = _most_mib(operator)
        assert operator.returncode is None
    record_property(f"MiB that the operator used at most, with {count} of them", most)
    assert most <= _MOST_MIB


def test_large_workloads_fit_into_memory(
    cluster: Cluster,
    namespace: str,
    accounts: Callable[[str], Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    _create(cluster, path, map(_stateful_set, range(150)))
    with _running(accounts("memory"), tmp_path / "operator.log", namespace) as operator:
        operator.wait_for_log("leading", timeout=120)
        cluster.create(f"{MANAGED}/namespaces/{namespace}/managedsecrets", _small())
        secret = f"/api/v1/namespaces/{namespace}/secrets/small"
        eventually(lambda: cluster.get(secret), "a Secret is made meanwhile", timeout=60)
        most = _most_mib(operator)
        assert operator.returncode is None
    record_property("MiB that the operator used at most, with 150 StatefulSets of 1 MiB", most)
    assert most <= _MOST_MIB


def _small() -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": "small"},
        "spec": {"data": [{"name": "token", "generate": {"bytes": {}}}]},
    }
