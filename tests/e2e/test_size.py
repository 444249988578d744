"""The shipped limit of memory holds 10,000 objects, and the shipped request of processor what they need at rest.

`make test` creates a tenth of them, at rest too, and computes the memory of all; `make soak` creates all.
"""

import asyncio
import time
from collections.abc import Callable

import pytest

from benchmarks.cluster import Bare, for_each
from keyturn.kube import config, paths
from keyturn.kube.session import open_session
from sandbox.harness import eventually
from tests.e2e.applications import managed_secret
from tests.e2e.machine import NAMESPACE, Machine, names, restarts
from tests.support import soak

_NAMESPACE = "crowd"
_CLAIMED = 10_000
_OBJECTS = _CLAIMED if soak.TIMES > 1 else _CLAIMED // 10
_LIMIT = 512 * 1024 * 1024
_REQUESTED_CORES = 0.05
_SPAN = 5.0
pytestmark = pytest.mark.timeout(900)  # beyond what its waits add up to


@pytest.fixture
def crowded(operators: Machine) -> Machine:
    """The cluster of the folder, whose last test this is, with operators that have used no memory yet."""
    operators.kubectl("rollout", "restart", "deployment/keyturn", "-n", NAMESPACE)
    operators.kubectl("rollout", "status", "deployment/keyturn", "-n", NAMESPACE, "--timeout=90s")
    operators.wait_until_ready()
    return operators


def test_the_shipped_limits_hold_ten_thousand_objects(
    crowded: Machine, record_property: Callable[[str, object], None]
) -> None:
    crowded.kubectl("create", "namespace", _NAMESPACE)
    pods, leader = crowded.pods(), crowded.leader()
    (container,) = pods[0]["spec"]["containers"]
    assert (container["resources"]["limits"]["memory"], container["resources"]["requests"]["cpu"]) == (
        "512Mi",
        "50m",
    )

    empty = {name: crowded.most_memory(name) for name in names(pods)}

    asyncio.run(_create(crowded, _NAMESPACE))
    eventually(
        lambda: crowded.secrets(_NAMESPACE) >= 2 * _OBJECTS,
        f"two Secrets of each of {_OBJECTS} objects",
        timeout=600,
        instead=lambda: crowded.secrets(_NAMESPACE),
    )
    eventually(lambda: crowded.queue_depth(leader) == 0, "an empty queue", timeout=120)
    eventually(
        lambda: _cores(crowded, leader) < _REQUESTED_CORES, "rest within the requested processor", timeout=180
    )

    assert (crowded.leader(), restarts(crowded.pods())) == (leader, restarts(pods)), crowded.ended()
    full = {name: crowded.most_memory(name) for name in empty}
    claimed = {name: empty[name] + (full[name] - empty[name]) * _CLAIMED // _OBJECTS for name in empty}
    record_property(f"MiB of the leader at most, with {_OBJECTS} objects", full[leader] >> 20)
    record_property(f"MiB of the leader at most, for {_CLAIMED} objects", claimed[leader] >> 20)
    assert max(claimed.values()) < _LIMIT


async def _create(machine: Machine, namespace: str) -> None:
    connection = await config.load(str(machine.kubeconfig))
    async with open_session(connection) as session:
        bare = Bare(session, connection.server)
        at = paths.managed_secrets(namespace)
        await for_each(
            (f"secret-{number:05}" for number in range(_OBJECTS)),
            lambda name: bare.create(at, managed_secret(name)),
        )


def _cores(machine: Machine, pod: str) -> float:
    before = machine.cpu_seconds(pod)
    time.sleep(_SPAN)  # a rate has two readings
    return (machine.cpu_seconds(pod) - before) / _SPAN
