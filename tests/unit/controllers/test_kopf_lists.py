"""What kopf is shown of a list: the version from which it watches, and no objects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kopf._cogs.clients.api import iter_jsonlines

from keyturn.controllers.kopf_lists import WatchOnlyResponse, watch_only
from tests.support.api_servers import serving

LIST = {
    "kind": "SecretStoreList",
    "apiVersion": "keyturn.dev/v1alpha1",
    "metadata": {"resourceVersion": "7", "continue": "more", "remainingItemCount": 3},
    "items": [{"metadata": {"name": "vault"}}],
}


async def shown(body: Any) -> Any:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    async with serving(handle) as server, aiohttp.ClientSession(response_class=WatchOnlyResponse) as session:
        return await (await session.get(server)).json()


async def test_a_list_ends_with_its_first_page_and_is_empty() -> None:
    metadata = {"resourceVersion": "7", "continue": "", "remainingItemCount": 3}
    assert await shown(LIST) == LIST | {"items": [], "metadata": metadata}


@pytest.mark.parametrize(
    "body",
    [{"kind": "APIResourceList", "resources": [{"name": "secretstores"}]}, ["a"]],
    ids=["kinds", "no object"],
)
async def test_what_is_no_list_of_objects_is_shown_as_it_is(body: Any) -> None:
    assert await shown(body) == body


async def test_the_first_list_has_the_version_of_the_list_before_and_a_later_one_its_own() -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response(LIST)

    starts = {"/vaults": "5", "/others": "6"}
    answers = watch_only({}, starts)
    async with serving(handle) as server, aiohttp.ClientSession(response_class=answers) as session:
        shown = [await (await session.get(f"{server}/vaults?limit=1")).json() for _ in range(2)]

    assert [body["metadata"]["resourceVersion"] for body in shown] == ["5", "7"]
    assert starts == {"/others": "6"}


async def test_a_kind_that_is_absent_is_asked_for_again() -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "code": 404}, status=404)

    async with serving(handle) as server, aiohttp.ClientSession(response_class=WatchOnlyResponse) as session:
        assert (await session.get(server)).status == 503  # which kopf takes for a trouble that passes


async def watched(
    *chunks: bytes, answers: type[aiohttp.ClientResponse] = WatchOnlyResponse, path: str = ""
) -> list[bytes]:
    """Send a watch in these chunks, and return the lines that kopf reads."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        return response

    async with serving(handle) as server, aiohttp.ClientSession(response_class=answers) as session:
        response = await session.get(f"{server}{path}?watch=true")
        return [line async for line in iter_jsonlines(response.content)]


EVENT = b'{"type":"ADDED","object":{"status":{"type":"ERROR","is":"{\\"type\\":\\"ERROR\\""}}}'
ERROR = b'{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError"}}'


@pytest.mark.parametrize(
    "chunks",
    [(EVENT + b"\n" + ERROR + b"\n",), (EVENT + b"\n" + ERROR[:9], ERROR[9:] + b"\n")],
    ids=["at once", "in two parts"],
)
async def test_an_error_event_of_a_watch_has_the_code_after_which_kopf_watches_again(
    chunks: tuple[bytes, ...],
) -> None:
    event, error = await watched(*chunks)
    assert event == EVENT
    assert (json.loads(error)["type"], json.loads(error)["object"]["code"]) == ("ERROR", 410)


async def test_events_come_as_the_api_server_sends_them() -> None:
    assert await watched(EVENT[:5], EVENT[5:] + b"\n\n", EVENT) == [EVENT, EVENT]


def event(kind: str, version: str, **more: Any) -> bytes:
    metadata = {"name": "db", "namespace": "shop", "resourceVersion": version}
    return json.dumps({"type": kind, "object": {"metadata": metadata, **more}}).encode()


def is_above_seven(event: dict[str, Any]) -> bool:
    return int(event["object"]["metadata"]["resourceVersion"]) > 7


async def filtered(*lines: bytes, path: str = "/apis/keyturn.dev/v1alpha1/managedsecrets") -> list[bytes]:
    answers = watch_only({"managedsecrets": is_above_seven}, {})
    return await watched(*(line + b"\n" for line in lines), answers=answers, path=path)


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
async def test_an_event_of_a_known_version_becomes_a_bookmark(kind: str) -> None:
    news = event(kind, "8")
    assert await filtered(event(kind, "7", spec={}), news) == [
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}',
        news,
    ]


@pytest.mark.parametrize(
    "line",
    [
        event("DELETED", "7"),
        event("BOOKMARK", "7"),
        b"[]",
        b"{",
        b'{"type":"ADDED","object":{}}',
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"x"}}}',
    ],
    ids=["deletion", "bookmark", "no event", "no JSON", "no metadata", "no version"],
)
async def test_no_other_event_is_filtered(line: bytes) -> None:
    assert await filtered(line) == [line]


async def test_a_kind_without_a_filter_has_all_events() -> None:
    assert await filtered(event("ADDED", "1"), path="/api/v1/namespaces") == [event("ADDED", "1")]
