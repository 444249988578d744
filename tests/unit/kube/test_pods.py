"""Which pods count as a workload's, which are evicted, and how often they are read during a rollout."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.core.observation.workload import NOT_READY, Controller, Pod, PodsSeen, Trouble, Workload
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.pod_lists import PodLists
from keyturn.kube.pods import evict_pod, pod_of
from tests.support.cases import case, cases
from tests.unit.core.builders import NOW, seconds, workload


class Pods:
    """An API server that has prepared pages of pods."""

    def __init__(self, *pages: Page) -> None:
        self._pages = pages

    async def pages(self, path: str, params: Any, *, limit: int) -> AsyncIterator[Page]:
        assert (path, limit) == ("/api/v1/namespaces/shop/pods", 500)
        assert params["labelSelector"] == "app=api"
        assert params["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"
        for page in self._pages:
            yield page


def made_by(owner: Any = ("ReplicaSet", "api-7f", "u"), name: str = "api-1") -> dict[str, Any]:
    kind, of, uid = owner or ("", "", "")
    owners: list[dict[str, Any]] = [{"kind": "Node", "name": "n", "uid": "n"}]
    owners += [{"kind": kind, "name": of, "uid": uid, "controller": True}] if owner else []
    made = body(ready="True")
    made["metadata"] |= {"name": name, "labels": {"pod-template-hash": "7f"}, "ownerReferences": owners}
    return made


def pods(*pages: Page) -> tuple[Pod, ...]:
    lists = PodLists(Pods(*pages), lambda: 0.0)  # type: ignore[arg-type]  # a fake
    return asyncio.run(lists.of_workload(workload("api"), NOW, NOW)).pods


@cases(
    ("owner", "counts"),
    case("of its ReplicaSet", ("ReplicaSet", "api-7f", "u"), True),
    case("of another Deployment", ("ReplicaSet", "web-7f", "u"), False),
    case("of a StatefulSet", ("StatefulSet", "api-7f", "u"), False),
)
def test_a_pod_counts_by_its_controller(owner: Any, *, counts: bool) -> None:
    assert bool(pods(Page([made_by(owner)], "1", first=True))) == counts


@pytest.mark.parametrize("owners", [None, [], [{"uid": "u"}], [{"uid": "u", "controller": False}]], ids=str)
def test_a_pod_that_no_controller_made_is_none_of_a_workload(owners: Any) -> None:
    made = made_by()
    made["metadata"]["ownerReferences"] = owners
    assert pods(Page([made], "1", first=True)) == ()


def test_a_list_that_begins_again_replaces_what_came_before() -> None:
    lists = ("a", True), ("b", False), ("bc", True), ("d", False)
    pages = [Page([made_by(name=name) for name in names], "1", first=first) for names, first in lists]
    assert [pod.name for pod in pods(*pages)] == ["b", "c", "d"]


class Evictions:
    """Notes the evictions that are requested."""

    def __init__(self, error: errors.ApiError | None = None) -> None:
        self.error = error
        self.requested: list[tuple[str, dict[str, Any]]] = []

    async def create(self, path: str, body: dict[str, Any]) -> None:
        self.requested.append((path, body))
        if self.error:
            raise self.error


def evict(api: Evictions) -> None:
    asyncio.run(evict_pod(api, "shop", "report-x", "uid-1"))  # type: ignore[arg-type]  # a fake


def test_a_pod_is_evicted_by_its_uid() -> None:
    api = Evictions()
    evict(api)

    ((path, body),) = api.requested
    assert path == "/api/v1/namespaces/shop/pods/report-x/eviction"
    assert (body["kind"], body["deleteOptions"]) == ("Eviction", {"preconditions": {"uid": "uid-1"}})


@pytest.mark.parametrize("kind", [errors.NotFound, errors.Conflict])
def test_a_pod_that_is_gone_needs_no_eviction(kind: type[errors.ApiError]) -> None:
    evict(Evictions(kind("create", "/x", 404, "Gone")))


@pytest.mark.parametrize("kind", [errors.Throttled, errors.Forbidden])
def test_a_rejected_eviction_is_an_error(kind: type[errors.ApiError]) -> None:
    with pytest.raises(kind):
        evict(Evictions(kind("create", "/x", 429, "TooManyRequests")))


# Reads during a rollout

ONE = workload(kind="StatefulSet", name="web", marker="db=2", settled=False)
STUCK = workload(kind="StatefulSet", name="web", marker="db=1", settled=False, templates=("before", "before"))


class Server:
    """Lists pods, counts how often, and says what may be done."""

    def __init__(self) -> None:
        self.now = NOW
        self.lists = 0
        self.forbidden = False
        self.asked: list[Any] = []
        self.pages_of_one = 1
        self.allowed: bool | type[errors.ApiError] = True
        self.looks = PodLists(self, lambda: 0.0)  # type: ignore[arg-type]  # a fake

    async def pages(self, path: str, params: Mapping[str, str], *, limit: int) -> AsyncIterator[Page]:
        assert (path, params["labelSelector"], limit) == (paths.pods("shop"), "app=web", 500)
        self.lists += 1
        if self.forbidden:
            raise errors.Forbidden("list", path, 403, "Forbidden")
        for number in range(self.pages_of_one):
            yield Page([body()], "1", first=number == 0)

    async def request(self, path: str, asked: Any) -> Any:
        self.asked.append((path, asked["spec"]))
        if not isinstance(self.allowed, bool):
            raise self.allowed("request", path, 403, "Forbidden")
        return {"status": {"allowed": self.allowed}}

    async def look(self, after: float) -> PodsSeen:
        self.now = NOW + seconds(after)
        return await self.look_at(ONE, NOW)

    async def look_at(self, one: Workload, began: datetime) -> PodsSeen:
        """Read pods when they are due, as a look does while a rollout is under way."""
        first = began + seconds(10)
        return self.looks.last(one, first, self.now) or await self.looks.of_workload(one, began, self.now)


async def test_a_rollout_that_is_over_soon_has_no_pod_read() -> None:
    server = Server()
    found = await server.look(9.9)
    assert (server.lists, found.again, found.pods) == (0, NOW + seconds(10), ())


async def test_pods_are_read_more_and_more_seldom() -> None:
    server = Server()
    moments: list[float] = []
    due: datetime = NOW
    while due < NOW + timedelta(minutes=10):
        after = (due - NOW).total_seconds()
        lists = server.lists
        due = (await server.look(after)).again or due
        moments += [after] if server.lists > lists else []
        await server.look(after + 0.1)
    assert [round(moment) for moment in moments] == [
        *(10, 15, 20, 25, 31, 39, 49, 61, 76, 95, 119, 149, 186, 233, 291, 364, 455, 568)
    ]


async def test_a_rollout_that_lasts_is_looked_at_every_five_minutes() -> None:
    server = Server()
    found = await server.look(86_400)
    assert found.again == NOW + timedelta(days=1, minutes=5)


async def test_many_pods_are_read_less_often() -> None:
    server = Server()
    server.pages_of_one = 4
    found = await server.look(10)
    assert (len(found.pods), found.again) == (4, NOW + seconds(30))


async def test_another_rollout_is_looked_at_again() -> None:
    server = Server()
    await server.look(600)
    for other in (STUCK, replace(ONE, restarted=server.now)):
        found = await server.look_at(other, server.now)
        assert (server.lists, found.again, found.pods) == (1, server.now + seconds(10), ())


async def test_what_was_forgotten_is_read_again() -> None:
    server = Server()
    await server.look(20)
    server.looks.forget(ONE.key)
    await server.look(20)
    assert server.lists == 2


async def test_what_is_long_over_is_not_kept() -> None:
    server = Server()
    await server.look(20)
    server.now += timedelta(hours=1)
    await server.look_at(workload("web", marker="db=9", settled=False), NOW)
    assert len(server.looks._workloads) == 1


@pytest.mark.parametrize(
    ("allowed", "deletable"), [(True, True), (False, False), (errors.Forbidden, False)], ids=str
)
async def test_the_right_to_delete_is_asked_for_where_a_pod_is_stuck(
    *, allowed: bool | type[errors.ApiError], deletable: bool
) -> None:
    server = Server()
    server.allowed = allowed
    found = await server.look_at(STUCK, NOW - seconds(60))

    assert found.deletable is deletable
    asked = {"namespace": "shop", "verb": "delete", "group": "", "resource": "pods"}
    assert server.asked == [(paths.OWN_ACCESS_REVIEWS, {"resourceAttributes": asked})]


async def test_no_right_is_asked_for_where_no_pod_is_stuck() -> None:
    server = Server()
    await server.look(60)
    assert (server.asked, server.lists) == ([], 1)


async def test_what_is_read_meanwhile_counts_as_a_look() -> None:
    server = Server()
    server.now = NOW + seconds(100)
    await server.looks.of_workload(ONE, NOW, server.now)
    assert (await server.look(124)).again == NOW + seconds(125)
    assert server.lists == 1


async def test_pods_that_may_not_be_read_are_asked_for_again_in_a_minute() -> None:
    server = Server()
    server.forbidden = True
    with pytest.raises(errors.Forbidden):
        await server.look(10)
    found = await server.look(69)
    assert (server.lists, found.forbidden, found.again, found.pods) == (1, True, NOW + seconds(70), ())


CREATED = datetime(2026, 11, 24, 11, 59, tzinfo=UTC)

SAID = "what-the-container-said"
START = "2026-11-24T12:00:00Z"
A_SECOND_LATER = "2026-11-24T12:00:01Z"
TWO_LATER = "2026-11-24T12:00:02Z"
ENDED = {"terminated": {"exitCode": 1, "reason": "Error", "message": SAID}}
LOOPS = {"waiting": {"reason": "CrashLoopBackOff", "message": SAID}}


def container(name: str = "main", *, ready: bool = False, restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "image": "example.org/app:1", **more}


def condition(type_: str, status: str, **more: str) -> dict[str, str]:
    return {"type": type_, "status": status, "lastTransitionTime": START, "message": SAID, **more}


def body(*containers: dict[str, Any], ready: str = "False", **status: Any) -> dict[str, Any]:
    owner = {"kind": "StatefulSet", "name": "web", "uid": "uid-of-web", "controller": True}
    metadata = {
        "name": "web-1",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-24T11:59:00Z",
        "labels": {"controller-revision-hash": "web-abc"},
        "annotations": {"keyturn.dev/secret-versions": "db=2"},
        "ownerReferences": [{"uid": "another"}, owner],
    }
    facts = {
        "phase": "Running",
        "startTime": START,
        "conditions": [condition("PodScheduled", "True"), condition("Ready", ready)],
        "containerStatuses": list(containers),
    }
    return {"metadata": metadata, "status": facts | status}


def read(*containers: dict[str, Any], **status: Any) -> Pod:
    return pod_of(body(*containers, **status))


def test_a_pod_is_read_whole() -> None:
    assert read(container(restarts=4, state=LOOPS, lastState=ENDED)) == Pod(
        name="web-1",
        uid="u",
        version="7",
        created=CREATED,
        began=CREATED,
        owner=("StatefulSet", "web"),
        controller=Controller("StatefulSet", "web", "uid-of-web"),
        template="web-abc",
        marker="db=2",
        ready=False,
        never_ready=True,
        restarts=4,
        crashes=4,
        trouble=Trouble("CrashLoopBackOff", "main", 1),
    )


def test_a_pod_that_is_new_says_little() -> None:
    made = body()
    made["metadata"] |= {"labels": None, "annotations": None}
    made["status"] = {}
    found = pod_of(made)
    assert (found.template, found.marker, found.ready, found.never_ready) == ("", "", False, True)
    assert (found.restarts, found.crashes, found.trouble) == (0, 0, None)


def test_a_pod_that_is_terminating_is_since_it_was_asked_to_end() -> None:
    made = body(ready="True")
    made["metadata"] |= {"deletionTimestamp": "2026-11-24T12:10:30Z", "deletionGracePeriodSeconds": 30}
    found = pod_of(made)
    assert (found.leaves, found.ready) == (datetime(2026, 11, 24, 12, 10, tzinfo=UTC), True)


@pytest.mark.parametrize("seconds", [10**11, 2**63 - 1], ids=["3000 years", "the longest"])
def test_a_pod_with_a_grace_period_of_centuries_is_terminating(seconds: int) -> None:
    made = body()
    made["metadata"] |= {"deletionTimestamp": "2026-11-24T12:10:30Z", "deletionGracePeriodSeconds": seconds}

    assert pod_of(made).leaves == datetime(2026, 11, 24, 12, 10, 30, tzinfo=UTC)


@cases(
    ("status", "never"),
    case("not ready since its start", {}, True),
    case(
        "in the next second: times are cut",
        {"conditions": [condition("Ready", "False", lastTransitionTime=A_SECOND_LATER)]},
        True,
    ),
    case(
        "it turned later", {"conditions": [condition("Ready", "False", lastTransitionTime=TWO_LATER)]}, False
    ),
    case("it is ready", {"conditions": [condition("Ready", "True")]}, False),
    case("it is not known", {"conditions": [condition("Ready", "Unknown")]}, False),
    case("its start is not known", {"startTime": None}, False),
    case("the time is not known", {"conditions": [{"type": "Ready", "status": "False"}]}, False),
    case("a kubelet has it, and said nothing of it", {"conditions": None}, False),
)
def test_a_pod_was_never_ready_only_where_that_is_shown(status: dict[str, Any], *, never: bool) -> None:
    assert read(**status).never_ready is never


@cases(
    ("containers", "restarts", "crashes"),
    case("it waits for the next restart", [container(restarts=3, state=LOOPS)], 3, 3),
    case("it runs again", [container(restarts=3, state={"running": {}}, lastState=ENDED)], 3, 3),
    case("the first end, as a kubelet tells it", [container(restarts=3, state=ENDED)], 3, 0),
    case("it has got over it", [container(ready=True, restarts=3, lastState=ENDED)], 3, 0),
    case(
        "another one has",
        [
            container("a", ready=True, restarts=9, lastState=ENDED),
            container("b", restarts=1, lastState=ENDED),
        ],
        9,
        1,
    ),
    case("none", [], 0, 0),
)
def test_restarts_are_counted_by_container(
    containers: list[dict[str, Any]], restarts: int, crashes: int
) -> None:
    found = read(*containers)
    assert (found.restarts, found.crashes) == (restarts, crashes)


def test_containers_of_the_start_count_too() -> None:
    first = container("first", restarts=4, state=LOOPS, lastState=ENDED)
    found = read(container(state={"waiting": {"reason": "PodInitializing"}}), initContainerStatuses=[first])
    assert (found.crashes, found.trouble) == (4, Trouble("CrashLoopBackOff", "first", 1))


@cases(
    ("status", "trouble"),
    case(
        "an image",
        container(state={"waiting": {"reason": "ImagePullBackOff", "message": SAID}}),
        Trouble("ImagePullBackOff", "main", None, "example.org/app:1"),
    ),
    case(
        "what is no name of an image",
        container(image="what ever", state={"waiting": {"reason": "InvalidImageName"}}),
        Trouble("InvalidImageName", "main"),
    ),
    case(
        "a key that is not there",
        container(state={"waiting": {"reason": "CreateContainerConfigError"}}),
        Trouble("CreateContainerConfigError", "main"),
    ),
    case("it has ended", container(state=ENDED), Trouble("Error", "main", 1)),
    case(
        "it was restarted",
        container(state={"running": {}}, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        Trouble("OOMKilled", "main", 137),
    ),
    case("it runs", container(state={"running": {}}), Trouble(NOT_READY, "main")),
    case(
        "a reason that is none",
        container(state={"waiting": {"reason": f"it said: {SAID}"}}),
        Trouble("Unknown", "main"),
    ),
    case("no reason", container(state={"waiting": {"message": SAID}}), Trouble("Unknown", "main")),
    case("it is ready", container(ready=True), None),
)
def test_the_reason_is_read_and_never_the_message(status: dict[str, Any], trouble: Trouble | None) -> None:
    found = read(status)
    assert found.trouble == trouble
    assert SAID not in repr(found)


def test_what_does_not_pass_comes_first() -> None:
    starts, fails = (
        container("a", state={"waiting": {"reason": "ContainerCreating"}}),
        container("b", state=ENDED),
    )
    assert read(starts, fails).trouble == Trouble("Error", "b", 1)
    assert read(starts).trouble == Trouble("ContainerCreating", "a")


def test_a_pod_without_a_node_says_why() -> None:
    waits = condition("PodScheduled", "False", reason="Unschedulable")
    assert read(conditions=[waits], startTime=None, phase="Pending").trouble == Trouble("Unschedulable")
