"""The table of workload kinds: when a rollout of each is complete, and how its pods are replaced."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.api.status import WorkloadKind
from keyturn.core.observation.workload_kinds import WORKLOAD_TYPES, type_of

DEPLOYED = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
STATEFUL = {
    "replicas": 3,
    "readyReplicas": 3,
    "updatedReplicas": 3,
    "currentRevision": "b",
    "updateRevision": "b",
}
DAEMON = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
THREE = {"replicas": 3}
PARTITION = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "settled"),
    [
        pytest.param("Deployment", THREE, DEPLOYED, True, id="all new and available"),
        pytest.param("Deployment", THREE, DEPLOYED | {"updatedReplicas": 2}, False, id="one is not updated"),
        pytest.param("Deployment", THREE, DEPLOYED | {"replicas": 4}, False, id="an old one is left"),
        pytest.param(
            "Deployment", THREE, DEPLOYED | {"availableReplicas": 2}, False, id="one is not available"
        ),
        pytest.param(
            "Deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True, id="one"
        ),
        pytest.param("Deployment", {}, {}, False, id="one by default, none yet"),
        pytest.param("Deployment", {"replicas": 0}, {}, True, id="scaled to none"),
        pytest.param("StatefulSet", THREE, STATEFUL, True, id="stateful: all new and ready"),
        pytest.param(
            "StatefulSet", THREE, STATEFUL | {"readyReplicas": 2}, False, id="stateful: one is not ready"
        ),
        pytest.param(
            "StatefulSet",
            THREE,
            STATEFUL | {"currentRevision": "a", "updatedReplicas": 2},
            False,
            id="stateful: one is not updated",
        ),
        pytest.param(
            "StatefulSet", THREE, STATEFUL | {"currentRevision": "a"}, True, id="stateful: all are updated"
        ),
        pytest.param("StatefulSet", THREE, STATEFUL | {"replicas": 4}, False, id="stateful: one too many"),
        pytest.param("StatefulSet", {"replicas": 0}, {}, True, id="stateful: scaled to none"),
        pytest.param(
            "StatefulSet",
            THREE | PARTITION,
            STATEFUL | {"currentRevision": "a", "updatedReplicas": 1},
            False,
            id="stateful: those below the partition run the old template",
        ),
        pytest.param("DaemonSet", {}, DAEMON, True, id="daemons: all new and available"),
        pytest.param(
            "DaemonSet", {}, DAEMON | {"updatedNumberScheduled": 2}, False, id="daemons: one is not updated"
        ),
        pytest.param(
            "DaemonSet", {}, DAEMON | {"numberAvailable": 2}, False, id="daemons: one is not available"
        ),
        pytest.param("DaemonSet", {}, {}, True, id="daemons: no node"),
    ],
)
def test_a_workload_is_settled_when_every_pod_is_new_and_available(
    kind: str,
    spec: dict[str, Any],
    status: dict[str, Any],
    settled: bool,  # noqa: FBT001
) -> None:
    assert type_of(kind).is_settled(spec, status) is settled


@pytest.mark.parametrize(
    ("kind", "spec", "in_place"),
    [
        pytest.param("Deployment", {}, False, id="rolling"),
        pytest.param("Deployment", {"strategy": {"type": "Recreate"}}, True, id="recreated"),
        pytest.param("StatefulSet", {}, True, id="StatefulSet"),
        pytest.param("DaemonSet", {}, True, id="DaemonSet"),
    ],
)
def test_new_pods_wait_for_old_ones_by_the_strategy(
    kind: str,
    spec: dict[str, Any],
    in_place: bool,  # noqa: FBT001
) -> None:
    assert type_of(kind).is_in_place(spec, {}) is in_place


@pytest.mark.parametrize(
    ("kind", "spec", "status", "idle"),
    [
        pytest.param("Deployment", {}, {}, False, id="one replica by default"),
        pytest.param("Deployment", {"replicas": 0}, {}, True, id="scaled to none"),
        pytest.param("StatefulSet", {"replicas": 0}, {}, True, id="StatefulSet: scaled to none"),
        pytest.param("DaemonSet", {}, {}, True, id="DaemonSet: no node"),
        pytest.param("DaemonSet", {}, {"desiredNumberScheduled": 1}, False, id="DaemonSet: one node"),
    ],
)
def test_a_workload_is_idle_when_it_wants_no_pods(
    kind: str,
    spec: dict[str, Any],
    status: dict[str, Any],
    idle: bool,  # noqa: FBT001
) -> None:
    assert type_of(kind).is_idle(spec, status) is idle


def test_each_kind_has_one_row() -> None:
    assert [row.kind for row in WORKLOAD_TYPES] == list(WorkloadKind)
    assert all(type_of(row.kind) is row for row in WORKLOAD_TYPES)


def test_a_kind_without_a_row_is_unknown() -> None:
    with pytest.raises(KeyError):
        type_of("CronJob")
