"""A restart reads all Secrets in pages, by name what a failed list has not returned, and writes nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyturn.kube import paths
from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, USER, Cluster
from tests.faults.namespace import WorkloadNamespace, workload_namespaces
from tests.faults.proxy import Act, Asked, FaultProxy, drop, refuse
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator

_ACCOUNT = "startreads"
_OBJECTS = 4
_SMALL = "keyturn.kube.client._FIRST=5"
"""Their Secrets, two of each, are on two pages, of which the first would have 50."""


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
) -> Iterator[KeptOperator]:
    """An operator that has written the Secrets of all objects."""
    for number in range(_OBJECTS):
        _manage(space, f"auth-{number:02}")
    with KeptOperator(
        proxy.kubeconfig(accounts(_ACCOUNT)),
        tmp_path_factory.mktemp("operator") / "operator.log",
        f"--namespace={space.namespace}",
        env={"POD_NAMESPACE": space.namespace, CONSTANTS: _SMALL},
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


@dataclass(frozen=True, slots=True)
class Requests:
    """What a start has sent until it has decided about every object."""

    gets: int
    lists: int
    writes: int


def _restart(space: WorkloadNamespace, operator: KeptOperator) -> Requests:
    """Restart the operator until it has decided about every object.

    One that loses its Lease meanwhile starts twice, and is restarted again.
    """
    while True:
        losses, before = operator.losses, _sent(space.cluster)
        with operator.away():
            pass
        eventually(lambda: operator.has_looked(_OBJECTS), "a decision about every object", 120)
        after = _sent(space.cluster)
        if operator.losses == losses:
            return Requests(*(now - then for now, then in zip(after, before, strict=True)))


def _sent(cluster: Cluster) -> tuple[int, int, int]:
    return _reads(cluster, "get"), _reads(cluster, "list"), len(cluster.writes(_ACCOUNT))


def _is_second_page(asked: Asked) -> bool:
    """Whether a request is for a later page of Secrets with their values."""
    is_page = asked.path.endswith("/secrets") and "continue=" in asked.query
    return is_page and "PartialObjectMetadata" not in asked.request.headers["Accept"]


def test_a_restart_repairs_the_secret_that_was_edited_meanwhile(
    cluster: Cluster, space: WorkloadNamespace, operator: KeptOperator
) -> None:
    _manage(space, "edited")
    eventually(lambda: _are_ready(space, _OBJECTS + 1), "one more object Ready", 60)
    path = paths.secret(space.namespace, "edited")
    data = cluster.get(path)["data"]
    try:
        with operator.away():
            cluster.edit(path, lambda body: body["data"].update(password="Zm9yZWlnbg=="))  # noqa: S106
        eventually(lambda: cluster.get(path)["data"] == data, "a repair of the Secret")
    finally:
        cluster.delete(paths.managed_secret(space.namespace, "edited"))


def test_a_restart_reads_no_secret_by_name_and_writes_nothing(
    space: WorkloadNamespace, operator: KeptOperator
) -> None:
    requests = _restart(space, operator)
    assert (requests.gets, requests.writes) == (0, 0)


def test_a_list_that_expires_is_repeated(
    space: WorkloadNamespace, proxy: FaultProxy, operator: KeptOperator
) -> None:
    expired = proxy.rule(_is_second_page, refuse(410, "Expired"))
    requests = _restart(space, operator)
    assert (requests.gets, requests.writes) == (0, 0)
    assert expired.hits == 1


@pytest.mark.parametrize("act", [drop, refuse(403, "Forbidden")], ids=["away", "forbidden"])
def test_what_a_failed_list_has_not_returned_is_read_by_name(
    act: Act, space: WorkloadNamespace, proxy: FaultProxy, operator: KeptOperator
) -> None:
    fault = proxy.rule(_is_second_page, act, times=1_000)

    requests = _restart(space, operator)
    told = [line["event"] for line in operator.lines("secrets read")]
    fault.times = 0

    assert requests.writes == 0
    assert 0 < requests.gets < 2 * _OBJECTS
    assert told == ["secrets read one by one"]
    assert operator.returncode is None
