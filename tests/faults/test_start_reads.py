"""A restart leaves unchanged objects alone, and writes nothing.

Without the Lease of the last leader, it reads all Secrets in pages, and by name what a failed list has not returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.shards import LEASE
from keyturn.kube import paths
from keyturn.kube.lease_holder import is_vouched
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
_PAGES = 2
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
        _manage(space, f"auth-{number:02}")
    with Operator(
        proxy.kubeconfig(accounts(_ACCOUNT)),
        tmp_path_factory.mktemp("operator") / "operator.log",
        f"--namespace={space.namespace}",
        env={"POD_NAMESPACE": space.namespace},
    ) as operator:
        eventually(lambda: _are_ready(space), "all objects Ready", 120)
        yield operator


def _manage(space: WorkloadNamespace, name: str) -> None:
    space.cluster.create(
        f"{MANAGED}/namespaces/{space.namespace}/managedsecrets",
        {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "ManagedSecret",
            "metadata": {"name": name},
            "spec": {"data": [{"name": "password", "generate": {"password": {}}}]},
        },
    )


def _are_ready(space: WorkloadNamespace, objects: int = _OBJECTS) -> bool:
    found = space.cluster.items(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets")
    conditions = [one for body in found for one in body.get("status", {}).get("conditions", ())]
    return sum((one["type"], one["status"]) == ("Ready", "True") for one in conditions) == objects


def _reads(cluster: Cluster, verb: str) -> int:
    """Return how many requests for Secrets of a verb the operator has sent."""
    calls = cluster.audit(f"{USER}:{_ACCOUNT}")
    return sum(call.verb == verb and call.resource == "secrets" for call in calls)


def _lose_lease(space: WorkloadNamespace) -> None:
    """Delete the Lease, so that the next leader does not know that its version has reconciled all."""
    space.cluster.delete(paths.lease(space.namespace, LEASE))


def _restart(space: WorkloadNamespace, operator: Operator) -> tuple[int, int]:
    """Restart the operator until it has reconciled all; return its reads of Secrets by name, and its writes."""
    cluster = space.cluster
    reads, writes = _reads(cluster, "get"), len(cluster.writes(_ACCOUNT))
    with operator.away():
        _lose_lease(space)
    eventually(lambda: operator.has_looked(_OBJECTS), "a reconcile of every object", 120)
    return _reads(cluster, "get") - reads, len(cluster.writes(_ACCOUNT)) - writes


def _is_vouched(space: WorkloadNamespace) -> bool:
    return is_vouched(space.cluster.get(paths.lease(space.namespace, LEASE)))


def _is_second_page(asked: Asked) -> bool:
    """Whether a request is for a later page of Secrets with their values."""
    is_page = asked.path.endswith("/secrets") and "continue=" in asked.query
    return is_page and "PartialObjectMetadata" not in asked.request.headers["Accept"]


def test_a_restart_reads_no_secret_and_writes_nothing(
    cluster: Cluster, space: WorkloadNamespace, operator: Operator
) -> None:
    eventually(lambda: _is_vouched(space), "a Lease that says that all are reconciled")
    gets, lists, writes = _reads(cluster, "get"), _reads(cluster, "list"), len(cluster.writes(_ACCOUNT))

    with operator.away():
        pass
    eventually(lambda: operator.has_looked(_OBJECTS), "a decision about every object", 120)

    assert operator.unchanged() == _OBJECTS
    assert _reads(cluster, "get") == gets
    assert _reads(cluster, "list") == lists + _PAGES
    assert len(cluster.writes(_ACCOUNT)) == writes


def test_a_restart_repairs_the_secret_that_was_edited_meanwhile(
    cluster: Cluster, space: WorkloadNamespace, operator: Operator
) -> None:
    _manage(space, "edited")
    eventually(lambda: _are_ready(space, _OBJECTS + 1), "one more object Ready", 60)
    eventually(lambda: _is_vouched(space), "a Lease that says that all are reconciled")
    path = paths.secret(space.namespace, "edited")
    data = cluster.get(path)["data"]
    try:
        with operator.away():
            cluster.edit(path, lambda body: body["data"].update(password="Zm9yZWlnbg=="))  # noqa: S106
        eventually(lambda: cluster.get(path)["data"] == data, "a repair of the Secret")
        assert operator.unchanged() == _OBJECTS
    finally:
        cluster.delete(paths.managed_secret(space.namespace, "edited"))


def test_a_start_without_the_lease_reads_no_secret_by_name_and_writes_nothing(
    space: WorkloadNamespace, operator: Operator
) -> None:
    assert _restart(space, operator) == (0, 0)


def test_a_list_that_expires_is_repeated(
    space: WorkloadNamespace, proxy: FaultProxy, operator: Operator
) -> None:
    expired = proxy.rule(_is_second_page, refuse(410, "Expired"))
    assert _restart(space, operator) == (0, 0)
    assert expired.hits == 1


@pytest.mark.parametrize("act", [drop, refuse(403, "Forbidden")], ids=["away", "forbidden"])
def test_what_a_failed_list_has_not_returned_is_read_by_name(
    act: Act, space: WorkloadNamespace, proxy: FaultProxy, operator: Operator
) -> None:
    fault = proxy.rule(_is_second_page, act, times=1_000)

    reads, writes = _restart(space, operator)
    fault.times = 0

    assert writes == 0
    assert 0 < reads < 2 * _OBJECTS
    assert [line["event"] for line in operator.lines("secrets read")] == ["secrets read one by one"]
    assert operator.returncode is None
