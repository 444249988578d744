"""Which pods of a namespace use Secrets and since when, and that all that ask at one time share one list."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakSet

import pytest

from keyturn.api.workloads import Via
from keyturn.core.observation.workload import Pod, Use
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.pod_lists import ListPaused, PodLists, holding_pod_of
from tests.support.cases import case, cases

CREATED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ENV: dict[str, Any] = {"envFrom": [{"secretRef": {"name": "auth"}}]}
FILES: dict[str, Any] = {"volumes": [{"name": "files", "secret": {"secretName": "auth"}}]}
PULLS: dict[str, Any] = {"imagePullSecrets": [{"name": "auth"}]}


def written(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def started(minutes: int, kind: str = "running") -> dict[str, Any]:
    return {"state": {kind: {"startedAt": written(CREATED + timedelta(minutes=minutes))}}}


def ended(minutes: int) -> dict[str, Any]:
    last = {"terminated": {"finishedAt": written(CREATED + timedelta(minutes=minutes))}}
    return {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}


def body(
    *statuses: dict[str, Any],
    containers: int = 1,
    owner: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Make a pod with containers c0, c1, … and the states of some of them."""
    metadata: dict[str, Any] = {"name": "report-x", "uid": "uid-1", "resourceVersion": "7"}
    metadata["creationTimestamp"] = written(CREATED)
    if owner:
        metadata["ownerReferences"] = [{"uid": "other", "kind": "Other"}, {**owner, "controller": True}]
    spec_: dict[str, Any] = {"nodeName": "node", "containers": []}
    spec_["containers"] = [{"name": f"c{number}", **ENV} for number in range(containers)]
    shown = [{"name": f"c{number}", **status} for number, status in enumerate(statuses)]
    return {
        "metadata": metadata | {"labels": labels or {}},
        "spec": spec_ | spec,
        "status": {"containerStatuses": shown},
    }


def read(pod: dict[str, Any]) -> Pod | None:
    return holding_pod_of(pod, {})


def began(pod: dict[str, Any]) -> int:
    """Return after how many minutes of its life a pod has read its Secrets."""
    found = read(pod)
    assert found is not None
    return int((found.began - CREATED) / timedelta(minutes=1))


@cases(
    ("pod", "minutes"),
    case("without a status from its creation on", body(), 0),
    case("from the start of its container on", body(started(5)), 5),
    case("from the start of the oldest container on", body(started(9), started(5), containers=2), 5),
    case("one container without a state", body(started(9), containers=2), 0),
    case("an empty state", body({}), 0),
    case("a container that crashes will be started after its last end", body(ended(7)), 7),
    case("an ended container counts", body(started(3, "terminated"), started(9), containers=2), 3),
    case("files may be older by the kubelet's sync", body(started(9), **FILES), 7),
    case("but not older than the pod", body(started(1), **FILES), 0),
    case("a pull reads its Secret again", body(started(9), **PULLS), 9),
)
def test_a_pod_has_read_its_secrets_since(pod: dict[str, Any], minutes: int) -> None:
    assert began(pod) == minutes


def test_an_init_container_counts_after_its_end() -> None:
    pod = body(started(9), initContainers=[{"name": "first", **ENV}])
    pod["status"]["initContainerStatuses"] = [{"name": "first", **started(2, "terminated")}]

    assert began(pod) == 2


@cases(
    "pod",
    case("no node has it", body(started(1), containers=1, nodeName="")),
    case("it uses no Secret", body(started(1), containers=0)),
    case("only the kubelet reads its Secret", body(started(1), containers=0, **PULLS)),
)
def test_a_pod_holds_nothing_if(pod: dict[str, Any]) -> None:
    assert read(pod) is None


@cases(
    ("spec", "via"),
    case("envFrom", {}, Via.ENV_FROM),
    case(
        "an ephemeral container",
        {
            "ephemeralContainers": [
                {"env": [{"valueFrom": {"secretKeyRef": {"name": "auth", "key": "password"}}}]}
            ]
        },
        Via.ENV,
    ),
    case("a volume", FILES, Via.VOLUME),
    case(
        "a projected volume",
        {"volumes": [{"projected": {"sources": [{"secret": {"name": "auth"}}]}}]},
        Via.PROJECTED,
    ),
)
def test_a_pod_is_matched_by_its_own_spec(spec: dict[str, Any], via: Via) -> None:
    found = read(body(started(1), **spec))
    use = found.use_of("auth") if found else None

    assert use is not None
    assert via in use.via


def owner(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "uid": f"uid-of-{name}"}


@cases(
    ("pod", "expected"),
    case("none", body(), ("Pod", "report-x")),
    case("a Job", body(owner=owner("Job", "report")), ("Job", "report")),
    case(
        "a Deployment",
        body(owner=owner("ReplicaSet", "api-5d8f"), labels={"pod-template-hash": "5d8f"}),
        ("Deployment", "api"),
    ),
    case(
        "an Argo Rollout",
        body(owner=owner("ReplicaSet", "api-5d8f"), labels={"rollouts-pod-template-hash": "5d8f"}),
        ("Rollout", "api"),
    ),
    case("a bare ReplicaSet", body(owner=owner("ReplicaSet", "api-5d8f")), ("ReplicaSet", "api-5d8f")),
    case(
        "a ReplicaSet with a foreign hash",
        body(owner=owner("ReplicaSet", "other"), labels={"pod-template-hash": "5d8f"}),
        ("ReplicaSet", "other"),
    ),
    case("another operator's kind", body(owner=owner("Kafka", "events")), ("Kafka", "events")),
)
def test_a_pod_shows_its_topmost_owner(pod: dict[str, Any], expected: tuple[str, str]) -> None:
    found = read(pod)
    assert found is not None
    assert found.owner == expected


class Api:
    """An API server whose list of pods takes until it is released."""

    def __init__(self, *pages: Page, error: errors.ApiError | None = None) -> None:
        self.released = asyncio.Event()
        self.lists: list[dict[str, str]] = []
        self._pages = pages
        self._error = error

    async def pages(self, path: str, params: dict[str, str], *, limit: int) -> AsyncIterator[Page]:
        assert (path, limit) == (paths.pods("shop"), 500)
        self.lists.append(params)
        await self.released.wait()
        if self._error:
            raise self._error
        for page in self._pages:
            yield page


def reader(api: Api) -> PodLists:
    return PodLists(api, asyncio.get_running_loop().time)  # type: ignore[arg-type]  # a fake


def named(name: str) -> dict[str, Any]:
    pod = body(started(1))
    pod["metadata"]["name"] = name
    return pod


async def test_requests_during_a_list_wait_in_no_worker_and_come_again_at_its_end() -> None:
    now, woken = [1.0], list[float]()
    api = Api(Page([named("a")], "1", first=True))
    pods = PodLists(api, lambda: now[0])  # type: ignore[arg-type]  # a fake
    first = asyncio.create_task(pods.of_namespace("shop", 1.0))
    await asyncio.sleep(0)
    for since in (1.0, 1.1):
        with pytest.raises(ListPaused):
            await pods.of_namespace("shop", since, partial(woken.append, since))
    assert woken == []
    api.released.set()
    found = await first

    assert woken == [1.0, 1.1]
    assert await pods.of_namespace("shop", 1.0) is found, "all that it serves share it"
    now[0] = 1.1
    assert await pods.of_namespace("shop", 1.1) is not found, "it started before this request"
    assert len(api.lists) == 2


async def test_a_list_that_is_cancelled_wakes_the_requests_that_wait_for_its_end() -> None:
    woken = list[str]()
    api = Api()
    pods = reader(api)
    first = asyncio.create_task(pods.of_namespace("shop", 0.0))
    await asyncio.sleep(0)
    with pytest.raises(ListPaused):
        await pods.of_namespace("shop", 0.0, partial(woken.append, "second"))
    first.cancel()
    await asyncio.wait([first])

    assert woken == ["second"]


@pytest.mark.parametrize(
    ("took", "pause"),
    [(0.02, 0.38), (3.0, 2.0)],
    ids=["nineteen times as long", "not longer than two seconds"],
)
async def test_a_namespace_is_not_listed_all_the_time(took: float, pause: float) -> None:
    now = [100.0]

    class SlowApi(Api):
        async def pages(self, path: str, params: dict[str, str], *, limit: int) -> AsyncIterator[Page]:
            async for page in super().pages(path, params, limit=limit):
                now[0] += took
                yield page

    api = SlowApi(Page([named("a")], "1", first=True))
    api.released.set()
    pods = PodLists(api, lambda: now[0])  # type: ignore[arg-type]  # a fake
    began = now[0]
    first = await pods.of_namespace("shop", began)
    wanted = now[0]

    with pytest.raises(ListPaused) as paused:
        await pods.of_namespace("shop", wanted)
    assert paused.value.seconds == pytest.approx(pause)
    assert await pods.of_namespace("shop", began) is first, "an earlier request is served"

    now[0] += paused.value.seconds
    later = await pods.of_namespace("shop", wanted)
    assert later is not first
    assert await pods.of_namespace("shop", wanted) is later, "all that waited share one list"


async def test_a_list_that_starts_again_replaces_its_first_pages() -> None:
    api = Api(
        Page([named("a")], "1", first=True),
        Page([named("b")], "2", first=True),
        Page([named("c"), body(containers=0)], "2", first=False),
    )
    api.released.set()
    found = await reader(api).of_namespace("shop", 0)

    assert [pod.name for pod in found.pods] == ["b", "c"]


async def test_pods_that_have_ended_are_not_listed() -> None:
    api = Api()
    api.released.set()
    await reader(api).of_namespace("shop", 0)

    assert api.lists == [{"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}]


async def test_a_missing_permission_is_a_result() -> None:
    api = Api(error=errors.Forbidden("list", paths.pods("shop"), 403, "Forbidden"))
    api.released.set()

    assert (await reader(api).of_namespace("shop", 0)).forbidden


async def test_a_failed_list_has_a_pause_in_which_its_error_is_known() -> None:
    now, woken = [100.0], list[str]()

    class FailingApi(Api):
        async def pages(self, path: str, params: dict[str, str], *, limit: int) -> AsyncIterator[Page]:
            try:
                async for page in super().pages(path, params, limit=limit):
                    yield page
            finally:
                now[0] += 0.1

    api = FailingApi(error=errors.Unavailable("list", paths.pods("shop"), 503, "ServiceUnavailable"))
    pods = PodLists(api, lambda: now[0])  # type: ignore[arg-type]  # a fake
    first = asyncio.create_task(pods.of_namespace("shop", 100.0))
    await asyncio.sleep(0)
    with pytest.raises(ListPaused):
        await pods.of_namespace("shop", 100.0, partial(woken.append, "second"))
    api.released.set()
    with pytest.raises(errors.Unavailable):
        await first
    assert woken == ["second"]

    caught = []
    for _ in range(3):
        with pytest.raises(errors.Unavailable) as known:
            await pods.of_namespace("shop", now[0])
        caught.append(known.value)
        now[0] += 0.6
    assert len(api.lists) == 1
    assert len({*map(id, caught)}) == 3  # no object is raised twice, which keeps the frames of every caller
    now[0] += 0.2
    with pytest.raises(errors.Unavailable):
        await pods.of_namespace("shop", now[0])
    assert len(api.lists) == 2


async def test_lists_are_dropped_after_two_minutes() -> None:
    api, now = Api(Page([named("a")], "1", first=True)), [0.0]
    api.released.set()
    pods = PodLists(api, lambda: now[0])  # type: ignore[arg-type]  # a fake
    await pods.of_namespace("shop", 0)
    now[0] = 121.0
    await pods.of_namespace("shop", 0)

    assert len(api.lists) == 2


def test_pods_of_one_template_share_their_uses() -> None:
    shared: dict[tuple[Use, ...], tuple[Use, ...]] = {}
    first, second = holding_pod_of(named("a"), shared), holding_pod_of(named("b"), shared)

    assert first is not None
    assert second is not None
    assert first.uses is second.uses


class Counted(dict[str, Any]):
    """A pod's body that can be counted while it is in memory."""


class LargeNamespace:
    """A namespace with 5,000 pods, in pages of 500."""

    def __init__(self) -> None:
        self.most = 0
        self._alive: WeakSet[Any] = WeakSet()

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[Page]:
        for number in range(10):
            items: list[dict[str, Any]] = [Counted(named(f"pod-{number}-{index}")) for index in range(500)]
            references = [Handle(item) for item in items]
            self._alive.update(references)
            for item, reference in zip(items, references, strict=True):
                item["handle"] = reference
            self.most = max(self.most, len(self._alive))
            page = Page(items, "1", first=number == 0)
            del items, references, item, reference
            yield page
            del page


class Handle:
    """Ends with the body that holds it."""

    def __init__(self, of: dict[str, Any]) -> None:
        self.name = of["metadata"]["name"]


async def test_of_5000_pods_at_most_two_pages_are_in_memory() -> None:
    api = LargeNamespace()
    found = await PodLists(api, lambda: 0.0).of_namespace("shop", 0)  # type: ignore[arg-type]  # a fake

    assert len(found.pods) == 5000
    assert api.most <= 1000
