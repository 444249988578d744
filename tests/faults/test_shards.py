"""Three replicas share three shards, and each shard's holder is killed or frozen while everything rotates."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from keyturn.core.shards import shard_lease, shard_of
from keyturn.kube.leader_election import TERMS
from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, state_of
from tests.faults.namespace import BYSTANDER, CONSUMERS, managed_secret, revisions, workload_namespaces
from tests.support.operator import Operator
from tests.support.soak import TIMES, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.namespace import WorkloadNamespace

pytestmark = pytest.mark.timeout(600)

_SHARDS = 3
_NAMESPACES = 12
_NAMES = ("auth", *(f"key-{number}" for number in range(5 if TIMES > 1 else 1)))
"""The first has the two consumers; 24 objects in all, 72 in `make soak`."""
_TURNS = draw(range(_SHARDS), 1)
"""The shards whose holders are killed and frozen; all of them in `make soak`."""
_TAKEOVER, _TURN = 90.0, 120.0
_IN_FLIGHT = timedelta(seconds=TERMS.renew_deadline)
"""Within which the API server has read what a process had sent before it was frozen; no other may lead before."""


class Trio:
    """Three replicas, each under a name of its own, and their Leases."""

    def __init__(self, cluster: Cluster, home: str, replicas: dict[str, Operator]) -> None:
        self.cluster, self.replicas = cluster, replicas
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases"

    def holders(self) -> list[str]:
        """Return the name of the replica that holds each shard; empty for a free one, or an ended process."""
        return [self._name(self._identity(shard)) for shard in range(_SHARDS)]

    def identities(self) -> list[tuple[str, int]]:
        """Return the identity that holds each shard, and how often the shard has changed hands."""
        specs = [self.cluster.get(f"{self._leases}/{shard_lease(shard)}")["spec"] for shard in range(_SHARDS)]
        return [(str(spec.get("holderIdentity")), int(spec.get("leaseTransitions", 0))) for spec in specs]

    def _identity(self, shard: int) -> str:
        lease = self.cluster.get(f"{self._leases}/{shard_lease(shard)}") or {"spec": {}}
        return str(lease["spec"].get("holderIdentity") or "")

    def _name(self, identity: str) -> str:
        gained = (
            (name, line.get("identity"))
            for name, replica in self.replicas.items()
            for line in replica.lines("leadership gained")
        )
        return next((name for name, known in gained if identity and known == identity), "")

    def wait_until_shared(self) -> None:
        """Wait until each replica has one shard, and reconciles it."""
        eventually(lambda: set(self.holders()) == set(self.replicas), "a shard for each replica", _TURN)
        eventually(lambda: all(map(_has_one, self.replicas.values())), "one open shard in each", _TAKEOVER)

    def wait_for_successor(self, shard: int, of: str) -> None:
        identity = self._identity(shard)
        assert self._name(identity) == of
        eventually(lambda: self._identity(shard) not in {"", identity}, f"a successor of {of}", _TAKEOVER)


def _has_one(replica: Operator) -> bool:
    return "\nkeyturn_shards_held 1.0\n" in replica.get("/metrics")[1]


class Stage:
    """Namespaces of all shards, and what must have happened in them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.spaces = workload_namespaces(cluster, _NAMESPACES, _SHARDS)
        self.rotations = 0
        for space in self.spaces:
            for name in _NAMES:
                body = {**managed_secret(), "metadata": {"name": name}}
                cluster.create(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets", body)

    @property
    def objects(self) -> list[tuple[WorkloadNamespace, str]]:
        return [(space, name) for space in self.spaces for name in _NAMES]

    def rotate(self, objects: list[tuple[WorkloadNamespace, str]], text: str) -> None:
        for space, name in objects:
            self.cluster.edit(_path(space, name), lambda body: body["spec"]["rotation"].update(trigger=text))

    def wait(self) -> None:
        """Wait until all objects are at rest with their last revision."""
        for space, name in self.objects:
            eventually(lambda: self._is_done(space, name), f"{name} in {space.namespace}", _TURN)  # noqa: B023

    def _is_done(self, space: WorkloadNamespace, name: str) -> bool:
        status = self.cluster.get(_path(space, name)).get("status") or {}
        ready = {one["type"]: one["status"] for one in status.get("conditions") or ()}.get("Ready")
        return (status.get("revision"), status.get("rotation"), ready) == (self.rotations + 1, None, "True")

    def assert_once(self) -> None:
        """Each rotation has one revision, one write of the Secret and one restart of each consumer."""
        last = self.rotations + 1
        for space, name in self.objects:
            status = self.cluster.get(_path(space, name))["status"]
            assert [one["revision"] for one in status["history"]].count(last) == 1
            state = state_of(self.cluster.get(f"{space.secret(name)}-keyturn"))
            assert [number for number, _ in revisions(state)].count(last) == 1
        for space in self.spaces:
            found = {
                name: self.cluster.get(space.deployment(name))["metadata"]["generation"]
                for name in (*CONSUMERS, BYSTANDER)
            }
            assert found == {**dict.fromkeys(CONSUMERS, last), BYSTANDER: 1}
        written = {(space.namespace, name): self._replacements(space, name) for space, name in self.objects}
        assert written == dict.fromkeys(written, self.rotations)

    def _replacements(self, space: WorkloadNamespace, name: str) -> int:
        """Return how many times a Secret was replaced since it was created."""
        return self.cluster.plane.times_written("secrets", space.namespace, name) - 1


def _path(space: WorkloadNamespace, name: str) -> str:
    return f"{MANAGED}/namespaces/{space.namespace}/managedsecrets/{name}"


@pytest.fixture
def stage(cluster: Cluster) -> Stage:
    return Stage(cluster)


@pytest.fixture
def trio(cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path, stage: Stage) -> Iterator[Trio]:
    home = f"shards-{secrets.token_hex(4)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": home}})
    serving = [f"--namespace={space.namespace}" for space in stage.spaces]
    replicas: dict[str, Operator] = {}
    with ExitStack() as stack:
        for number in range(_SHARDS):
            name = f"shard-{number}-{home[-8:]}"
            replicas[name] = Operator(
                accounts(name),
                tmp_path / f"{name}.log",
                *(f"--shards={_SHARDS}", *serving),
                env={"POD_NAMESPACE": home},
            )
            stack.enter_context(replicas[name])
        yield Trio(cluster, home, replicas)


def _take_turns(stage: Stage, trio: Trio, act: Callable[[str, int, Callable[[], None]], None]) -> None:
    """Rotate everything once for each shard, whose holder meets with `act` in the midst."""
    for shard in _TURNS:
        _take_turn(shard, stage, trio, act)
    trio.wait_until_shared()
    stage.assert_once()
    for replica in trio.replicas.values():
        assert [line for line in replica.lines("reconcile failed") if line["level"] == "error"] == []


def _take_turn(
    shard: int, stage: Stage, trio: Trio, act: Callable[[str, int, Callable[[], None]], None]
) -> None:
    trio.wait_until_shared()
    stage.wait()
    holder, half = trio.holders()[shard], len(stage.objects) // 2

    def rest() -> None:
        stage.rotate(stage.objects[half:], f"turn-{shard}")
        trio.wait_for_successor(shard, holder)
        stage.wait()
        stage.assert_once()

    stage.rotations += 1
    stage.rotate(stage.objects[:half], f"turn-{shard}")
    act(holder, shard, rest)


def test_nothing_is_done_twice_when_the_holder_of_each_shard_is_killed(stage: Stage, trio: Trio) -> None:
    def kill(holder: str, _: int, rest: Callable[[], None]) -> None:
        trio.replicas[holder].kill()
        rest()
        trio.replicas[holder].start()

    _take_turns(stage, trio, kill)


def test_nothing_is_done_twice_when_the_holder_of_each_shard_is_frozen_and_takes_part_again(
    cluster: Cluster, stage: Stage, trio: Trio
) -> None:
    def freeze(holder: str, shard: int, rest: Callable[[], None]) -> None:
        replica, closed = trio.replicas[holder], _closed(trio.replicas[holder], shard)
        os.kill(replica.pid, signal.SIGSTOP)
        paused = datetime.now(UTC)
        try:
            rest()
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        eventually(lambda: len(_closed(replica, shard)) > len(closed), "the end of its work", _TAKEOVER)
        ended = _closed(replica, shard)[-1]
        late = [
            call
            for call in cluster.writes(holder)
            if paused + _IN_FLIGHT < datetime.fromisoformat(call.received) < ended
            and shard_of(call.namespace, _SHARDS) == shard
        ]
        # As with one leader: a pause between the last look at the fence and the socket lets one request out.
        assert [call for call in late if call.status != HTTPStatus.CONFLICT] == []
        assert len(late) <= 1

    _take_turns(stage, trio, freeze)
    assert all(replica.returncode is None for replica in trio.replicas.values()), "no process restarts"


def _closed(replica: Operator, shard: int) -> list[datetime]:
    """Return when the process ended its work in a shard."""
    lines = replica.lines("shard closed")
    return [datetime.fromisoformat(line["timestamp"]) for line in lines if line["shard"] == shard]


def test_every_object_has_one_writer(cluster: Cluster, stage: Stage, trio: Trio) -> None:
    # A replica that is held up on a busy machine loses its shard to another: then all rotate once more.
    assert any(_has_one_writer_each(cluster, stage, trio) for _ in range(3))


def _has_one_writer_each(cluster: Cluster, stage: Stage, trio: Trio) -> bool:
    """Rotate everything; say whether each shard had the same holder meanwhile."""
    trio.wait_until_shared()
    stage.wait()
    identities, owners, begun = trio.identities(), trio.holders(), datetime.now(UTC)
    stage.rotations += 1
    stage.rotate(stage.objects, f"all-{stage.rotations}")
    stage.wait()
    stage.assert_once()
    if trio.identities() != identities:
        return False
    for name in trio.replicas:
        written = {
            shard_of(call.namespace, _SHARDS)
            for call in cluster.writes(name)
            if datetime.fromisoformat(call.received) > begun
        }
        assert written == {owners.index(name)}
    return True
