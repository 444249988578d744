"""A watch that hangs, of kopf or of our own, is what a liveness probe is answered with, until it goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import Cluster
from tests.faults.namespace import workload_namespaces
from tests.faults.proxy import FaultProxy
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator

_HASTY = (
    "keyturn.controllers.kopf_source._SERVER_TIMEOUT=1"
    " keyturn.kube.secret_informer._WATCH_SECONDS=1"
    " keyturn.controllers.cache_sync._STUCK_AFTER=6"
)
"""One second instead of 60, and 6 instead of 180."""


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, tmp_path) as proxy:
        yield proxy


_KINDS = frozenset(
    ["managedsecrets", "secretclasses", "deployments", "secrets", "databasetargets", "clustersecretstores"]
)


def test_hung_watches_fail_the_liveness_probe_until_they_respond(
    cluster: Cluster, proxy: FaultProxy, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    (space,) = workload_namespaces(cluster, 1)
    kubeconfig, log = proxy.kubeconfig(accounts("hung")), tmp_path / "operator.log"
    env = {"POD_NAMESPACE": space.namespace, CONSTANTS: _HASTY}
    proxy.is_hung = lambda asked: asked.is_watch and asked.path.endswith("/secretstores")
    with KeptOperator(kubeconfig, log, "--all-namespaces", env=env) as operator:
        eventually(lambda: stuck(operator) == {"secretstores"}, "a watch that never began is named", 60)
        proxy.is_hung = lambda _: False
        eventually(lambda: is_well(operator), "a process that is well", 60)

        proxy.is_hung = lambda asked: asked.is_watch and asked.path.rpartition("/")[2] in _KINDS
        eventually(lambda: stuck(operator) == _KINDS, "each hung watch is named", 60)
        proxy.is_hung = lambda _: False

        eventually(lambda: is_well(operator), "it is well again", 60)
        assert operator.returncode is None


def is_well(operator: KeptOperator) -> bool:
    return operator.get("/livez", health=True)[0] == 200


def stuck(operator: KeptOperator) -> set[str]:
    """Name the kinds whose watches hang, where the process is not well for it."""
    status, text = operator.get("/livez", health=True)
    lines = text.splitlines() if status == 503 else []
    return {line.removeprefix("watch stuck: ").rpartition("/")[2] for line in lines}
