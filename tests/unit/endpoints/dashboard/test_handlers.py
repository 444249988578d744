"""What a viewer can learn about objects that are hidden from them, and what requests for them cost."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request

from keyturn.core.keys import EmergencyKey
from keyturn.endpoints.dashboard import Served, Ui
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.callers import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.endpoints.dashboard.sessions import Session

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CREATED = "2026-11-24T11:00:00Z"


class Reviews:
    """API server that permits to list in some namespaces, and keeps what it was asked."""

    def __init__(self, *visible: str) -> None:
        self.visible = visible
        self.asked: list[tuple[str, str]] = []

    async def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path.endswith("/subjectaccessreviews")
        attributes = body["spec"]["resourceAttributes"]
        namespace = attributes.get("namespace", "")
        self.asked.append((attributes["resource"], namespace))
        return {"status": {"allowed": namespace in self.visible}}


@dataclass
class Clock:
    now: float = 0.0


class Viewer:
    """A session of a viewer who may see the namespace `shop`, in a cluster with objects there and in `hidden`."""

    def __init__(self) -> None:
        cache = self.cache = InformerCache()
        for namespace in ("shop", "hidden"):
            about = {"namespace": namespace, "resourceVersion": "1", "creationTimestamp": CREATED}
            spec = {"data": [{"name": "a", "literal": "x"}]}
            cache.put_managed({"metadata": {"name": "db", "uid": "u", **about}, "spec": spec})
            emergency = {"metadata": {"name": "inc", "uid": "u", **about}, "spec": {"reason": "stolen"}}
            cache.put_emergency(EmergencyKey(namespace, "inc"), emergency)
        self.api = Reviews("shop")
        served = Served(cache, lambda: NOW, "me", lambda: "me", list, is_secure=True)
        self.ui = Ui(served, cast("Any", self.api))
        self._key, self.session = self.ui._sessions.begin(Caller("alice"), None, NOW)

    async def ask(self, kind: str, namespace: str, name: str) -> web.Response:
        request = self._request(f"/ui/{kind}/{namespace}/{name}", namespace=namespace, name=name)
        return await (self.ui.secret if kind == "secrets" else self.ui.emergency)(request)

    async def open(self, kind: str, namespace: str, name: str) -> int:
        """Open a page; return its status."""
        try:
            return (await self.ask(kind, namespace, name)).status
        except web.HTTPException as refusal:
            return refusal.status

    async def cost(self, kind: str, namespace: str, name: str) -> tuple[int, int]:
        """Open a page; return its status and the number of requests to the API server."""
        before = len(self.api.asked)
        return await self.open(kind, namespace, name), len(self.api.asked) - before

    async def overview(self) -> web.Response:
        return await self.ui.overview(self._request("/ui"))

    def _request(self, path: str, **match: str) -> web.Request:
        headers = {"Cookie": f"{self.ui._cookie}={self._key}"}
        return make_mocked_request("GET", path, headers=headers, match_info=match)


NAMES = {"secrets": "db", "emergencies": "inc"}


@pytest.mark.parametrize("kind", NAMES)
async def test_a_visible_object_has_a_page(kind: str) -> None:
    viewer = Viewer()

    assert await viewer.open(kind, "shop", NAMES[kind]) == 200
    assert await viewer.open(kind, "shop", "absent") == 404


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("has_seen_all", [False, True], ids=["at first", "after the first page"])
async def test_a_hidden_object_costs_as_much_as_one_that_does_not_exist(
    kind: str, *, has_seen_all: bool
) -> None:
    costs = []
    for namespace, name in (("hidden", NAMES[kind]), ("hidden", "absent"), ("absent", "absent")):
        viewer = Viewer()
        if has_seen_all:
            await viewer.overview()
        costs.append([await viewer.cost(kind, namespace, name) for _ in range(2)])

    first, *others = costs
    assert others == [first, first]
    assert first == [(404, 4), (404, 0)]


def kept(session: Session) -> int:
    return len(session.answers) + len(session.named)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("keyturn.endpoints.dashboard.handlers.loop_time", lambda: clock.now)
    return clock


async def test_names_of_requests_do_not_pile_up(clock: Clock) -> None:
    viewer = Viewer()
    await viewer.overview()
    before = kept(viewer.session)

    for number in range(500):
        clock.now += 1
        await viewer.open("secrets", f"guess-{number}", "db")

    assert kept(viewer.session) - before <= 100


async def test_a_name_that_no_namespace_can_have_is_not_asked_about() -> None:
    viewer = Viewer()

    assert await viewer.cost("secrets", "x" * 64, "db") == (404, 0)


async def test_a_logout_without_a_session_waits_for_no_form() -> None:
    ui = Viewer().ui
    unread = StreamReader(Mock(), 2**16)
    async with asyncio.timeout(60):
        answer = await ui.log_out(make_mocked_request("POST", "/ui/logout", payload=unread))

    assert (answer.status, answer.headers["Location"]) == (303, "/ui/login")


# What one viewer can cost


@pytest.mark.parametrize("kind", ["overview", *NAMES])
async def test_a_viewer_opens_five_pages_in_a_second_after_the_first_thirty(kind: str, clock: Clock) -> None:
    viewer = Viewer()

    async def opened() -> tuple[int, str]:
        try:
            answer = await (
                viewer.overview() if kind == "overview" else viewer.ask(kind, "shop", NAMES[kind])
            )
        except web.HTTPTooManyRequests as refusal:
            return refusal.status, refusal.headers["Retry-After"]
        return answer.status, ""

    at_once = [await opened() for _ in range(32)]
    clock.now += 1
    a_second_later = [await opened() for _ in range(7)]

    assert at_once == [(200, "")] * 30 + [(429, "1")] * 2
    assert a_second_later == [(200, "")] * 5 + [(429, "1")] * 2


async def test_all_sessions_of_a_viewer_have_one_limit_and_other_viewers_their_own(clock: Clock) -> None:
    limit = Viewer().ui._page_limit
    assert [limit.wait("alice", clock.now) > 0 for _ in range(31)] == [False] * 30 + [True]
    assert limit.wait("bob", clock.now) == 0


@pytest.mark.usefixtures("clock")
async def test_a_page_over_the_limit_asks_the_api_server_nothing() -> None:
    viewer = Viewer()
    costs = [await viewer.cost("secrets", f"guess-{number}", "db") for number in range(40)]

    assert costs[29] == (404, 2)
    assert costs[30:] == [(429, 0)] * 10


async def test_two_first_pages_are_rendered_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, now, most = Viewer(), 0, 0

    async def in_turn(doing: Callable[..., object], *args: object, **named: object) -> object:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(100):
            await asyncio.sleep(0)
        now -= 1
        return doing(*args, **named)

    monkeypatch.setattr(asyncio, "to_thread", in_turn)
    await asyncio.gather(*(viewer.overview() for _ in range(12)))

    assert most == 2


async def test_the_clocks_of_emergencies_are_computed_outside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def seen(*_: object) -> list[object]:
        threads.append(threading.current_thread())
        return []

    monkeypatch.setattr("keyturn.endpoints.dashboard.handlers.clocks_of", seen)
    await Viewer().overview()

    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


async def test_what_is_known_of_a_viewer_takes_no_task_for_each_namespace() -> None:
    viewer = Viewer()
    for number in range(100):
        metadata = {"namespace": f"n{number}", "name": "db", "uid": "u", "resourceVersion": "1"}
        viewer.cache.put_managed({"metadata": metadata, "spec": {}})
    await viewer.overview()

    with pytest.raises(StopIteration) as found:
        viewer.ui._scope(viewer.session).send(None)

    assert found.value.value.namespaces == {"shop"}
