"""A restart reads all Secrets in pages, writes nothing, and reads by name what a failed list has not returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, USER
from tests.faults.namespace import workload_namespaces
from tests.faults.proxy import FaultProxy, drop, refuse
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.namespace import WorkloadNamespace
    from tests.faults.proxy import Act, Asked

_ACCOUNT = "startreads"
_OBJECTS = 40
"""Their Secrets are on two pages, of which the first has 50."""


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[WorkloadNamespace]:
    space = workload_namespaces(cluster, 1)[0]
    yield space
    cluster.delete(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets")


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def operator(
    space: WorkloadNamespace,
    proxy: FaultProxy,
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Operator]:
    """An operator that has written the Secrets of all objects."""
    for number in range(_OBJECTS):
        space.cluster.create(
            f"{MANAGED}/namespaces/{space.namespace}/managedsecrets",
            {
                "apiVersion": "keyturn.dev/v1alpha1",
                "kind": "ManagedSecret",
                "metadata": {"name": f"auth-{number:02}"},
                "spec": {"data": [{"name": "password", "generate": {"password": {}}}]},
            },
        )
    with Operator(
        proxy.kubeconfig(accounts(_ACCOUNT)),
        tmp_path_factory.mktemp("operator") / "operator.log",
        f"--namespace={space.namespace}",
        env={"POD_NAMESPACE": space.namespace},
    ) as operator:
        eventually(lambda: _are_ready(space), "all objects Ready", 120)
        yield operator


def _are_ready(space: WorkloadNamespace) -> bool:
    found = space.cluster.items(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets")
    conditions = [one for body in found for one in body.get("status", {}).get("conditions", ())]
    return sum((one["type"], one["status"]) == ("Ready", "True") for one in conditions) == _OBJECTS


def _reads(cluster: Cluster, verb: str) -> int:
    """Return how many requests for Secrets of a verb the operator has sent."""
    calls = cluster.audit(f"{USER}:{_ACCOUNT}")
    return sum(call.verb == verb and call.resource == "secrets" for call in calls)


def _restart(cluster: Cluster, operator: Operator) -> tuple[int, int]:
    """Restart the operator until it has reconciled all; return its reads of Secrets by name, and its writes."""
    reads, writes = _reads(cluster, "get"), len(cluster.writes(_ACCOUNT))
    with operator.away():
        pass
    eventually(lambda: operator.has_looked(_OBJECTS), "a reconcile of every object", 120)
    return _reads(cluster, "get") - reads, len(cluster.writes(_ACCOUNT)) - writes


def _is_second_page(asked: Asked) -> bool:
    """Whether a request is for a later page of Secrets with their values."""
    is_page = asked.path.endswith("/secrets") and "continue=" in asked.query
    return is_page and "PartialObjectMetadata" not in asked.request.headers["Accept"]


def test_a_restart_reads_no_secret_by_name_and_writes_nothing(cluster: Cluster, operator: Operator) -> None:
    assert _restart(cluster, operator) == (0, 0)


def test_a_list_that_expires_is_repeated(cluster: Cluster, proxy: FaultProxy, operator: Operator) -> None:
    expired = proxy.rule(_is_second_page, refuse(410, "Expired"))
    assert _restart(cluster, operator) == (0, 0)
    assert expired.hits == 1


@pytest.mark.parametrize("act", [drop, refuse(403, "Forbidden")], ids=["away", "forbidden"])
def test_what_a_failed_list_has_not_returned_is_read_by_name(
    act: Act, cluster: Cluster, proxy: FaultProxy, operator: Operator
) -> None:
    fault = proxy.rule(_is_second_page, act, times=1_000)

    reads, writes = _restart(cluster, operator)
    fault.times = 0

    assert writes == 0
    assert 0 < reads < 2 * _OBJECTS
    assert [line["event"] for line in operator.lines("secrets read")] == ["secrets read one by one"]
    assert operator.returncode is None
