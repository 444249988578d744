"""That the shipped limit of memory holds what tenants can put into a cluster, and a start with all of it there."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from benchmarks.cluster import Bare, for_each
from keyturn.kube import config, paths
from keyturn.kube.session import open_session
from sandbox.harness import Kubectl, eventually
from sandbox.node.settings import ADDRESS
from tests.conftest import ROOT
from tests.e2e.applications import managed_secret
from tests.e2e.machine import NAMESPACE, Machine, is_ready, killed, names, restarts

_MOST = 400 * 1024 * 1024
"""Bytes, of the 512 MiB of manifests/base."""
_LARGE = 1000
_LABELLED = 20
_STATEFUL_SETS = 500
_NAMESPACES, _DRIPPED = 14, 42
"""Namespaces, and in each ManagedSecrets of a store that answers a byte a second."""
_PORT = 8666
pytestmark = pytest.mark.timeout(900)  # beyond what its waits add up to


@pytest.fixture
def reaching(operators: Machine) -> Iterator[Machine]:
    """The operator as it is shipped, but that its stores may reach the server that drips."""
    _add_argument(operators.kubectl, f"--allow-host={ADDRESS}:{_PORT}")
    operators.kubectl("rollout", "status", "deployment/keyturn", "-n", NAMESPACE, "--timeout=90s")
    operators.wait_until_ready()
    yield operators
    operators.kubectl("rollout", "undo", "deployment/keyturn", "-n", NAMESPACE)
    operators.kubectl("rollout", "status", "deployment/keyturn", "-n", NAMESPACE, "--timeout=90s")


@pytest.fixture
def tenants(reaching: Machine, namespace: str) -> Iterator[list[str]]:
    """Namespaces of who means no good, beside that of a neighbour."""
    del namespace  # made before, as no controller works now
    names = [f"weighty-{number}" for number in range(_NAMESPACES)]
    reaching.kubectl("create", "-f", "-", given=_listed([_namespace(name) for name in names]))
    with _dripping(reaching), _no_controllers(reaching):
        yield names
        for name in names:
            reaching.kubectl("delete", "statefulsets", "--all", "-n", name, "--wait=false")
    reaching.kubectl("delete", "namespace", *names, "--wait=false")


def test_what_tenants_can_write_fits_into_the_shipped_memory(
    reaching: Machine, tenants: list[str], namespace: str, record_property: Callable[[str, object], None]
) -> None:
    machine, kubectl, seconds = reaching, reaching.kubectl, list[float]()

    # While it comes.
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(asyncio.run, _fill(machine, tenants))
        while not filling.done():
            seconds.append(_write_one(kubectl, namespace, f"neighbour-{len(seconds)}"))
        filling.result()
    eventually(lambda: _all_looked_at(machine), "a look at each", timeout=300)
    _hold_to_limit(machine, "MiB at most while it was written", record_property)

    # A start with all of it there.
    for name in names(machine.pods()):
        machine.end(name)
    seconds.append(_write_one(kubectl, namespace, "neighbour-of-the-start"))
    eventually(lambda: _all_looked_at(machine), "a look at each", timeout=300)
    _hold_to_limit(machine, "MiB at most after a start", record_property)
    record_property(f"seconds until one of {len(seconds)} neighbours has its Secret", round(max(seconds), 1))


def _all_looked_at(machine: Machine) -> bool:
    """Say whether the leader has looked at each object that is large, as its metrics tell."""
    if not _is_led(machine):
        return False
    told = [line for line in machine.metrics(machine.leader()) if line.startswith("keyturn_condition{")]
    return len({line.partition('",type=')[0] for line in told if 'name="large' in line}) >= _LARGE + _LABELLED


def _is_led(machine: Machine) -> bool:
    pods = machine.pods()
    return all(map(is_ready, pods)) and machine.leader() in names(pods)


def _hold_to_limit(machine: Machine, what: str, record_property: Callable[[str, object], None]) -> None:
    """Assert that no container was killed, and that none took more memory than it should."""
    pods = machine.pods()
    peaks = {name: machine.peak(name) for name in names(pods)}
    record_property(what, sorted(peak >> 20 for peak in peaks.values()))
    record_property(f"restarts: {what}", restarts(pods))
    assert killed(pods) == []
    assert max(peaks.values()) <= _MOST


def _write_one(kubectl: Kubectl, namespace: str, name: str) -> float:
    began = time.monotonic()
    kubectl("apply", "-n", namespace, "-f", "-", given=managed_secret(name))
    kubectl("wait", f"ms/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    return time.monotonic() - began


async def _fill(machine: Machine, tenants: list[str]) -> None:
    connection = await config.load(str(machine.kubeconfig))
    async with open_session(connection) as session:
        bare = Bare(session, connection.server)
        await for_each(_objects(tenants), lambda one: bare.create(one[0], one[1]()), at_once=4)


def _objects(tenants: list[str]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Give where each object goes and what makes it, those that need the most of the operator first."""
    for name in tenants:
        yield f"/apis/keyturn.dev/v1alpha1/namespaces/{name}/secretstores", _store
        for number in range(_DRIPPED):
            yield paths.managed_secrets(name), partial(_pulled, number)
    in_turn = itertools.cycle(tenants)
    for number in range(_STATEFUL_SETS):
        yield f"/apis/apps/v1/namespaces/{next(in_turn)}/statefulsets", partial(_stateful_set, number)
    for number in range(_LABELLED):
        yield paths.managed_secrets(next(in_turn)), partial(_labelled, number)
    for number in range(_LARGE):
        yield paths.managed_secrets(next(in_turn)), partial(_large, number)


def _large(number: int) -> dict[str, Any]:
    """Make a ManagedSecret with all the literals that its spec may have.

    Of most nothing is written, or etcd would have to hold gigabytes; they are read as all others are.
    """
    made = managed_secret(f"large-{number:04}")
    made["spec"]["suspend"] = number % 10 > 0
    made["spec"]["data"] += [{"name": f"text-{one}", "literal": "x" * 16384} for one in range(4)]
    return made


def _labelled(number: int) -> dict[str, Any]:
    """Make a ManagedSecret of a megabyte and more, with what its manager is noted by: no schema bounds labels."""
    made = managed_secret(f"large-by-labels-{number}")
    made["metadata"]["labels"] = {f"label-{one:05}-{'x' * 40}": "x" * 60 for one in range(6500)}
    return made


def _stateful_set(number: int) -> dict[str, Any]:
    """Make a StatefulSet with a megabyte of environment, which wants no pods."""
    labels = {"app": f"heavy-{number}"}
    env = [{"name": f"TEXT_{one}", "value": "x" * 65_536} for one in range(15)]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": f"heavy-{number}"},
        "spec": {
            "replicas": 0,
            "serviceName": "heavy",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app.invalid/app", "env": env}]},
            },
        },
    }


def _store() -> dict[str, Any]:
    provider = {"webhook": {"url": f"http://{ADDRESS}:{_PORT}/{{{{ key }}}}"}}
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "SecretStore",
        "metadata": {"name": "drip"},
        "spec": {"provider": provider},
    }


def _pulled(number: int) -> dict[str, Any]:
    made = managed_secret(f"pulled-{number}")
    reference = {"storeRef": {"name": "drip"}, "remoteRef": {"key": f"key-{number}"}}
    made["spec"] = {"data": [{"name": "token", "from": reference}]}
    return made


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _listed(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _add_argument(kubectl: Kubectl, argument: str) -> None:
    change = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": argument}]
    kubectl("patch", "deployment", "keyturn", "-n", NAMESPACE, "--type=json", "-p", json.dumps(change))


@contextmanager
def _no_controllers(machine: Machine) -> Iterator[None]:
    """Have no revision made of each StatefulSet, which takes as much memory of the cluster again, and not of ours."""
    assert machine.plane
    process = machine.plane.programs()["kube-controller-manager"].pid
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@contextmanager
def _dripping(machine: Machine) -> Iterator[None]:
    """Run the server that drips at the node's address."""
    script = ROOT / "tests" / "e2e" / "dripping.py"
    command = machine.node.command(sys.executable, script, ADDRESS, str(_PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "listening\n"
            yield
        finally:
            process.kill()
