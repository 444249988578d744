"""What a rollout knows of a workload, as `kubectl rollout status` would say it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from keyturn.api.workloads import Via
from keyturn.core.keys import WorkloadKey
from keyturn.core.labels import MARKER
from keyturn.core.observation.workload import Use, Workload
from keyturn.kube import errors
from keyturn.kube.wire import Body
from keyturn.kube.workloads import restart, workload_of
from tests.support.cases import case, cases

CREATED = "2026-11-24T12:00:00Z"


def body(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, *, generation: int = 1
) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "api", "uid": "u", "generation": generation}
    observed = {"observedGeneration": generation} if status is not None else {}
    return {
        "metadata": metadata | {"creationTimestamp": CREATED},
        "spec": {"template": {}} | (spec or {}),
        "status": observed | (status or {}),
    }


def test_a_workload_is_read_whole() -> None:
    found = body(
        {
            "replicas": 0,
            "paused": True,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"annotations": {"keyturn.dev/secret-versions": "db=3"}},
                "spec": {"containers": [{"envFrom": [{"secretRef": {"name": "db"}}]}]},
            },
        },
        {},
    )
    found["metadata"]["annotations"] = {"keyturn.dev/restart": "never", "keyturn.dev/reload": "wait"}
    assert workload_of("Deployment", found) == Workload(
        key=WorkloadKey("shop", "Deployment", "api"),
        uid="u",
        created=datetime(2026, 11, 24, 12, tzinfo=UTC),
        uses=(Use("db", (Via.ENV_FROM,), None),),
        marker="db=3",
        restart="never",
        selector="app=api",
        paused=True,
        settled=True,
        is_updated=True,
        failed=False,
        hint=None,
        idle=True,
        reload="wait",
        generation=1,
    )


@pytest.mark.parametrize("absent", [{}, {"metadata": {"annotations": None}, "spec": None}], ids=str)
def test_a_workload_that_says_nothing_of_us_is_read_too(absent: dict[str, Any]) -> None:
    found = workload_of("Deployment", body({"template": absent}))
    assert (found.marker, found.restart, found.uses, found.paused) == ("", None, (), False)


DEPLOYED = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
STATEFUL = {"currentRevision": "b", "updateRevision": "b"}
THREE = {"replicas": 3}
PARTITION = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}


@cases(
    ("spec", "status", "templates"),
    case("in an update", {}, STATEFUL | {"currentRevision": "a"}, ("a", "b")),
    case("without an update", {}, {"currentRevision": "a"}, ("a",)),
    case("of a Deployment", {}, DEPLOYED, ()),
    case("replaced by hand", {"updateStrategy": {"type": "OnDelete"}}, STATEFUL, ()),
    case("with a partition", PARTITION, STATEFUL, ("b", "b")),
)
def test_the_templates_of_a_stateful_set_are_known(
    spec: dict[str, Any], status: dict[str, Any], templates: tuple[str, ...]
) -> None:
    assert workload_of("StatefulSet", body(spec, status)).templates == templates


def test_templates_of_an_older_spec_are_not() -> None:
    late = body({}, STATEFUL | {"observedGeneration": 1}, generation=2)
    assert workload_of("StatefulSet", late).templates == ()


@cases(
    ("spec", "status", "terminates"),
    case("its controller counts none", {}, {}, None),
    case("none", {}, {"terminatingReplicas": 0}, False),
    case("two", {}, {"terminatingReplicas": 2}, True),
    case("a short history", {"revisionHistoryLimit": 2}, {"terminatingReplicas": 0}, False),
    case("those of a ReplicaSet that is gone", {"revisionHistoryLimit": 1}, {"terminatingReplicas": 0}, None),
)
def test_pods_that_are_terminating_are_counted_by_the_controller(
    spec: dict[str, Any], status: dict[str, Any], *, terminates: bool | None
) -> None:
    assert workload_of("Deployment", body(spec, status)).terminates is terminates


def test_a_status_that_speaks_of_an_older_spec_says_nothing() -> None:
    late = body(THREE, DEPLOYED | {"observedGeneration": 1}, generation=2)
    assert not workload_of("Deployment", late).settled
    assert not workload_of("Deployment", late).is_updated
    assert workload_of("Deployment", body(THREE, DEPLOYED | {"availableReplicas": 2})).is_updated


@cases(
    ("conditions", "failed"),
    case("no conditions", None, False),
    case("progressing", [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}], False),
    case("another condition", [{"type": "Available", "reason": "ProgressDeadlineExceeded"}], False),
    case("too late", [{}, {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}], True),
)
def test_a_rollout_has_failed_when_its_deadline_is_missed(
    conditions: list[dict[str, str]] | None, *, failed: bool
) -> None:
    assert workload_of("Deployment", body(THREE, {"conditions": conditions})).failed == failed


@cases(
    ("strategy", "hint"),
    case("the default", None, None),
    case("no partition", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, None),
    case(
        "a partition",
        PARTITION["updateStrategy"],
        "its update strategy has a partition: pods below it are not restarted",
    ),
    case(
        "on delete", {"type": "OnDelete"}, "its update strategy is OnDelete: delete its pods to restart them"
    ),
)
def test_a_rollout_that_cannot_end_automatically_says_why(strategy: Any, hint: str | None) -> None:
    assert workload_of("StatefulSet", body({"updateStrategy": strategy})).hint == hint


@cases(
    ("selector", "text"),
    case("none", None, ""),
    case("labels", {"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
    case("in", {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, "a in (1,2)"),
    case("not in", {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, "a notin (1)"),
    case("exists", {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
    case("does not exist", {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a"),
    case(
        "both", {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, "a=1,b"
    ),
)
def test_a_selector_is_written_as_the_api_server_reads_it(selector: Any, text: str) -> None:
    assert workload_of("Deployment", body({"selector": selector})).selector == text


@pytest.mark.parametrize(
    ("manager", "operation", "is_restart"),
    [("keyturn", "Apply", True), ("keyturn", "Update", False), ("kubectl", "Apply", False)],
)
def test_a_workload_was_restarted_when_its_marker_was_applied(
    manager: str, operation: str, *, is_restart: bool
) -> None:
    found = body()
    found["metadata"]["managedFields"] = [{"manager": manager, "operation": operation, "time": CREATED}]
    assert (workload_of("Deployment", found).restarted is not None) is is_restart


def test_a_time_that_is_none_is_no_restart() -> None:
    found = body()
    entry = {"manager": "keyturn", "operation": "Apply", "time": "0000-01-01T00:00:00Z"}
    found["metadata"]["managedFields"] = [entry]
    assert workload_of("Deployment", found).restarted is None


class Recreated:
    """API server with another workload of the same name."""

    async def patch(self, path: str, body: Body, *_: object) -> Body:
        if body["metadata"].get("uid", "another") != "another":
            raise errors.Conflict("patch", path, 409, "Conflict")
        return body


@pytest.mark.parametrize("marker", ["db=3", ""], ids=["a marker", "no marker any more"])
async def test_a_recreated_workload_is_not_restarted(marker: str) -> None:
    api: Any = Recreated()
    with pytest.raises(errors.Conflict):
        await restart(api, workload_of("Deployment", body()), marker)


# Argo Rollouts


def rollout(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> dict[str, Any]:
    made = body(spec, status or {})
    made["status"]["observedGeneration"] = "1"
    return made


OF_DEPLOYMENT = {
    "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
    "template": {},
}
OF_POD_TEMPLATE = {"workloadRef": {"apiVersion": "v1", "kind": "PodTemplate", "name": "web"}, "template": {}}
OWN = {
    "template": {
        "metadata": {"annotations": {"keyturn.dev/secret-versions": "db=3"}},
        "spec": {"containers": [{"envFrom": [{"secretRef": {"name": "db"}}]}]},
    }
}


def test_a_rollout_with_a_template_is_read_like_a_deployment() -> None:
    status = {"phase": "Healthy", "updatedReplicas": 1, "availableReplicas": 1}
    found = workload_of("Rollout", rollout(OWN, status))

    assert (found.marker, found.uses) == ("db=3", (Use("db", (Via.ENV_FROM,), None),))
    assert (found.settled, found.has_template, found.template_of) == (True, True, None)


@cases(
    ("conditions", "word"),
    case("no condition", None, None),
    case("no pods", [{"type": "ReplicaFailure", "status": "True"}], "pods"),
    case("pods again", [{"type": "ReplicaFailure", "status": "False"}], None),
    case(
        "no ReplicaSet",
        [{"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": "x"}],
        "ReplicaSet",
    ),
    case("a ReplicaSet", [{"type": "Progressing", "reason": "NewReplicaSetCreated"}], None),
    case("an invalid spec", [{}, {"type": "InvalidSpec", "status": "True"}], "InvalidSpec"),
)
def test_a_controller_that_creates_no_pods_is_named(
    conditions: list[dict[str, str]] | None, word: str | None
) -> None:
    complaint = workload_of("Rollout", rollout(OWN, {"conditions": conditions})).complaint
    assert (complaint is None) is (word is None)
    assert (word or "") in (complaint or "")


def test_an_abort_counts_once_the_status_describes_the_spec() -> None:
    aborted = rollout(OWN, {"phase": "Degraded", "abort": True})
    assert workload_of("Rollout", aborted).aborted
    aborted["metadata"]["generation"] = 2
    assert not workload_of("Rollout", aborted).aborted


def test_a_rollout_names_the_workload_whose_template_it_uses() -> None:
    found = workload_of("Rollout", rollout(OF_DEPLOYMENT, {"workloadObservedGeneration": "7"}))

    assert found.template_of == WorkloadKey("shop", "Deployment", "web")
    assert (found.template_generation, found.has_template, found.uses) == (7, True, ())


@pytest.mark.parametrize("observed", ["x", "²", "-1"])
def test_a_generation_that_is_no_number_is_not_observed(observed: str) -> None:
    found = workload_of("Rollout", rollout(OF_DEPLOYMENT, {"workloadObservedGeneration": observed}))
    assert found.template_generation == 0


PROGRESSING = {"type": "Progressing", "status": "True", "lastUpdateTime": "2026-11-24T12:00:00Z"}


@cases(
    ("conditions", "progressed"),
    case("a time", [PROGRESSING], datetime(2026, 11, 24, 12, 0, tzinfo=UTC)),
    case("no time", [PROGRESSING | {"lastUpdateTime": None}], None),
    case("another condition", [PROGRESSING | {"type": "Available"}], None),
    case("no condition", None, None),
)
def test_a_release_that_reports_no_generation_shows_when_a_rollout_progressed(
    conditions: list[dict[str, Any]] | None, progressed: datetime | None
) -> None:
    found = workload_of("Rollout", rollout(OF_DEPLOYMENT, {"conditions": conditions}))

    assert found.template_generation is None
    assert found.progressed == progressed


def test_the_progress_of_a_workload_with_its_own_template_is_not_kept() -> None:
    assert workload_of("Rollout", rollout(OWN, {"conditions": [PROGRESSING]})).progressed is None


@pytest.mark.parametrize("spec", [OF_POD_TEMPLATE, {"template": {}}], ids=["of another kind", "of none"])
def test_a_rollout_without_a_template_of_a_workload_has_the_marker_itself(spec: dict[str, Any]) -> None:
    made = rollout(spec)
    made["metadata"]["annotations"] = {"keyturn.dev/secret-versions": "db=3"}
    found = workload_of("Rollout", made)

    assert (found.has_template, found.template_of, found.marker) == (False, None, "db=3")


def test_the_time_of_a_failure_is_kept() -> None:
    failed = {"phase": "Degraded", "conditions": [PROGRESSING | {"reason": "ProgressDeadlineExceeded"}]}
    found = workload_of("Rollout", rollout(OWN, failed))
    assert (found.failed, found.progressed) == (True, datetime(2026, 11, 24, 12, 0, tzinfo=UTC))


SINCE_RESUMED = PROGRESSING | {"lastTransitionTime": "2026-11-24T11:00:00Z"}


@cases(
    ("status", "progressing"),
    case("rolls", {"conditions": [SINCE_RESUMED]}, datetime(2026, 11, 24, 11, 0, tzinfo=UTC)),
    case("is paused", {"conditions": [SINCE_RESUMED | {"status": "Unknown"}]}, None),
    case("without a time", {"conditions": [PROGRESSING]}, None),
    case("without a condition", {}, None),
)
def test_a_rollout_that_was_interrupted_shows_since_when_it_goes_on(
    status: dict[str, Any], progressing: datetime | None
) -> None:
    assert workload_of("Rollout", rollout(OWN, {"phase": "Progressing", **status})).progressing == progressing


def test_since_when_a_complete_rollout_progressed_is_not_kept() -> None:
    status = {"phase": "Healthy", "updatedReplicas": 1, "availableReplicas": 1, "conditions": [SINCE_RESUMED]}
    done = workload_of("Rollout", rollout(OWN, status))
    assert (done.settled, done.progressing) == (True, None)


class Patches:
    """API server that notes patches, with a clock."""

    def __init__(self) -> None:
        self.clock = SimpleNamespace(now=lambda: datetime(2026, 11, 24, 12, 0, 5, 9, tzinfo=UTC))
        self.sent: list[tuple[str, Body]] = []

    async def patch(self, path: str, body: Body, *_: object) -> Body:
        self.sent.append((path, body))
        return body


async def patched(workload: Workload, marker: str = "db=4") -> tuple[str, Body]:
    api: Any = Patches()
    await restart(api, workload, marker)
    ((path, sent),) = api.sent
    return path, sent


ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/api"
MARKED = {"metadata": {"annotations": {"keyturn.dev/secret-versions": "db=4"}}}


async def test_a_rollout_is_restarted_by_its_template() -> None:
    path, sent = await patched(workload_of("Rollout", rollout(OWN)))

    assert path == ROLLOUT
    assert (sent["apiVersion"], sent["kind"]) == ("argoproj.io/v1alpha1", "Rollout")
    assert sent["spec"] == {"template": MARKED}


async def test_a_rollout_is_restarted_by_the_template_of_its_deployment() -> None:
    deployment = body()
    deployment["metadata"] |= {"name": "web", "uid": "uid-of-web"}
    own = workload_of("Rollout", rollout(OF_DEPLOYMENT))
    path, sent = await patched(own.with_template_of(workload_of("Deployment", deployment)))

    assert path == "/apis/apps/v1/namespaces/shop/deployments/web"
    assert (sent["apiVersion"], sent["kind"], sent["spec"]) == ("apps/v1", "Deployment", {"template": MARKED})
    assert sent["metadata"] == {"name": "web", "namespace": "shop", "uid": "uid-of-web"}


async def test_a_rollout_of_a_deployment_that_does_not_exist_is_not_written() -> None:
    with pytest.raises(errors.NotFound):
        await patched(workload_of("Rollout", rollout(OF_DEPLOYMENT)))


async def test_a_rollout_without_a_template_of_a_workload_is_restarted_by_time() -> None:
    path, sent = await patched(workload_of("Rollout", rollout(OF_POD_TEMPLATE)))

    next_second = "2026-11-24T12:00:06Z"  # the controller keeps pods that were created in the second itself
    assert (path, sent["spec"]) == (ROLLOUT, {"restartAt": next_second})
    assert sent["metadata"] == {"name": "api", "namespace": "shop", "uid": "u", **MARKED["metadata"]}


@cases(
    ("spec", "expected"),
    case(
        "of its template",
        OWN,
        {"metadata": {"uid": "u"}, "spec": {"template": {"metadata": {"annotations": {MARKER: None}}}}},
    ),
    case("of its own", OF_POD_TEMPLATE, {"metadata": {"uid": "u", "annotations": {MARKER: None}}}),
)
async def test_the_marker_of_a_rollout_is_removed(spec: dict[str, Any], expected: Body) -> None:
    assert await patched(workload_of("Rollout", rollout(spec)), "") == (ROLLOUT, expected)
