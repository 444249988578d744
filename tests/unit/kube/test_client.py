from __future__ import annotations

import asyncio
import traceback
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf
from typing import Any

import pytest
from aiohttp import web

from keyturn import __version__
from keyturn.kube import client, config, errors, paths
from keyturn.kube.client import Api, Page
from keyturn.kube.wire import Change, Patch
from keyturn.runtime import build
from tests.support.api_servers import Scripted, answer, plain, refused, scripted, serving

CANARY = "canary-5f1c0e"
SECRET = paths.secret("shop", "a")
SECRETS = paths.secrets("shop")
WITH_VERSION = {"metadata": {"resourceVersion": "7"}}


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


@pytest.mark.parametrize(
    "given",
    [
        answer(200, f"no json: {CANARY}"),
        answer(200, f'["{CANARY}"]'),
        answer(422, f"no json: {CANARY}"),
        refused(422, f"The value {CANARY} is bad"),
        refused(500, CANARY),
        answer(422, {"reason": {"x": CANARY}}),
        answer(400, {"message": f'admission webhook "labels" denied the request: {CANARY}'}),
        answer(400, {"message": f'admission webhook "{CANARY}_" denied the request: no'}),
    ],
    ids=[
        "no json",
        "no object",
        "no status",
        "reason of a webhook",
        "one word",
        "reason of a fool",
        "words of a webhook",
        "a name that is none",
    ],
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

READ = ("get", SECRET)


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
        await api.patch(paths.managed_secret_status("shop", "a"), {}, Patch.MERGE)
    assert told == [
        ("get", "secrets", 503),
        ("get", "secrets", 200),
        ("patch", "managedsecrets/status", 200),
    ]


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

    async with serving(handle) as server, config.session(plain(server)) as session:
        api = Api(session, server)
        await api.get("/api/quick")
        await api.get("/api/slow")
    before, now, after = api.clock.now(), datetime.now(UTC), api.clock.now()
    assert asked == ["/api/quick", "/api/slow"]
    assert before - timedelta(seconds=1) < now < after + timedelta(seconds=1)
