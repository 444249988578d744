"""What the API server refuses is told, and tried again more and more slowly."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import RESTART, ROTATE
from keyturn.core.state.state import StateFacts
from keyturn.kube import errors, paths
from keyturn.kube.client import Page, Params
from keyturn.kube.errors import ApiError
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body
from keyturn.runtime import metrics
from tests.simulation.simulated_cluster import MANAGED, SECOND, STATE, Cluster
from tests.simulation.test_other_pods import bare_pod
from tests.support.cases import case, cases

SPEC = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}


class Posted:
    """Keeps the reasons of events."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def record(self, regarding: object, reason: str, *_: object, **__: object) -> None:
        del regarding
        self.reasons.append(reason)


class Refusing(Cluster):
    """Refuses to create anything."""

    refusal: type[ApiError] = errors.Forbidden

    async def create(self, path: str, body: Body) -> Body:
        del body
        raise self.refusal("create", path, 0, self.refusal.__name__)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    log = CapturingLogger()
    monkeypatch.setattr("keyturn.controllers.managedsecret.reconcile._log", log)
    return log


async def pauses(cluster: Cluster, looks: int) -> list[float]:
    """Look as often, each time when it is due; return the seconds that it wants to wait after each."""
    found = []
    for _ in range(looks):
        cluster.tell()
        until = await cluster.look()
        assert until
        found.append((until - cluster.now).total_seconds())
        cluster.now = until - timedelta(seconds=1)
    return found


async def test_a_wait_lasts_as_long_as_it_asks_for_and_then_longer() -> None:
    assert await pauses(Refusing(SPEC), 9) == [2, 4, 8, 16, 32, 64, 128, 256, 300]


@cases(
    ("refusal", "told"),
    case("a quota", errors.Forbidden, ["Forbidden"]),
    case("an API server that is away", errors.Unavailable, []),
)
async def test_a_wait_is_an_event_once(refusal: type[ApiError], told: list[str]) -> None:
    cluster, posted = Refusing(SPEC), Posted()
    cluster.refusal = refusal
    cluster.context.events = posted  # type: ignore[assignment]  # a fake

    await pauses(cluster, 3)

    assert posted.reasons == told


class Unreadable(Cluster):
    """Hands out no Secret."""

    refusal: type[ApiError] | None = None
    defect = False

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        if self.defect:
            raise RuntimeError
        if self.refusal:
            raise self.refusal("get", path, 403, self.refusal.__name__)
        return await super().get(path, metadata_only=metadata_only)

    def condition(self, type_: str) -> tuple[str, str] | None:
        found = (one for one in self.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
        return next(((one["status"], one["reason"]) for one in found), None)


async def drifted() -> tuple[Unreadable, Posted]:
    """Edit a Secret, of which the operator learns."""
    cluster, posted = Unreadable(SPEC), Posted()
    await cluster.settle()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    cluster.edit_target("password", "b3RoZXI=")
    return cluster, posted


async def test_a_secret_that_may_not_be_read_is_not_called_ready() -> None:
    cluster, posted = await drifted()
    cluster.refusal = errors.Forbidden

    assert await pauses(cluster, 3) == [2, 4, 8]

    assert cluster.condition("Ready") == ("Unknown", "Forbidden")
    assert cluster.condition("Reconciling") == ("True", "Forbidden")
    assert posted.reasons == ["Forbidden"]


async def test_it_is_repaired_when_it_may_be_read_again() -> None:
    cluster, posted = await drifted()
    cluster.refusal = errors.Forbidden
    await pauses(cluster, 3)
    cluster.refusal = None
    await cluster.settle()

    assert cluster.condition("Ready") == ("True", "Published")
    assert cluster.condition("Reconciling") is None
    assert posted.reasons == ["Forbidden", "DriftRepaired"]


async def test_another_process_reports_a_look_that_is_refused_no_second_time() -> None:
    cluster, posted = await drifted()
    cluster.refusal = errors.Forbidden
    await pauses(cluster, 1)
    cluster.restart()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    writes = cluster.writes

    await pauses(cluster, 2)

    assert posted.reasons == ["Forbidden"]
    assert cluster.writes == writes


@pytest.mark.parametrize("passing", [errors.Throttled, errors.Unavailable])
async def test_an_api_server_in_trouble_is_no_news_of_the_secret(passing: type[ApiError]) -> None:
    cluster, posted = await drifted()
    cluster.refusal = passing

    await pauses(cluster, 3)

    assert cluster.condition("Ready") == ("True", "Published")
    assert posted.reasons == []


async def test_a_defect_is_reported_and_left_to_the_queue() -> None:
    cluster, posted = await drifted()
    cluster.defect = True
    cluster.tell()

    with pytest.raises(RuntimeError):
        await cluster.look()

    assert cluster.condition("Ready") == ("Unknown", "UnexpectedError")
    assert posted.reasons == ["UnexpectedError"]


async def test_a_webhook_that_denies_is_reported_once() -> None:
    cluster, posted = Refusing(SPEC), Posted()
    cluster.refusal = errors.BadRequest
    cluster.context.events = posted  # type: ignore[assignment]  # a fake

    assert await pauses(cluster, 3) == [15, 30, 60]

    assert posted.reasons == ["Refused"]


class Sealed(Cluster):
    """Lets nobody change the record of the values."""

    is_sealed = False

    async def replace(self, path: str, body: Body) -> Body:
        if self.is_sealed and path == STATE:
            raise errors.Forbidden("update", path, 403, "Forbidden")
        return await super().replace(path, body)


async def test_what_waits_beside_a_whole_secret_is_reported_once_and_in_a_condition() -> None:
    cluster, posted = Sealed(SPEC), Posted()
    await cluster.settle()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    cluster.is_sealed = True
    cluster.change_managed()["target"] = {"deletionPolicy": "Delete"}

    await pauses(cluster, 4)

    conditions = {one["type"]: one for one in cluster.objects[MANAGED]["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("True", "Published")
    assert (conditions["Hindered"]["status"], conditions["Hindered"]["reason"]) == ("True", "Forbidden")
    assert "to update the Secret 'db-keyturn'" in conditions["Ready"]["message"]
    assert posted.reasons.count("Forbidden") == 1


class Failing(Cluster):
    """Keeps no status."""

    failure: type[ApiError] | None = None

    async def replace(self, path: str, *arguments: Any, **options: Any) -> Body:
        if self.failure and path.endswith("/status"):
            raise self.failure("update", path, 0, self.failure.__name__)
        return await super().replace(path, *arguments, **options)


@pytest.mark.parametrize(
    "failure", [errors.ApiError, errors.BadRequest, errors.Invalid, errors.NotFound, errors.Forbidden]
)
async def test_a_look_that_fails_is_reported_and_tried_again_more_slowly(
    failure: type[ApiError], log: CapturingLogger
) -> None:
    cluster = Failing(SPEC)
    cluster.failure = failure

    assert await pauses(cluster, 3) == [2, 4, 8]
    assert [call.args for call in log.calls] == [("observation failed",)] * 3


async def test_a_look_that_succeeds_starts_the_count_again(log: CapturingLogger) -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.ApiError
    await pauses(cluster, 3)
    cluster.failure = None
    await cluster.settle()
    cluster.change_managed()["data"].append({"name": "username", "literal": "shop"})
    cluster.failure = errors.ApiError

    assert await pauses(cluster, 1) == [2]
    assert len(log.calls) == 4


async def test_a_process_that_does_not_lead_leaves_it_to_another() -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.NotLeading

    with pytest.raises(errors.NotLeading):
        await pauses(cluster, 1)


async def test_what_finds_no_rest_is_reported_and_tried_again_more_slowly(log: CapturingLogger) -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.Conflict
    before = metrics.NOT_CONVERGED._value.get()  # the library has no other way

    assert await pauses(cluster, 3) == [0.2, 0.4, 0.8]
    assert [call.args for call in log.calls] == [("reconcile did not converge",)] * 3
    assert metrics.NOT_CONVERGED._value.get() == before + 3


async def test_secrets_that_may_not_be_listed_are_not_taken_for_absent() -> None:
    cluster, posted = await drifted()
    cluster.context.covers = lambda _: False
    before = cluster.data()

    assert await pauses(cluster, 3) == [2, 4, 8]
    assert cluster.condition("Ready") == ("Unknown", "Forbidden")
    assert posted.reasons == ["Forbidden"]
    assert cluster.data() == before

    cluster.context.covers = lambda _: True
    await cluster.settle()
    assert cluster.condition("Ready") == ("True", "Published")


# Pods cannot be listed during a rollout: only what depends on them waits, and the status claims no success


class Blind(Cluster):
    """May refuse lists of pods with any error."""

    refusal: errors.ApiError | None = None

    async def pages(
        self, path: str, params: Params | None = None, *, limit: int = 1000, metadata_only: bool = False
    ) -> AsyncGenerator[Page, None]:
        if self.refusal and path == paths.pods("shop"):
            self.lists += 1
            raise self.refusal
        async for page in super().pages(path, params, limit=limit, metadata_only=metadata_only):
            yield page


FAILED = errors.Unavailable("list", paths.pods("shop"), 503, "ServiceUnavailable")
THROTTLED = errors.Throttled("list", paths.pods("shop"), 429, "TooManyRequests")
FORBIDDEN = errors.Forbidden("list", paths.pods("shop"), 403, "Forbidden")
ANSWER = "the API server answers 503 to the request to list pods"
UNKNOWN = f"whether pods with earlier values still run is unknown: {ANSWER}"


def facts(cluster: Cluster) -> StateFacts:
    return state_of(cluster.objects[STATE]).facts


def condition(cluster: Cluster, type_: str) -> tuple[str, str, str]:
    found = next(one for one in cluster.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
    return found["status"], found["reason"], found["message"]


def ask(cluster: Cluster, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
    cluster.touch_managed()


def declare(cluster: Cluster) -> None:
    created = cluster.now.replace(microsecond=0).isoformat()
    metadata = {"name": "leak", "namespace": "shop", "uid": "uid-of-leak", "creationTimestamp": created}
    body = {"metadata": metadata, "spec": {"reason": "stolen", "names": ["db"]}, "status": {}}
    cluster.context.cache.emergencies.put(EmergencyKey("shop", "leak"), body)
    cluster.now += 5 * SECOND


async def pass_time(cluster: Cluster, passes: int = 12) -> None:
    for _ in range(passes):
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        cluster.now += timedelta(minutes=5)


async def waiting_for_pods(refusal: errors.ApiError = FAILED, **rotation: Any) -> Blind:
    """Return a cluster in whose rotation all new pods are ready, while nothing shows whether earlier ones ended."""
    cluster = Blind(
        {
            "data": [{"name": "password", "keepPrevious": True, "generate": {"password": {}}}],
            "rotation": {"overlap": "5m", **rotation},
            "rollout": {"debounce": "0s"},
        }
    )
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    ask(cluster, "now")
    while cluster.pods["api"].restarted_for != [2]:
        cluster.tell()
        await cluster.look()
    cluster.refusal = refusal
    cluster.finish_rollouts()
    return cluster


@pytest.mark.parametrize("refusal", [FAILED, THROTTLED], ids=["503", "429"])
async def test_an_emergency_rotates_the_values(refusal: errors.ApiError) -> None:
    cluster = await waiting_for_pods(refusal)
    await pass_time(cluster, 2)
    declare(cluster)
    await pass_time(cluster, 3)
    assert (facts(cluster).current_number, facts(cluster).current.reason) == (3, "Emergency")


async def test_a_workload_that_refuses_restarts_does_not_keep_an_emergency_from_rotating_the_values() -> None:
    cluster = Blind({"data": [{"name": "password", "generate": {"password": {}}}]})
    cluster.refusal = FORBIDDEN
    await pass_time(cluster, 2)
    cluster.add_workload("api", None)
    body = cluster.objects[cluster.path_of("api")]
    body["metadata"]["annotations"] = {RESTART: "never"}
    await pass_time(cluster, 2)
    cluster.now += timedelta(days=1)
    ask(cluster, "now")
    await pass_time(cluster, 3)
    cluster.restart()  # a process that has not published the revision reads the pods
    await pass_time(cluster, 1)
    assert condition(cluster, "Ready")[:2] == ("True", "Published")
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("Unknown", "PodsUnknown")
    assert "restore the operator's rights" in condition(cluster, "WorkloadsCurrent")[2]

    declare(cluster)
    await pass_time(cluster, 3)

    assert (facts(cluster).current_number, facts(cluster).current.reason) == (3, "Emergency")
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("False", "RestartRefused")


async def test_an_edited_value_is_put_back() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster, 1)
    before = cluster.data()
    cluster.edit_target("password", "aGFja2Vk")
    await pass_time(cluster, 3)
    assert cluster.data() == before


async def test_the_overlap_ends_at_its_limit() -> None:
    cluster = await waiting_for_pods(maxOverlap="10m")
    assert "password.previous" in cluster.data()
    await pass_time(cluster, 4)
    assert "password.previous" not in cluster.data()


async def test_an_overlap_that_has_begun_ends_in_time() -> None:
    """A workload that refuses restarts was not waited for; another process would read its pods."""
    password = {"name": "password", "keepPrevious": True, "generate": {"password": {}}}
    cluster = Blind({"data": [password], "rotation": {"overlap": "1h"}, "rollout": {"debounce": "0s"}})
    await pass_time(cluster, 1)
    cluster.add_workload("api", None)
    cluster.objects[cluster.path_of("api")]["metadata"]["annotations"] = {RESTART: "never"}
    await pass_time(cluster, 1)
    ask(cluster, "now")
    await pass_time(cluster, 3)
    assert facts(cluster).current.valid_until is not None

    cluster.refusal = FORBIDDEN
    cluster.restart()
    await pass_time(cluster, 1)
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("Unknown", "PodsUnknown")
    await pass_time(cluster, 13)

    assert "password.previous" not in cluster.data()


async def test_the_overlap_does_not_begin_before_pods_are_read() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster)
    assert "password.previous" in cluster.data()
    assert facts(cluster).current.valid_until is None
    assert [one["revision"] for one in cluster.objects[MANAGED]["status"]["history"]] == [1]


async def test_the_status_says_that_it_is_unknown_and_why() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster, 1)
    assert condition(cluster, "Ready")[:2] == ("True", "Published")
    assert condition(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown", UNKNOWN)
    assert condition(cluster, "Rotating")[0] == "True"


async def test_lists_that_fail_are_retried_with_pauses() -> None:
    cluster = await waiting_for_pods()
    before, dues = cluster.lists, []
    for _ in range(12):
        cluster.tell()
        due = await cluster.look()
        assert due
        dues.append(due - cluster.now)
        cluster.now = due
    assert dues == sorted(dues)
    assert dues[-1] == timedelta(minutes=5)
    assert cluster.lists <= before + 24


async def test_a_list_that_fails_for_a_suspended_object_is_retried() -> None:
    cluster = Blind(
        {"data": [{"name": "password", "generate": {"password": {}}}], "rotation": {"overlap": "0s"}}
    )
    await cluster.settle()
    cluster.now += timedelta(minutes=1)
    cluster.other_pods.append(bare_pod(cluster))
    cluster.now += timedelta(days=1)
    ask(cluster, "now")
    await cluster.settle()
    waits = condition(cluster, "WorkloadsCurrent")
    assert waits[:2] == ("False", "NotRestartedByKeyturn")

    cluster.change_managed()["suspend"] = True
    cluster.touch_managed()
    cluster.refusal = FAILED
    cluster.now += timedelta(minutes=10)
    cluster.tell()
    due = await cluster.look()
    assert due
    assert due - cluster.now < timedelta(seconds=10)
    assert condition(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown", UNKNOWN)

    cluster.refusal = None
    cluster.now = due
    await cluster.look()
    assert condition(cluster, "WorkloadsCurrent") == waits


async def test_it_ends_as_always_when_pods_can_be_listed_again() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster)
    cluster.refusal = None
    await cluster.settle()
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("True", "AllCurrent")
    assert "password.previous" not in cluster.data()
    assert cluster.pods["api"].restarted_for == [2]


async def test_no_workload_restarts_and_none_is_rolled_back_meanwhile() -> None:
    cluster = Blind({"data": [{"name": "password", "generate": {"password": {}}}]})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.refusal = FAILED
    cluster.doomed = {2}
    ask(cluster, "now")
    while facts(cluster).current_number != 2:
        cluster.tell()
        await cluster.look()
    cluster.restart()  # a process that has not published the revision reads the pods
    await pass_time(cluster)
    assert cluster.pods["api"].restarted_for == []
    assert facts(cluster).current_number == 2
    assert condition(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown", UNKNOWN)

    cluster.refusal = None
    while not cluster.pods["api"].restarted_for:
        cluster.tell()
        await cluster.look()
    cluster.refusal = FAILED
    await pass_time(cluster)
    assert facts(cluster).current_number == 2
    assert condition(cluster, "WorkloadsCurrent")[0] != "True"

    cluster.refusal = None
    await cluster.settle()
    assert facts(cluster).current_number == 1
