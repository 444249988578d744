"""The table of workload kinds: when a rollout of each is complete, and how its pods are replaced."""

from typing import Any

import pytest

from keyturn.api.workloads import WorkloadKind
from keyturn.core.observation.workload_kinds import OPTIONAL_TYPES, REQUIRED_TYPES, WORKLOAD_TYPES, type_of
from tests.support.cases import case, cases

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


@cases(
    ("kind", "spec", "status", "settled"),
    case("all new and available", "Deployment", THREE, DEPLOYED, True),
    case("one is not updated", "Deployment", THREE, DEPLOYED | {"updatedReplicas": 2}, False),
    case("an old one is left", "Deployment", THREE, DEPLOYED | {"replicas": 4}, False),
    case("one is not available", "Deployment", THREE, DEPLOYED | {"availableReplicas": 2}, False),
    case("one", "Deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True),
    case("one by default, none yet", "Deployment", {}, {}, False),
    case("scaled to none", "Deployment", {"replicas": 0}, {}, True),
    case("stateful: all new and ready", "StatefulSet", THREE, STATEFUL, True),
    case("stateful: one is not ready", "StatefulSet", THREE, STATEFUL | {"readyReplicas": 2}, False),
    case(
        "stateful: one is not updated",
        "StatefulSet",
        THREE,
        STATEFUL | {"currentRevision": "a", "updatedReplicas": 2},
        False,
    ),
    case("stateful: all are updated", "StatefulSet", THREE, STATEFUL | {"currentRevision": "a"}, True),
    case("stateful: one too many", "StatefulSet", THREE, STATEFUL | {"replicas": 4}, False),
    case("stateful: scaled to none", "StatefulSet", {"replicas": 0}, {}, True),
    case(
        "stateful: those below the partition run the old template",
        "StatefulSet",
        THREE | PARTITION,
        STATEFUL | {"currentRevision": "a", "updatedReplicas": 1},
        False,
    ),
    case("daemons: all new and available", "DaemonSet", {}, DAEMON, True),
    case("daemons: one is not updated", "DaemonSet", {}, DAEMON | {"updatedNumberScheduled": 2}, False),
    case("daemons: one is not available", "DaemonSet", {}, DAEMON | {"numberAvailable": 2}, False),
    case("daemons: no node", "DaemonSet", {}, {}, True),
    case("Rollout: healthy", "Rollout", THREE, HEALTHY, True),
    case("Rollout: between two steps", "Rollout", THREE, HEALTHY | {"phase": "Paused"}, False),
    case("Rollout: one is not updated", "Rollout", THREE, HEALTHY | {"updatedReplicas": 2}, False),
    case("Rollout: one is not available", "Rollout", THREE, HEALTHY | {"availableReplicas": 2}, False),
    case("Rollout: healthy, and it has progressed", "Rollout", THREE, HEALTHY | progress("True"), True),
    case("Rollout: healthy without a new ReplicaSet", "Rollout", THREE, HEALTHY | progress("False"), False),
    case("Rollout: without a status", "Rollout", {}, {}, False),
)
def test_a_workload_is_settled_when_every_pod_is_new_and_available(
    kind: str, spec: dict[str, Any], status: dict[str, Any], settled: bool
) -> None:
    assert type_of(kind).is_settled(spec, status) is settled


@cases(
    ("kind", "status", "is_updated"),
    case("one is not available", "Deployment", DEPLOYED | {"availableReplicas": 2}, True),
    case("one is not updated", "Deployment", DEPLOYED | {"updatedReplicas": 2}, False),
    case("an old one is left", "Deployment", DEPLOYED | {"replicas": 4}, False),
    case("stateful: one is not ready", "StatefulSet", STATEFUL | {"readyReplicas": 2}, True),
    case(
        "stateful: one is not updated",
        "StatefulSet",
        STATEFUL | {"currentRevision": "a", "updatedReplicas": 2},
        False,
    ),
    case("daemons: one is not available", "DaemonSet", DAEMON | {"numberAvailable": 2}, True),
    case("daemons: one is not updated", "DaemonSet", DAEMON | {"updatedNumberScheduled": 2}, False),
    case("a kind with steps", "Rollout", HEALTHY, False),
)
def test_a_workload_is_updated_when_every_pod_is_new(
    kind: str, status: dict[str, Any], *, is_updated: bool
) -> None:
    assert type_of(kind).is_updated(THREE, status) is is_updated


@cases(
    ("kind", "spec", "in_place"),
    case("rolling", "Deployment", {}, False),
    case("recreated", "Deployment", {"strategy": {"type": "Recreate"}}, True),
    case("StatefulSet", "StatefulSet", {}, True),
    case("DaemonSet", "DaemonSet", {}, True),
    case("Rollout", "Rollout", {}, False),
)
def test_new_pods_wait_for_old_ones_by_the_strategy(kind: str, spec: dict[str, Any], in_place: bool) -> None:
    assert type_of(kind).is_in_place(spec, {}) is in_place


@cases(
    ("kind", "spec", "status", "idle"),
    case("one replica by default", "Deployment", {}, {}, False),
    case("scaled to none", "Deployment", {"replicas": 0}, {}, True),
    case("StatefulSet: scaled to none", "StatefulSet", {"replicas": 0}, {}, True),
    case("DaemonSet: no node", "DaemonSet", {}, {}, True),
    case("DaemonSet: one node", "DaemonSet", {}, {"desiredNumberScheduled": 1}, False),
)
def test_a_workload_is_idle_when_it_wants_no_pods(
    kind: str, spec: dict[str, Any], status: dict[str, Any], idle: bool
) -> None:
    assert type_of(kind).is_idle(spec, status) is idle


@cases(
    ("status", "observed"),
    case("as a text", {"observedGeneration": "4"}, True),
    case("an older spec", {"observedGeneration": "3"}, False),
    case("a hash of an old release", {"observedGeneration": "58c975674b"}, False),
    case("none yet", {}, False),
)
def test_the_status_of_a_rollout_describes_its_spec(status: dict[str, Any], observed: bool) -> None:
    assert type_of("Rollout").is_observed({"generation": 4}, status) is observed


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"canary": {"steps": list(steps)}}


def blue_green(**fields: Any) -> dict[str, Any]:
    return {"blueGreen": {"activeService": "web", **fields}}


WEIGHT = {"setWeight": 20}
PROMOTED = "promote its rollout"
LAST = "its rollout completes with the last one"
LATER = "its rollout completes later"


@cases(
    ("strategy", "end"),
    case("none", None, None),
    case("a canary without steps", {"canary": {"maxSurge": 1}}, None),
    case("a canary that only scales", canary(WEIGHT, {"setCanaryScale": {"replicas": 1}}), None),
    case("a pause without an end", canary(WEIGHT, {"pause": {}}), PROMOTED),
    case("an empty pause", canary({"pause": None}), PROMOTED),
    case("a pause", canary(WEIGHT, {"pause": {"duration": "1h"}}), LAST),
    case("an analysis", canary({"analysis": {}}), LAST),
    case("an experiment", canary({"experiment": {}}), LAST),
    case("a plugin", canary({"plugin": {}}), LAST),
    case("blue-green", blue_green(), None),
    case("blue-green, promoted at once", blue_green(autoPromotionSeconds=0), None),
    case("blue-green, promoted later", blue_green(autoPromotionSeconds=9), LATER),
    case("blue-green, analysed before", blue_green(prePromotionAnalysis={"templates": []}), LATER),
    case("blue-green, analysed after", blue_green(postPromotionAnalysis={"templates": []}), LATER),
    case("blue-green, promoted by hand", blue_green(autoPromotionEnabled=False), PROMOTED),
)
def test_a_rollout_whose_strategy_waits_has_no_deadline(
    strategy: dict[str, Any] | None, end: str | None
) -> None:
    hint = type_of("Rollout").hint({"strategy": strategy})
    assert (hint and hint.rpartition(": ")[2]) == end


TOO_LATE = progress("False", "ProgressDeadlineExceeded")
ABORTED = progress("False", "RolloutAborted")


@cases(
    ("status", "failed", "aborted"),
    case("its deadline has passed", {"phase": "Degraded"} | TOO_LATE, True, False),
    case("it was aborted", {"phase": "Degraded", "abort": True} | ABORTED, True, True),
    case("the abort before was taken back", {"phase": "Degraded"} | ABORTED, False, False),
    case("its spec is invalid", {"phase": "Degraded"}, False, False),
    case("its abort is not yet in the phase", {"phase": "Progressing", "abort": True}, False, True),
    case("it progresses", {"phase": "Progressing"}, False, False),
    case("without a status", {}, False, False),
)
def test_a_rollout_has_failed_when_it_is_degraded_by_its_last_change(
    status: dict[str, Any], failed: bool, aborted: bool
) -> None:
    row = type_of("Rollout")
    assert (row.has_failed({}, status), row.is_aborted({}, status)) == (failed, aborted)


@cases(
    ("status", "keeps"),
    case("two of an earlier template", {"replicas": 4, "updatedReplicas": 2}, True),
    case("none", {"replicas": 2, "updatedReplicas": 2}, False),
    case("without a status", {}, False),
)
def test_a_rollout_keeps_pods_of_an_earlier_template_by_its_controllers_count(
    status: dict[str, Any], keeps: bool
) -> None:
    assert type_of("Rollout").keeps_earlier({}, status) is keeps
    assert not any(row.keeps_earlier({}, status) for row in REQUIRED_TYPES)


def test_the_other_kinds_are_never_aborted() -> None:
    assert not any(row.is_aborted({}, {"abort": True}) for row in REQUIRED_TYPES)


@cases(
    ("conditions", "failed"),
    case("no conditions", None, False),
    case("progressing", [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}], False),
    case("too late", [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}], True),
)
def test_a_deployment_has_failed_when_its_deadline_is_missed(
    conditions: list[dict[str, str]] | None, failed: bool
) -> None:
    assert type_of("Deployment").has_failed({}, {"conditions": conditions}) is failed


@cases(
    ("strategy", "has_hint"),
    case("the default", None, False),
    case("on delete", {"type": "OnDelete"}, True),
    case("a partition", {"rollingUpdate": {"partition": 2}}, True),
)
def test_a_stateful_set_that_needs_hands_has_no_deadline(
    strategy: dict[str, Any] | None, has_hint: bool
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
