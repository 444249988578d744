"""A workload whose restart is refused keeps no other from its own, and is told of."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.labels import MARKER, ROLLBACK, ROTATE
from keyturn.kube import errors
from keyturn.kube.errors import ApiError
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import KEY, MANAGED, Cluster
from tests.simulation.test_api_errors import Posted
from tests.support.cases import case, cases

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {"length": 32}}}],
    "rollout": {"debounce": "5s"},
}
HOLD = {**SPEC, "rollout": {"debounce": "5s", "onFailure": "Hold"}}


class Denying(Cluster):
    """Refuses to have one workload restarted, or some."""

    refusal: type[ApiError] | None = None
    refused: tuple[str, ...] = ("api",)
    tries = 0

    async def patch(self, path: str, *arguments: Any, **options: Any) -> Body:
        if path.rpartition("/")[2] in self.refused:
            self.tries += 1
            if self.refusal:
                raise self.refusal("patch", path, 403, self.refusal.__name__)
        return await super().patch(path, *arguments, **options)

    def rotate(self) -> None:
        self.objects[MANAGED]["metadata"]["annotations"]["keyturn.dev/rotate"] = str(self.now)
        self.touch_managed()

    def told(self) -> dict[str, tuple[str, str | None]]:
        """Return the state and the reason that the status has of each workload."""
        return {one["name"]: (one["state"], one.get("reason")) for one in self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.objects[MANAGED]["status"]["workloads"]
        return rows

    def condition(self, type_: str) -> tuple[str, str] | None:
        found = (one for one in self.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
        return next(((one["status"], one["reason"]) for one in found), None)

    def message(self, type_: str) -> str:
        found = (one for one in self.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
        return str(next(one["message"] for one in found))

    async def pass_time(self, minutes: float) -> None:
        """Let the operator look whenever it wants to, and rollouts end, for some minutes."""
        end = self.now + timedelta(minutes=minutes)
        while self.now < end:
            self.tell()
            until = await self.look()
            self.finish_rollouts()
            self.now = min(end, max(self.now, until or end))


async def rotated(
    spec: dict[str, Any], refusal: type[ApiError] = errors.Forbidden, of: tuple[str, ...] = ("api",)
) -> tuple[Denying, Posted]:
    """Rotate what two workloads use, of which some may not be restarted."""
    cluster, posted = Denying(spec), Posted()
    cluster.refused = of
    await cluster.settle()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    for name in ("api", "web"):
        cluster.add_workload(name, None)
    await cluster.settle()
    cluster.refusal = refusal
    cluster.rotate()
    await cluster.pass_time(2)
    return cluster, posted


@pytest.mark.parametrize(
    "refusal", [errors.Forbidden, errors.Invalid, errors.BadRequest, errors.ApiError, errors.NotFound]
)
async def test_the_others_are_restarted(refusal: type[ApiError]) -> None:
    cluster, _ = await rotated(SPEC, refusal)

    assert cluster.pods["web"].restarted_for == [2]
    assert cluster.told()["web"] == ("Current", None)
    assert cluster.told()["api"][0] == "Pending"


async def test_the_refusal_is_named_and_reported_once() -> None:
    cluster, posted = await rotated(SPEC)

    assert cluster.told()["api"] == ("Pending", "Forbidden")
    assert cluster.condition("WorkloadsCurrent") == ("False", "RollingOut")
    assert cluster.condition("Rotating") == ("True", "RollOut")
    (message,) = (one["message"] for one in cluster.rows() if one["name"] == "api")
    assert message in cluster.message("WorkloadsCurrent")
    assert message in cluster.message("Rotating")
    assert posted.reasons.count("Forbidden") == 1
    assert 2 <= cluster.tries <= 7  # each time later


async def test_it_is_restarted_when_it_may_be() -> None:
    cluster, _ = await rotated(SPEC)
    cluster.refusal = None
    await cluster.pass_time(5)

    assert cluster.pods["api"].restarted_for == [2]
    assert cluster.condition("Rotating") == ("False", "Idle")


async def test_who_is_refused_for_as_long_as_the_deadline_has_failed() -> None:
    cluster, posted = await rotated(SPEC)
    await cluster.pass_time(10)

    assert cluster.objects[MANAGED]["status"]["revision"] == 1
    assert cluster.pods["web"].restarted_for == [2, 1]
    assert "RolledBack" in posted.reasons


async def test_who_is_held_is_tried_on() -> None:
    cluster, _ = await rotated(HOLD)
    await cluster.pass_time(10)
    assert cluster.told()["api"] == ("Failed", "Forbidden")
    stalled = cluster.condition("Stalled")
    assert stalled
    assert stalled[1] == "RolloutFailed"

    cluster.refusal = None
    await cluster.pass_time(6)

    assert cluster.pods["api"].restarted_for == [2]
    assert cluster.condition("Stalled") is None


async def test_another_process_retries_who_is_held_with_the_same_back_off() -> None:
    cluster, _ = await rotated(HOLD)
    await cluster.pass_time(10)
    cluster.restart()
    cluster.context.since = cluster.now
    began, tries = cluster.now, []
    while cluster.now < began + timedelta(minutes=4):
        before = cluster.tries
        cluster.tell()
        until = await cluster.look()
        tries += [cluster.now - began] * (cluster.tries - before)
        assert until
        cluster.now = max(cluster.now, until)

    pauses = [round((later - earlier).total_seconds()) for earlier, later in itertools.pairwise(tries)]
    assert [pause - 1 for pause in pauses[:3]] == [2, 4, 8]  # each look takes a second


@cases(("spec", "minutes"), case("it waits", SPEC, 0), case("it has failed", HOLD, 10))
async def test_a_restart_of_the_operator_writes_nothing_and_reports_nothing(
    spec: dict[str, Any], minutes: int
) -> None:
    cluster, posted = await rotated(spec)
    await cluster.pass_time(minutes)
    before = cluster.objects[MANAGED]["status"]
    told = list(posted.reasons)

    cluster.restart()
    cluster.context.since = cluster.now
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    tries, writes = cluster.tries, cluster.writes
    await cluster.pass_time(2)

    assert cluster.tries > tries
    assert (cluster.writes, cluster.objects[MANAGED]["status"], posted.reasons) == (writes, before, told)


async def test_nothing_is_remembered_of_an_earlier_revision() -> None:
    cluster, _ = await rotated(SPEC)
    cluster.rotate()
    await cluster.pass_time(2)

    assert {one.number for one in cluster.memory.restarts.denials(KEY).values()} == {3}


async def test_an_api_server_in_trouble_is_waited_for_by_all() -> None:
    cluster, posted = await rotated(SPEC, errors.Unavailable)

    assert cluster.told()["api"] == ("Pending", "WaitingForTurn")
    assert cluster.memory.restarts.denials(KEY) == {}
    assert "Forbidden" not in posted.reasons


async def test_an_earlier_rejection_says_nothing_about_a_rollback_to_that_revision() -> None:
    cluster, _ = await rotated(SPEC, of=("api", "web"))
    cluster.refusal = None
    await cluster.pass_time(5)
    cluster.rotate()
    await cluster.pass_time(15)
    assert cluster.objects[MANAGED]["status"]["revision"] == 3

    cluster.objects[MANAGED]["metadata"]["annotations"]["keyturn.dev/rollback"] = "2"
    cluster.touch_managed()
    for _ in range(3):
        cluster.tell()
        await cluster.look()

    assert cluster.told() == {"api": ("Rolling", "RollingOut"), "web": ("Pending", "WaitingForTurn")}
    assert cluster.condition("Stalled") is None


class Recreated(Cluster):
    """Checks the UID of a restart, as the API server does."""

    tries = 0

    async def patch(self, path: str, *arguments: Any, **options: Any) -> Body:
        if path.endswith("/deployments/api"):
            self.tries += 1
            if path not in self.objects:
                raise errors.NotFound("patch", path, 404, "NotFound")
            if arguments[0]["metadata"]["uid"] != self.objects[path]["metadata"]["uid"]:
                raise errors.Conflict("patch", path, 409, "Conflict")
        return await super().patch(path, *arguments, **options)


async def due() -> Recreated:
    """Let a restart be due, which the operator knows."""
    cluster = Recreated({**SPEC, "rollout": {"debounce": "0s"}})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.change_managed()["rotation"] = {"trigger": "now"}
    cluster.tell()
    return cluster


async def test_a_workload_that_was_created_again_is_restarted_before_its_watch_reports_it() -> None:
    cluster = await due()
    body = cluster.objects[cluster.path_of("api")]
    body["metadata"]["uid"] = "uid-of-another"
    cluster._stamp(body)

    for _ in range(3):
        await cluster.look()

    assert cluster.pods["api"].restarted_for == [2]
    assert cluster.tries == 2


async def test_a_workload_that_was_deleted_before_its_watch_reports_it_is_not_asked_for_again_and_again() -> (
    None
):
    cluster = await due()
    cluster.objects.pop(cluster.path_of("api"))
    for _ in range(3):
        await cluster.look()
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (cluster.tries, row["state"], row["reason"]) == (1, "Pending", "NotFound")


# Another controller restores a pod template a moment after each restart: that is reported, not fought


class Reverted(Cluster):
    """Its workloads have their template back before the next pass, and no pod was replaced."""

    restarts = 0
    keeps_pods = True

    def _restarted(self, path: str, body: Body) -> Body:
        self.restarts += 1
        return super()._restarted(path, body)

    def _replace_pods(self, name: str, marker: str) -> None:
        if not self.keeps_pods:
            super()._replace_pods(name, marker)

    def revert(self) -> None:
        for name in self.pods:
            put_marker_back(self, name)


def put_marker_back(cluster: Cluster, name: str, marker: str = "") -> None:
    """Give a pod template the marker that another controller has of it."""
    body = cluster.objects[cluster.path_of(name)]
    annotations = body["spec"]["template"]["metadata"]["annotations"]
    if annotations.pop(MARKER, "") != marker:
        body["metadata"]["managedFields"] = []
        body["metadata"]["generation"] += 1
        body["status"]["observedGeneration"] = body["metadata"]["generation"]
        cluster._stamp(body)
    annotations |= {MARKER: marker} if marker else {}


async def test_a_workload_whose_template_is_restored_at_once_is_restarted_once() -> None:
    data = [{"name": "password", "generate": {"password": {}}}]
    rollout = {"debounce": "0s", "maxConcurrent": 2}
    cluster = Reverted({"data": data, "rotation": {"overlap": "0s"}, "rollout": rollout})
    await cluster.settle()
    for name in ("api", "web"):
        cluster.add_workload(name, None)
    await cluster.settle()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "once"
    cluster.touch_managed()
    for _ in range(12):
        cluster.tell()
        cluster.now += timedelta(milliseconds=10)
        await reconcile(KEY, cluster.memory, cluster.context)
        cluster.revert()

    def assert_told() -> None:
        rows = cluster.objects[MANAGED]["status"]["workloads"]
        assert [(row["reason"], row["restarted"]) for row in rows] == [("MarkerRemoved", 2)] * 2
        assert cluster.restarts == 2

    assert_told()
    cluster.restart()
    await cluster.settle()
    assert_told()


async def test_a_marker_that_went_with_a_rollback_is_written_at_the_next_return() -> None:
    """The owner of the workload undoes its restart at the rollback, so that Keyturn restarts nothing."""
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Cluster({"data": data, "rotation": {"overlap": "0s"}, "rollout": {"debounce": "0s"}})
    await cluster.settle()
    cluster.now += timedelta(minutes=1)
    cluster.add_workload("api", None)
    await cluster.settle()
    await asked(cluster, ROTATE, "once")
    put_marker_back(cluster, "api")
    await asked(cluster, ROLLBACK, "1")
    cluster._replace_pods("api", "db=1")
    await cluster.settle()
    await asked(cluster, ROLLBACK, "2")
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (row["state"], row["revision"], row.get("reason")) == ("Current", 2, None)
    assert cluster.pods["api"].read == cluster.data()


@pytest.mark.parametrize("pause", [timedelta(milliseconds=100), timedelta(seconds=30)])
async def test_a_template_that_is_restored_with_a_revision_that_was_rolled_back_is_not_fought(
    pause: timedelta,
) -> None:
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Reverted({"data": data, "rotation": {"overlap": "0s"}, "rollout": {"debounce": "0s"}})
    cluster.keeps_pods = False
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    for text in ("once", "twice"):
        await asked(cluster, ROTATE, text)
    cluster.restarts, cluster.keeps_pods = 0, True
    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "2"
    cluster.touch_managed()
    for _ in range(40):
        cluster.tell()
        await reconcile(KEY, cluster.memory, cluster.context)
        cluster.now += pause
        put_marker_back(cluster, "api", "db=3")
    cluster.restart()
    await cluster.settle()
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (row["revision"], row["reason"], row["restarted"]) == (3, "MarkerRemoved", 2)
    assert cluster.restarts == 1


async def asked(cluster: Cluster, annotation: str, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = text
    cluster.touch_managed()
    await cluster.settle()
    cluster.now += timedelta(hours=1)
