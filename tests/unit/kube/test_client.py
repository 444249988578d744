import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf
from typing import Any

import aiohttp
import orjson
import pytest
import structlog
from aiohttp import web

from keyturn import __version__
from keyturn.cli.transport import transport_of
from keyturn.kube import client, errors, paths
from keyturn.kube.client import MOST_BYTES, Api, Page, ServerClock
from keyturn.kube.session import FencedBody
from keyturn.kube.wire import Change, Patch
from keyturn.runtime import build
from tests.support import api_servers
from tests.support.api_servers import Scripted, answer, plain, refused, scripted, serving
from tests.support.cases import case, cases

CANARY = "canary-5f1c0e"
SECRET = paths.secret("shop", "a")
SECRETS = paths.secrets("shop")
WITH_VERSION = {"metadata": {"resourceVersion": "7"}}


@pytest.fixture(params=["of the operator", "of a command"], autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test over both transports."""
    if request.param == "of a command":
        monkeypatch.setattr(api_servers, "open_transport", transport_of)


async def pages_of(api: Api, path: str, **settings: Any) -> list[Page]:
    async with aclosing(api.pages(path, **settings)) as pages:
        return [page async for page in pages]


async def changes_of(
    api: Api, path: str, version: str, *, metadata_only: bool = False, timeout_seconds: int = 60
) -> list[Change]:
    watch = api.watch(path, version, metadata_only=metadata_only, timeout_seconds=timeout_seconds)
    async with aclosing(watch) as changes:
        return [change async for change in changes]


# What must never be in an error


def everything_in(error: BaseException) -> str:
    """Write all that a log, a debugger or a careless `repr` could show of an error and what led to it."""
    context = error.__cause__ or error.__context__
    own = [repr(error), str(error), repr(vars(error)), *map(repr, error.args)]
    own += traceback.format_exception(error)
    return "\n".join([*own, everything_in(context) if context else ""])


@cases(
    "given",
    case("no json", answer(200, f"no json: {CANARY}")),
    case("no object", answer(200, f'["{CANARY}"]')),
    case("no status", answer(422, f"no json: {CANARY}")),
    case("reason of a webhook", refused(422, f"The value {CANARY} is bad")),
    case("one word", refused(500, CANARY)),
    case("reason of a fool", answer(422, {"reason": {"x": CANARY}})),
    case(
        "words of a webhook",
        answer(400, {"message": f'admission webhook "labels" denied the request: {CANARY}'}),
    ),
    case(
        "a name that is none",
        answer(400, {"message": f'admission webhook "{CANARY}_" denied the request: no'}),
    ),
)
async def test_an_error_of_a_strange_answer_has_no_word_of_it(given: Any) -> None:
    async with scripted(Scripted(given)) as api:
        with pytest.raises(errors.ApiError) as refusal:
            await api.create(SECRETS, {})
    assert CANARY not in everything_in(refusal.value)


@pytest.mark.parametrize(
    "given",
    [
        {"items": []},
        {"metadata": CANARY, "items": []},
        {"metadata": {}, "items": []},
        {"metadata": {"resourceVersion": "7"}, "items": CANARY},
        {"metadata": {"resourceVersion": "7", "continue": [CANARY]}, "items": []},
    ],
    ids=["no metadata", "text as metadata", "no version", "text as items", "a list as token"],
)
async def test_a_list_of_a_strange_form_is_an_error_without_a_word_of_it(given: Any) -> None:
    async with scripted(Scripted(answer(200, given))) as api:
        with pytest.raises(errors.Unavailable) as refusal:
            await pages_of(api, SECRETS)
    assert CANARY not in everything_in(refusal.value)


async def test_a_watch_that_says_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STREAM_GRACE", 0.1)
    async with scripted(Scripted(30.0)) as api, asyncio.timeout(20):
        with pytest.raises(errors.Unavailable):
            await changes_of(api, SECRETS, "1", timeout_seconds=0)


async def test_a_refused_watch_is_its_error() -> None:
    async with scripted(Scripted(refused(403, "Forbidden"))) as api:
        with pytest.raises(errors.Forbidden):
            await changes_of(api, SECRETS, "1")


# Tries


async def called(api: Api, verb: str) -> None:
    match verb:
        case "get":
            await api.get(SECRET)
        case "list":
            await pages_of(api, SECRETS)
        case "create":
            await api.create(SECRETS, {})
        case "replace with version":
            await api.replace(SECRET, WITH_VERSION)
        case "replace":
            await api.replace(SECRET, {"metadata": {}})
        case "patch":
            await api.patch(SECRET, {}, Patch.MERGE)
        case "delete":
            await api.delete(SECRET)


@pytest.mark.parametrize(
    ("verb", "tries"),
    [
        ("get", 3),
        ("list", 3),
        ("replace with version", 3),
        ("replace", 1),
        ("create", 1),
        ("patch", 1),
        ("delete", 1),
    ],
)
async def test_only_what_can_be_repeated_is_tried_again_without_an_answer(verb: str, tries: int) -> None:
    script = Scripted(refused(503, "ServiceUnavailable"))
    async with scripted(script) as api:
        with pytest.raises(errors.Unavailable):
            await called(api, verb)
    assert len(script.asked) == tries


@pytest.mark.parametrize("verb", ["get", "create", "replace", "patch", "delete"])
async def test_everything_is_tried_again_when_the_server_protects_itself(verb: str) -> None:
    throttled = refused(429, "TooManyRequests", Retry_After="0")
    script = Scripted(throttled, throttled, answer())
    async with scripted(script) as api:
        await called(api, verb)
    assert len(script.asked) == 3


async def test_a_retry_waits_as_long_as_the_server_wants() -> None:
    script = Scripted(refused(429, "TooManyRequests", Retry_After="1"), answer())
    async with scripted(script) as api:
        await api.get(SECRET)
    first, second = script.times
    assert second - first >= 1


async def test_a_long_wish_of_the_server_goes_to_the_caller() -> None:
    script = Scripted(refused(429, "TooManyRequests", Retry_After="60"))
    async with scripted(script) as api:
        with pytest.raises(errors.Throttled) as refusal:
            await api.get(SECRET)
    assert refusal.value.retry_after == 60
    assert len(script.asked) == 1


async def test_a_server_that_throttles_for_ever_is_not_asked_for_ever() -> None:
    script = Scripted(refused(429, "TooManyRequests"))
    async with scripted(script) as api:
        with pytest.raises(errors.Throttled):
            await api.create(SECRETS, {})
    assert len(script.asked) == 3


async def test_a_call_without_an_answer_ends() -> None:
    async with scripted(Scripted(30.0), timeout=0.1) as api, asyncio.timeout(20):
        with pytest.raises(errors.Unavailable, match="Timeout"):
            await api.create(SECRETS, {})


async def test_a_redirect_is_not_followed() -> None:
    script = Scripted(answer(307, {}, Location="/elsewhere"))
    async with scripted(script) as api:
        with pytest.raises(errors.ApiError):
            await api.get(SECRET)
    assert len(script.asked) == 1


# The fence


@pytest.mark.parametrize("verb", ["create", "replace", "replace with version", "patch", "delete"])
async def test_a_write_is_not_sent_after_the_fence(verb: str) -> None:
    script = Scripted(answer())
    async with scripted(script) as api:
        api.fence = lambda: asyncio.get_running_loop().time() - 1.0
        with pytest.raises(errors.NotLeading):
            await called(api, verb)
    assert script.asked == []


async def test_a_write_under_way_ends_at_the_fence() -> None:
    async with scripted(Scripted(30.0), timeout=60.0) as api:
        start = asyncio.get_running_loop().time()
        api.fence = lambda: start + 0.3
        with pytest.raises(errors.Unavailable):  # the server would answer after a while
            await api.create(SECRETS, {})
        assert asyncio.get_running_loop().time() - start >= 0.3


async def test_a_write_is_not_tried_again_after_the_fence() -> None:
    script = Scripted(refused(503, "ServiceUnavailable"), answer())
    async with scripted(script) as api:
        api.fence = lambda: inf if not script.asked else 0.0
        with pytest.raises(errors.NotLeading):
            await api.replace(SECRET, WITH_VERSION)
    assert len(script.asked) == 1


async def test_reading_needs_no_leadership() -> None:
    async with scripted(Scripted(answer())) as api:
        api.fence = lambda: 0.0
        assert await api.get(SECRET) == {}


# Counting


async def test_each_try_is_counted_with_its_resource_and_status() -> None:
    told: list[tuple[str, str, int]] = []

    def count(verb: str, resource: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        told.append((verb, resource, status))

    script = Scripted(refused(503, "ServiceUnavailable"), answer())
    async with scripted(script) as api:
        api.on_response = count
        await api.get(SECRET)
        await api.patch(f"{paths.managed_secret('shop', 'a')}/status", {}, Patch.MERGE)
    assert told == [("get", "secrets", 503), ("get", "secrets", 200), ("patch", "managedsecrets/status", 200)]


async def test_a_try_without_an_answer_counts_as_status_0() -> None:
    told: list[int] = []
    async with scripted(Scripted(30.0), timeout=0.05) as api:
        api.on_response = lambda *observed: told.append(observed[2])
        with pytest.raises(errors.Unavailable):
            await api.create(SECRETS, {})
    assert told == [0]


async def test_every_request_says_which_keyturn_sends_it() -> None:
    server = Scripted(answer())
    async with scripted(server) as api:
        await api.get(SECRETS)
        await api.create(SECRETS, {})

    assert {one.headers["User-Agent"] for one in server.asked} == {
        f"keyturn/{__version__} ({build.commit()})"
    }


# The server's time


async def test_a_body_that_ends_long_after_its_headers_does_not_set_the_clock_back() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        is_slow = request.path == "/api/slow"
        date = datetime.now(UTC) - timedelta(seconds=not is_slow)  # the same date twice would be no news
        response = web.StreamResponse(headers={"Date": format_datetime(date, usegmt=True)})
        await response.prepare(request)
        await response.write(b"{")  # with the headers
        if is_slow:
            await asyncio.sleep(3)  # longer than the clock tolerates
        await response.write(b"}")
        return response

    async with serving(handle) as server, api_servers.open_transport(plain(server)) as opened:
        api = Api(opened, server)
        await api.get("/api/quick")
        await api.get("/api/slow")
    before, now, after = api.clock.now(), datetime.now(UTC), api.clock.now()
    assert asked == ["/api/quick", "/api/slow"]
    assert before - timedelta(seconds=1) < now < after + timedelta(seconds=1)


START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """A wall clock that can be wrong and be set, and a monotonic one that only goes on."""

    def __init__(self) -> None:
        self.wall, self.ticks = START, 1000.0

    def now(self, _zone: object) -> datetime:
        return self.wall

    def goes_on(self, seconds: float) -> None:
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)

    def answers(self, ours: ServerClock, date: str | None, took: float = 0.0) -> None:
        """Let an answer arrive whose request was sent `took` seconds ago."""
        ours.heard(date, self.ticks - took, self.ticks)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(client, "datetime", machine)
    monkeypatch.setattr(client, "monotonic", lambda: machine.ticks)
    return machine


def date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)


@pytest.mark.parametrize("off", [-3 * 86400, -3, 3, 3 * 86400])
def test_the_server_is_believed_and_not_a_wall_clock_that_is_off(machine: Machine, off: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START + off * SECOND))
    assert ours.now() == START + off * SECOND
    machine.goes_on(10)
    assert ours.now() == START + (off + 10) * SECOND


def test_a_clock_that_agrees_keeps_its_fractions(machine: Machine) -> None:
    machine.wall += 0.75 * SECOND
    ours = ServerClock()
    machine.answers(ours, date(START))
    assert ours.now() == START + 0.75 * SECOND


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_wall_clock_that_is_set_meanwhile_changes_nothing(machine: Machine, jump: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.wall += jump * SECOND
    machine.goes_on(5)
    machine.answers(ours, date(START + 5 * SECOND))
    assert ours.now() == START + 5 * SECOND


def test_whole_seconds_and_slow_answers_do_not_make_it_jitter(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    for step, late in enumerate((0, -1, 1, 0, -1), start=1):
        machine.goes_on(1)
        machine.answers(ours, date(START + (step + late) * SECOND))
        assert ours.now() == START + step * SECOND


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_server_clock_that_is_set_is_followed(machine: Machine, jump: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(5)
    machine.answers(ours, date(START + (5 + jump) * SECOND))
    assert ours.now() == START + (5 + jump) * SECOND


@pytest.mark.parametrize("took", [0, 12])
def test_a_body_that_ends_late_makes_no_date_older(machine: Machine, took: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(10)
    headers = machine.ticks
    machine.goes_on(12)  # the body is read, or the event loop is blocked
    ours.heard(date(START + 10 * SECOND), headers - took, headers)
    assert ours.now() == START + 22 * SECOND


def test_an_answer_that_was_overtaken_changes_nothing(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(10)
    machine.answers(ours, date(START + 3610 * SECOND), took=1)
    machine.goes_on(1)
    machine.answers(ours, date(START + 5 * SECOND), took=10)
    machine.answers(ours, date(START + 6 * SECOND), took=1.5)
    assert ours.now() == START + 3611 * SECOND


@pytest.mark.parametrize(("jump", "after"), [(-3600, -3597), (3600, 3600)], ids=["back", "forward"])
def test_a_slow_answer_changes_the_clock_by_as_little_as_it_proves(
    machine: Machine, jump: int, after: int
) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(10)
    machine.answers(ours, date(START + (10 + jump) * SECOND), took=3)
    assert ours.now() == START + (10 + after) * SECOND


def test_before_the_first_answer_a_slow_one_proves_no_wall_clock_wrong(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START - 10 * SECOND), took=10)
    assert ours.now() == machine.wall
    assert ours.ahead == timedelta(0)


@pytest.mark.parametrize(
    "garbage", [None, "", "yesterday", "Tue, 99 Nov 2026 12:00:00 GMT", "0", "\x00", "Tue, 24 Nov 2026"]
)
def test_a_date_that_is_none_changes_nothing(machine: Machine, garbage: str | None) -> None:
    ours = ServerClock()
    machine.answers(ours, garbage)
    assert ours.now() == machine.wall
    machine.answers(ours, date(START + 3600 * SECOND))
    machine.answers(ours, garbage)
    assert ours.now() == START + 3600 * SECOND


@pytest.mark.parametrize("zone", ["-0000", ""])
def test_a_date_without_a_zone_is_no_crash(machine: Machine, zone: str) -> None:
    ours = ServerClock()
    machine.answers(ours, f"Tue, 24 Nov 2026 12:00:00 {zone}".strip())
    assert abs(ours.now() - machine.wall) < 2 * SECOND


@pytest.mark.parametrize("off", [-300, 300], ids=["behind", "ahead"])
def test_a_wall_clock_that_is_off_is_reported_once_until_it_is_right(machine: Machine, off: int) -> None:
    ours = ServerClock()
    with structlog.testing.capture_logs() as told:
        for second in range(3):
            machine.answers(ours, date(START + (second - off) * SECOND))
            machine.goes_on(1)
        machine.wall -= off * SECOND
        machine.answers(ours, date(machine.wall))
    assert told == [
        {"event": "clock out of sync", "log_level": "warning", "ahead_seconds": off},
        {"event": "clock in sync", "log_level": "info"},
    ]
    assert ours.ahead == timedelta(0)


@pytest.mark.parametrize(("off", "count"), [(59, 0), (60, 1)])
def test_a_wall_clock_that_is_off_by_less_than_a_minute_is_usual(
    machine: Machine, off: int, count: int
) -> None:
    ours = ServerClock()
    with structlog.testing.capture_logs() as told:
        machine.answers(ours, date(machine.wall - off * SECOND))
    assert (ours.ahead, len(told)) == (off * SECOND, count)


MIB = 1024 * 1024


class PagedCollection:
    """A collection of objects, each with some text."""

    def __init__(self, *sizes: int) -> None:
        self.objects = [
            {"metadata": {"name": str(number)}, "text": "x" * size} for number, size in enumerate(sizes)
        ]
        self.limits: list[int] = []
        """How many objects were asked for."""
        self.gone_at: set[int] = set()
        """The requests whose moment is too old."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        limit, start = int(request.query["limit"]), int(request.query.get("continue", "0"))
        self.limits.append(limit)
        if len(self.limits) in self.gone_at:
            return answer(410, {"kind": "Status", "reason": "Expired"})
        end = start + limit
        metadata = {"resourceVersion": "7"} | ({"continue": str(end)} if end < len(self.objects) else {})
        return web.Response(
            body=orjson.dumps({"metadata": metadata, "items": self.objects[start:end]}),
            content_type="application/json",
        )


@asynccontextmanager
async def asking(collection: PagedCollection) -> AsyncIterator[Api]:
    async with serving(collection.handle) as server, api_servers.open_transport(plain(server)) as opened:
        yield Api(opened, server)


async def sizes_of(collection: PagedCollection, limit: int = 500) -> list[list[str]]:
    async with asking(collection) as api, aclosing(api.pages("/objects", limit=limit)) as pages:
        return [[body["metadata"]["name"] for body in page.items] async for page in pages]


async def test_a_list_of_small_objects_soon_comes_in_large_pages() -> None:
    collection = PagedCollection(*[10] * 2000)
    pages = await sizes_of(collection)
    assert [len(page) for page in pages] == [50, 200, 500, 500, 500, 250]
    assert [name for page in pages for name in page] == [str(number) for number in range(2000)]


async def test_no_answer_of_many_objects_is_larger_than_the_bound_whatever_they_weigh() -> None:
    collection = PagedCollection(*[10] * 60, *[MIB] * 30, *[10] * 60)
    largest = 0
    async with asking(collection) as api, aclosing(api.pages("/objects")) as pages:
        names = []
        async for page in pages:
            names += [body["metadata"]["name"] for body in page.items]
            if len(page.items) > 1:
                largest = max(largest, len(orjson.dumps(page.items)))
    assert names == [str(number) for number in range(150)]
    assert largest <= MOST_BYTES


async def test_an_object_that_is_larger_than_the_bound_comes_alone() -> None:
    assert await sizes_of(PagedCollection(10, MOST_BYTES + 1, 10)) == [["0"], ["1"], ["2"]]


async def test_a_list_whose_moment_has_gone_twice_comes_again_in_bounded_pages() -> None:
    collection = PagedCollection(*[10] * 1200)
    collection.gone_at = {2, 4}
    pages = await sizes_of(collection)
    assert [len(page) for page in pages] == [50, 200, 500, 500, 200]
    assert 0 not in collection.limits


@pytest.mark.parametrize(
    ("gone_at", "first"), [(set(), [True, False]), ({2}, [True, True, False])], ids=["one snapshot", "two"]
)
async def test_the_first_page_of_each_snapshot_says_so(gone_at: set[int], first: list[bool]) -> None:
    collection = PagedCollection(*[10] * 220)
    collection.gone_at = gone_at
    async with asking(collection) as api, aclosing(api.pages("/objects")) as pages:
        assert [page.first async for page in pages] == first


async def test_a_list_that_takes_longer_than_any_moment_is_kept_is_given_up() -> None:
    collection = PagedCollection(*[10] * 1200)
    collection.gone_at = {2, 4, 6}
    with pytest.raises(errors.Gone):
        await sizes_of(collection)


@pytest.mark.parametrize(("seconds", "arrives"), [(30.0, True), (-0.001, False)], ids=["in time", "too late"])
async def test_a_body_arrives_before_its_time_is_over_and_never_after(
    seconds: float, *, arrives: bool
) -> None:
    script = Scripted(answer())
    until = asyncio.get_running_loop().time() + seconds
    body = FencedBody(b"{}", lambda: until)
    async with serving(script.handle) as server, aiohttp.ClientSession() as session:
        try:
            async with session.put(server, data=body) as response:
                assert response.ok
        except TimeoutError:
            assert not arrives
    assert len(script.asked) == int(arrives)
