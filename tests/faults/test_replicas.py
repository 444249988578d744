from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import Call, Cluster
from tests.faults.namespace import (
    BYSTANDER,
    CONSUMERS,
    KEPT,
    ROTATED,
    Snapshot,
    WorkloadNamespace,
    workload_namespaces,
)
from tests.support.operator import LEADERSHIP_LOST, Operator

_TAKEOVER = 90.0
_BUSY = 8
"""Objects that rotate at once, so that a leader is hit in the midst of its work."""


class Pair:
    """Two replicas under names of their own, the first of which leads."""

    def __init__(self, leader: Operator, standby: Operator, names: tuple[str, str], home: str) -> None:
        self.leader, self.standby = leader, standby
        self.leader_name, self.standby_name = names
        self.lease = f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases/keyturn"


@pytest.fixture
def pair(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path, stage: list[WorkloadNamespace]
) -> Iterator[Pair]:
    home = f"replicas-{secrets.token_hex(4)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": home}})
    names = f"leader-{home[-8:]}", f"standby-{home[-8:]}"
    serving = [f"--namespace={space.namespace}" for space in stage]
    with ExitStack() as stack:
        replicas: list[Operator] = []
        for name in names:
            replica = Operator(
                accounts(name), tmp_path / f"{name}.log", *serving, env={"POD_NAMESPACE": home}
            )
            stack.enter_context(replica)
            replica.wait_for_log("watching")
            if not replicas:
                replica.wait_for_log("leading")
            replicas.append(replica)
        yield Pair(replicas[0], replicas[1], names, home)


@pytest.fixture
def stage(cluster: Cluster) -> list[WorkloadNamespace]:
    stage = workload_namespaces(cluster, _BUSY)
    for space in stage:
        space.create(rollout={"debounce": "1s"})
    return stage


@pytest.fixture
def before(stage: list[WorkloadNamespace], pair: Pair) -> list[Snapshot]:
    assert pair.leader.returncode is None
    for space in stage:
        space.wait_for(1)
    return [space.snapshot() for space in stage]


def _rotate(stage: list[WorkloadNamespace]) -> None:
    """Ask all for a rotation, and return when the first has published and none has restarted anybody."""
    for space in stage:
        space.trigger("leaver")
    eventually(
        lambda: bool((stage[0].cluster.get(stage[0].managed)["status"] or {}).get("rotation")), "a rotation"
    )


def _assert_rotated_once(stage: list[WorkloadNamespace], before: list[Snapshot]) -> None:
    for space in stage:
        space.wait_for(2)
    for space, old in zip(stage, before, strict=True):
        new = space.snapshot()
        assert (old.revision, new.revision) == (1, 2)
        assert new.values[KEPT] == old.values[KEPT]
        assert new.values[ROTATED] != old.values[ROTATED]
        assert new.recorded == {1: old.values, 2: new.values}
        assert new.generations == {**dict.fromkeys(CONSUMERS, 2), BYSTANDER: 1}
        assert new.history.count(2) == 1


def test_a_standby_ends_after_a_restore_of_etcd_and_the_next_start_does_what_is_asked(
    cluster: Cluster, stage: list[WorkloadNamespace], pair: Pair, before: list[Snapshot], tmp_path: Path
) -> None:
    pair.leader.kill()
    pair.standby.kill()
    cluster.plane.back_up(tmp_path / "etcd")
    for replica, event in ((pair.leader, "leading"), (pair.standby, "watching")):
        replica.start()
        replica.wait_for_log(event, _TAKEOVER)
    _rotate(stage)
    for space in stage:
        space.wait_for(2)
    lost = _write(cluster, stage[0].namespace)
    os.kill(pair.standby.pid, signal.SIGSTOP)
    try:
        pair.leader.kill()
        cluster.plane.restore(tmp_path / "etcd")
        while _write(cluster, stage[0].namespace) <= lost:  # then no list is older than one before
            pass
    finally:
        os.kill(pair.standby.pid, signal.SIGCONT)

    assert pair.standby.wait_for_end(_TAKEOVER) == LEADERSHIP_LOST
    assert "API server state older than before" in pair.standby.log.read_text()
    pair.standby.kill()  # what is left of it, its log
    pair.standby.start()
    _rotate(stage)
    _assert_rotated_once(stage, before)


def _write(cluster: Cluster, namespace: str) -> int:
    """Write something else, and return the version of the API server's storage."""
    body = {"metadata": {"generateName": "any-"}}
    made = cluster.create(f"/api/v1/namespaces/{namespace}/configmaps", body)
    return int(made["metadata"]["resourceVersion"])


def _holder(cluster: Cluster, pair: Pair) -> str:
    return str(cluster.get(pair.lease)["spec"]["holderIdentity"])


def _since(calls: list[Call], moment: datetime) -> list[Call]:
    return [call for call in calls if datetime.fromisoformat(call.received) > moment]


def test_a_standby_writes_nothing_and_ends_a_rotation_of_a_killed_leader(
    cluster: Cluster, stage: list[WorkloadNamespace], pair: Pair, before: list[Snapshot]
) -> None:
    _rotate(stage)
    pair.leader.kill()  # at once: the audit log tells afterwards who wrote what until now
    killed = datetime.now(UTC)
    pair.standby.wait_for_log("leading", _TAKEOVER)
    _assert_rotated_once(stage, before)
    by_the_standby = cluster.writes(pair.standby_name)
    assert _since(by_the_standby, killed) == by_the_standby != []
    assert cluster.writes(pair.leader_name)


def test_a_leader_that_is_asked_to_end_hands_over_in_its_midst(
    cluster: Cluster, stage: list[WorkloadNamespace], pair: Pair, before: list[Snapshot]
) -> None:
    _rotate(stage)
    led = _holder(cluster, pair)
    pair.leader.stop()
    assert pair.leader.returncode == 0
    ended = datetime.now(UTC)
    assert _holder(cluster, pair) != led, "the Lease is given back, and not left to run out"
    pair.standby.wait_for_log("leading", _TAKEOVER)
    _assert_rotated_once(stage, before)
    assert _since(cluster.writes(pair.leader_name), ended) == []


def test_a_leader_that_was_paused_beyond_its_lease_writes_no_more(
    cluster: Cluster, stage: list[WorkloadNamespace], pair: Pair, before: list[Snapshot]
) -> None:
    _rotate(stage)
    os.kill(pair.leader.pid, signal.SIGSTOP)
    try:
        led = datetime.fromisoformat(pair.standby.wait_for_log("leading", _TAKEOVER)["timestamp"])
        _assert_rotated_once(stage, before)
    finally:
        os.kill(pair.leader.pid, signal.SIGCONT)
    assert pair.leader.wait_for_end(_TAKEOVER) == 1
    lost = [line for line in pair.leader.lines() if line["event"] == "leadership lost"]
    assert [(line["level"], line["reason"]) for line in lost] == [("error", "not renewed in time")]
    # What had left before the pause may have been read by the API server some seconds after it.
    late = _since(cluster.writes(pair.leader_name), led)
    # A pause that falls between the last look at the fence and the socket lets that one request out afterwards;
    # no process can look and send in one. The resourceVersion in it is of before the new leader.
    assert [(call.verb, call.resource) for call in late if call.status != HTTPStatus.CONFLICT] == []
    assert len(late) <= 1
    _assert_rotated_once(stage, before)
