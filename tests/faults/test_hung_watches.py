"""A watch that hangs, of kopf or of our own, is what a liveness probe is answered with, until it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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


@pytest.fixture
def starts(
    cluster: Cluster, proxy: FaultProxy, accounts: Callable[[str], Path], tmp_path: Path
) -> Iterator[Callable[[str], KeptOperator]]:
    """Call it with what is watched; an empty text is one namespace."""
    (space,) = workload_namespaces(cluster, 1)
    kubeconfig, log = proxy.kubeconfig(accounts("hung")), tmp_path / "operator.log"
    env = {"POD_NAMESPACE": space.namespace, CONSTANTS: _HASTY}
    with ExitStack() as stack:

        def start(options: str) -> KeptOperator:
            of = options or f"--namespace={space.namespace}"
            operator = stack.enter_context(KeptOperator(kubeconfig, log, of, env=env))
            operator.wait_for_log("leading")
            return operator

        yield start


@pytest.mark.parametrize(
    ("plurals", "options"),
    [
        ("managedsecrets", ""),
        ("secretclasses deployments secrets databasetargets", ""),
        ("clustersecretstores", "--all-namespaces"),
    ],
)
def test_hung_watches_fail_the_liveness_probe_until_they_respond(
    plurals: str, options: str, proxy: FaultProxy, starts: Callable[[str], KeptOperator]
) -> None:
    operator, hung = starts(options), set(plurals.split())
    eventually(lambda: is_well(operator), "a process that is well", 60)

    proxy.is_hung = lambda asked: asked.is_watch and asked.path.rpartition("/")[2] in hung
    eventually(lambda: stuck(operator) == hung, "each hung watch is named", 60)
    proxy.is_hung = lambda _: False

    eventually(lambda: is_well(operator), "it is well again", 60)
    assert operator.returncode is None


def test_a_watch_that_never_begins_fails_the_liveness_probe(
    proxy: FaultProxy, starts: Callable[[str], KeptOperator]
) -> None:
    proxy.is_hung = lambda asked: asked.is_watch and asked.path.endswith("/secretstores")
    operator = starts("")

    eventually(lambda: stuck(operator) == {"secretstores"}, "the missing watch is named", 60)


def is_well(operator: KeptOperator) -> bool:
    return operator.get("/livez", health=True)[0] == 200


def stuck(operator: KeptOperator) -> set[str]:
    """Name the kinds whose watches hang, where the process is not well for it."""
    status, text = operator.get("/livez", health=True)
    lines = text.splitlines() if status == 503 else []
    return {line.removeprefix("watch stuck: ").rpartition("/")[2] for line in lines}
