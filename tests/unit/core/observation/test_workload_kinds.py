"""The table of workload kinds: when a rollout of each is complete, and how its pods are replaced."""

from typing import Any

import pytest

from keyturn.api.workloads import WorkloadKind
from keyturn.core.observation.workload_kinds import OPTIONAL_TYPES, REQUIRED_TYPES, WORKLOAD_TYPES, type_of

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
HEALTHY = {"phase": "Healthy", "updatedReplicas": 3, "availableReplicas": 3}


def progress(status: str = "False", reason: str = "ReplicaSetCreateError") -> dict[str, Any]:
    """Return a status with the condition Progressing."""
    others = {"type": "Available", "status": "False", "reason": "AvailableReason"}
    return {"conditions": [others, {"type": "Progressing", "status": status, "reason": reason}]}


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
        pytest.param("Rollout", THREE, HEALTHY, True, id="Rollout: healthy"),
        pytest.param("Rollout", THREE, HEALTHY | {"phase": "Paused"}, False, id="Rollout: between two steps"),
        pytest.param(
            "Rollout", THREE, HEALTHY | {"updatedReplicas": 2}, False, id="Rollout: one is not updated"
        ),
        pytest.param(
            "Rollout", THREE, HEALTHY | {"availableReplicas": 2}, False, id="Rollout: one is not available"
        ),
        pytest.param(
            "Rollout", THREE, HEALTHY | progress("True"), True, id="Rollout: healthy, and it has progressed"
        ),
        pytest.param(
            "Rollout",
            THREE,
            HEALTHY | progress("False"),
            False,
            id="Rollout: healthy without a new ReplicaSet",
        ),
        pytest.param("Rollout", {}, {}, False, id="Rollout: without a status"),
    ],
)
def test_a_workload_is_settled_when_every_pod_is_new_and_available(
    kind: str,
    spec: dict[str, Any],
    status: dict[str, Any],
    settled: bool,
) -> None:
    assert type_of(kind).is_settled(spec, status) is settled


@pytest.mark.parametrize(
    ("kind", "status", "is_updated"),
    [
        pytest.param("Deployment", DEPLOYED | {"availableReplicas": 2}, True, id="one is not available"),
        pytest.param("Deployment", DEPLOYED | {"updatedReplicas": 2}, False, id="one is not updated"),
        pytest.param("Deployment", DEPLOYED | {"replicas": 4}, False, id="an old one is left"),
        pytest.param("StatefulSet", STATEFUL | {"readyReplicas": 2}, True, id="stateful: one is not ready"),
        pytest.param(
            "StatefulSet",
            STATEFUL | {"currentRevision": "a", "updatedReplicas": 2},
            False,
            id="stateful: one is not updated",
        ),
        pytest.param("DaemonSet", DAEMON | {"numberAvailable": 2}, True, id="daemons: one is not available"),
        pytest.param(
            "DaemonSet", DAEMON | {"updatedNumberScheduled": 2}, False, id="daemons: one is not updated"
        ),
        pytest.param("Rollout", HEALTHY, False, id="a kind with steps"),
    ],
)
def test_a_workload_is_updated_when_every_pod_is_new(
    kind: str, status: dict[str, Any], *, is_updated: bool
) -> None:
    assert type_of(kind).is_updated(THREE, status) is is_updated


@pytest.mark.parametrize(
    ("kind", "spec", "in_place"),
    [
        pytest.param("Deployment", {}, False, id="rolling"),
        pytest.param("Deployment", {"strategy": {"type": "Recreate"}}, True, id="recreated"),
        pytest.param("StatefulSet", {}, True, id="StatefulSet"),
        pytest.param("DaemonSet", {}, True, id="DaemonSet"),
        pytest.param("Rollout", {}, False, id="Rollout"),
    ],
)
def test_new_pods_wait_for_old_ones_by_the_strategy(
    kind: str,
    spec: dict[str, Any],
    in_place: bool,
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
    idle: bool,
) -> None:
    assert type_of(kind).is_idle(spec, status) is idle


@pytest.mark.parametrize(
    ("status", "observed"),
    [
        pytest.param({"observedGeneration": "4"}, True, id="as a text"),
        pytest.param({"observedGeneration": "3"}, False, id="an older spec"),
        pytest.param({"observedGeneration": "58c975674b"}, False, id="a hash of an old release"),
        pytest.param({}, False, id="none yet"),
    ],
)
def test_the_status_of_a_rollout_describes_its_spec(
    status: dict[str, Any],
    observed: bool,
) -> None:
    assert type_of("Rollout").is_observed({"generation": 4}, status) is observed


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"canary": {"steps": list(steps)}}


def blue_green(**fields: Any) -> dict[str, Any]:
    return {"blueGreen": {"activeService": "web", **fields}}


WEIGHT = {"setWeight": 20}
PROMOTED = "promote its rollout"
LAST = "its rollout completes with the last one"
LATER = "its rollout completes later"


@pytest.mark.parametrize(
    ("strategy", "end"),
    [
        pytest.param(None, None, id="none"),
        pytest.param({"canary": {"maxSurge": 1}}, None, id="a canary without steps"),
        pytest.param(
            canary(WEIGHT, {"setCanaryScale": {"replicas": 1}}), None, id="a canary that only scales"
        ),
        pytest.param(canary(WEIGHT, {"pause": {}}), PROMOTED, id="a pause without an end"),
        pytest.param(canary({"pause": None}), PROMOTED, id="an empty pause"),
        pytest.param(canary(WEIGHT, {"pause": {"duration": "1h"}}), LAST, id="a pause"),
        pytest.param(canary({"analysis": {}}), LAST, id="an analysis"),
        pytest.param(canary({"experiment": {}}), LAST, id="an experiment"),
        pytest.param(canary({"plugin": {}}), LAST, id="a plugin"),
        pytest.param(blue_green(), None, id="blue-green"),
        pytest.param(blue_green(autoPromotionSeconds=0), None, id="blue-green, promoted at once"),
        pytest.param(blue_green(autoPromotionSeconds=9), LATER, id="blue-green, promoted later"),
        pytest.param(
            blue_green(prePromotionAnalysis={"templates": []}), LATER, id="blue-green, analysed before"
        ),
        pytest.param(
            blue_green(postPromotionAnalysis={"templates": []}), LATER, id="blue-green, analysed after"
        ),
        pytest.param(blue_green(autoPromotionEnabled=False), PROMOTED, id="blue-green, promoted by hand"),
    ],
)
def test_a_rollout_whose_strategy_waits_has_no_deadline(
    strategy: dict[str, Any] | None, end: str | None
) -> None:
    hint = type_of("Rollout").hint({"strategy": strategy})
    assert (hint and hint.rpartition(": ")[2]) == end


TOO_LATE = progress("False", "ProgressDeadlineExceeded")
ABORTED = progress("False", "RolloutAborted")


@pytest.mark.parametrize(
    ("status", "failed", "aborted"),
    [
        pytest.param({"phase": "Degraded"} | TOO_LATE, True, False, id="its deadline has passed"),
        pytest.param({"phase": "Degraded", "abort": True} | ABORTED, True, True, id="it was aborted"),
        pytest.param({"phase": "Degraded"} | ABORTED, False, False, id="the abort before was taken back"),
        pytest.param({"phase": "Degraded"}, False, False, id="its spec is invalid"),
        pytest.param(
            {"phase": "Progressing", "abort": True}, False, True, id="its abort is not yet in the phase"
        ),
        pytest.param({"phase": "Progressing"}, False, False, id="it progresses"),
        pytest.param({}, False, False, id="without a status"),
    ],
)
def test_a_rollout_has_failed_when_it_is_degraded_by_its_last_change(
    status: dict[str, Any],
    failed: bool,
    aborted: bool,
) -> None:
    row = type_of("Rollout")
    assert (row.has_failed({}, status), row.is_aborted({}, status)) == (failed, aborted)


@pytest.mark.parametrize(
    ("status", "keeps"),
    [
        pytest.param({"replicas": 4, "updatedReplicas": 2}, True, id="two of an earlier template"),
        pytest.param({"replicas": 2, "updatedReplicas": 2}, False, id="none"),
        pytest.param({}, False, id="without a status"),
    ],
)
def test_a_rollout_keeps_pods_of_an_earlier_template_by_its_controllers_count(
    status: dict[str, Any],
    keeps: bool,
) -> None:
    assert type_of("Rollout").keeps_earlier({}, status) is keeps
    assert not any(row.keeps_earlier({}, status) for row in REQUIRED_TYPES)


def test_the_other_kinds_are_never_aborted() -> None:
    assert not any(row.is_aborted({}, {"abort": True}) for row in REQUIRED_TYPES)


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        pytest.param(None, False, id="no conditions"),
        pytest.param([{"type": "Progressing", "reason": "NewReplicaSetAvailable"}], False, id="progressing"),
        pytest.param([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}], True, id="too late"),
    ],
)
def test_a_deployment_has_failed_when_its_deadline_is_missed(
    conditions: list[dict[str, str]] | None,
    failed: bool,
) -> None:
    assert type_of("Deployment").has_failed({}, {"conditions": conditions}) is failed


@pytest.mark.parametrize(
    ("strategy", "has_hint"),
    [
        pytest.param(None, False, id="the default"),
        pytest.param({"type": "OnDelete"}, True, id="on delete"),
        pytest.param({"rollingUpdate": {"partition": 2}}, True, id="a partition"),
    ],
)
def test_a_stateful_set_that_needs_hands_has_no_deadline(
    strategy: dict[str, Any] | None,
    has_hint: bool,
) -> None:
    assert (type_of("StatefulSet").hint({"updateStrategy": strategy}) is not None) is has_hint


@pytest.mark.parametrize(("generation", "observed"), [(3, False), (4, True)])
def test_a_status_describes_the_newest_spec_by_its_generation(generation: int, *, observed: bool) -> None:
    assert (
        type_of("Deployment").is_observed({"generation": 4}, {"observedGeneration": generation}) is observed
    )


def test_each_kind_is_required_or_optional() -> None:
    assert {row.kind for row in REQUIRED_TYPES} == {"Deployment", "StatefulSet", "DaemonSet"}
    assert {row.kind for row in OPTIONAL_TYPES} == {"Rollout"}
    assert {row.api_version for row in REQUIRED_TYPES} == {"apps/v1"}


def test_each_kind_has_one_row() -> None:
    assert [row.kind for row in WORKLOAD_TYPES] == list(WorkloadKind)
    assert all(type_of(row.kind) is row for row in WORKLOAD_TYPES)


def test_a_kind_without_a_row_is_unknown() -> None:
    with pytest.raises(KeyError):
        type_of("CronJob")
