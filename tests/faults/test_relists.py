"""An object that is deleted while its kind is listed again stays deleted, whatever a page of the list has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Cluster
from tests.faults.namespace import workload_namespaces
from tests.faults.proxy import Act, Asked, FaultProxy, Forward, Rule, end_watch
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator

_SMALL = "keyturn.kube.client._FIRST=2 keyturn.controllers.cache_sync._RELIST_PAUSE=1"
"""Two objects on the first page instead of 50, and a second after a lost watch."""
_NAMES = ("first", "other", "stays", "taken")
_KIND = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret"}
_SPEC = {"data": [{"name": "token", "generate": {"bytes": {}}}]}


def _hold(released: threading.Event) -> Act:
    """Let the API server answer, and pass the answer on when the test says so."""

    async def act(_: Asked, forward: Forward) -> web.StreamResponse:
        answer = await forward()
        while not released.is_set():  # noqa: ASYNC110  # the test says when
            await asyncio.sleep(0.05)
        return answer

    return act


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, tmp_path) as proxy:
        yield proxy


def _is_first_page(asked: Asked) -> bool:
    """Whether a request begins a list of ManagedSecrets; those of kopf have a limit of 1."""
    return asked.path.endswith("/managedsecrets") and asked.query == "limit=2"


def _is_later_page(asked: Asked) -> bool:
    return asked.path.endswith("/managedsecrets") and "continue=" in asked.query


def _lose_watch(proxy: FaultProxy) -> Rule:
    """Have the API server know the version of the watch no more."""
    rule = proxy.rule(
        lambda asked: asked.is_watch and asked.path.endswith("/managedsecrets"), end_watch(410, "Expired")
    )
    proxy.cut_all()
    return rule


def test_a_page_does_not_bring_back_an_object_that_was_deleted_since_the_list_began(
    cluster: Cluster, proxy: FaultProxy, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    kubeconfig = proxy.kubeconfig(accounts("relists"))
    # One that loses its Lease on a busy machine begins with a list: then another does all of it.
    logs = [tmp_path / f"operator-{number}.log" for number in range(3)]
    assert any(_stays_deleted(cluster, proxy, kubeconfig, log) for log in logs)


def _stays_deleted(cluster: Cluster, proxy: FaultProxy, kubeconfig: Path, log: Path) -> bool:
    """Delete an object while a page of its list is on its way; say whether one process has done all of it."""
    (space,) = workload_namespaces(cluster, 1)
    path = f"{MANAGED}/namespaces/{space.namespace}/managedsecrets"
    for name in _NAMES:
        cluster.create(path, {**_KIND, "metadata": {"name": name}, "spec": _SPEC})
    env, only = {"POD_NAMESPACE": space.namespace, CONSTANTS: _SMALL}, f"--namespace={space.namespace}"
    page, next_list = threading.Event(), threading.Event()
    with KeptOperator(kubeconfig, log, only, env=env) as operator:

        def reach(holds: Callable[[], bool], what: str) -> None:
            eventually(lambda: operator.losses > 0 or holds(), what, 60)

        reach(lambda: _known(operator) == set(_NAMES), "all objects are known")

        held = proxy.rule(_is_later_page, _hold(page))
        lost = _lose_watch(proxy)
        reach(lambda: held.hits == lost.hits == 1, "a page that the operator waits for")
        cluster.delete(f"{path}/taken")
        reach(lambda: "taken" not in _known(operator), "the deletion is observed")

        after = proxy.rule(_is_first_page, _hold(next_list))
        lost = _lose_watch(proxy)
        page.set()
        reach(lambda: after.hits == lost.hits == 1, "the list after the one with the page")
        known = _known(operator)
        next_list.set()
        held.times = after.times = lost.times = 0
        assert operator.returncode is None
        assert operator.losses > 0 or known == set(_NAMES) - {"taken"}
        return operator.losses == 0


def _known(operator: KeptOperator) -> set[str]:
    """Return which of the objects the operator knows."""
    _, text = operator.get("/metrics")
    return {name for name in _NAMES if f'name="{name}"' in text}
