"""What kopf is shown of a list, the version from which it watches and no objects, and of a watch, no events."""

import asyncio
import json
import logging
from typing import Any
from unittest.mock import Mock

import aiohttp
import kopf
import pytest
from aiohttp import web
from kopf._cogs.clients.api import iter_jsonlines
from kopf._cogs.clients.auth import vault_var
from kopf._cogs.clients.scanning import scan_resources
from kopf._cogs.structs.credentials import AiohttpSession, Vault
from kopf._cogs.structs.references import Resource
from kopf._core.reactor import queueing

from keyturn.controllers.cache_sync import WatchLiveness
from keyturn.controllers.context import Context
from keyturn.controllers.event_handlers import EventHandlers
from keyturn.controllers.kopf_source import WatchOnlyResponse, kopf_registry, watch_only
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.installation.crds.definition import KINDS
from tests.support.api_servers import serving
from tests.support.cases import case, cases
from tests.unit.core import builders as make

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


def bookmark(version: str) -> bytes:
    return b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%s"}}}' % version.encode()


class Taken:
    """The events of ManagedSecrets that were handled as they arrived."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        self.events.append((event["type"], event["object"]["metadata"]["resourceVersion"]))

    async def left(
        self, *chunks: bytes, path: str = "/apis/keyturn.dev/v1alpha1/managedsecrets"
    ) -> list[bytes]:
        """Return the lines that are left to kopf."""
        return await watched(*chunks, answers=watch_only({"managedsecrets": self}, {}), path=path)


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
async def test_an_event_is_handled_and_kopf_gets_its_version(kind: str) -> None:
    taken = Taken()
    assert await taken.left(event(kind, "7", spec={}) + b"\n") == [bookmark("7")]
    assert taken.events == [(kind, "7")]


async def test_events_are_handled_in_their_order_and_kopf_gets_the_last_version() -> None:
    taken = Taken()
    lines = [event("ADDED", "7"), event("MODIFIED", "8"), event("BOOKMARK", "9"), event("ADDED", "10"), ERROR]
    left = await taken.left(b"\n".join(lines) + b"\n")

    assert left[:3] == [bookmark("8"), lines[2], bookmark("10")]
    assert [json.loads(line)["type"] for line in left[3:]] == ["ERROR"]
    assert taken.events == [("ADDED", "7"), ("MODIFIED", "8"), ("ADDED", "10")]


async def test_an_event_that_comes_in_two_parts_is_handled_once() -> None:
    taken, line = Taken(), event("ADDED", "7") + b"\n"
    assert await taken.left(line[:9], line[9:]) == [bookmark("7")]
    assert taken.events == [("ADDED", "7")]


async def test_the_last_event_is_handled_without_the_end_of_its_line() -> None:
    taken, line = Taken(), event("ADDED", "7")
    assert await taken.left(line) == [bookmark("7")]
    assert await taken.left(line[:-9]) == [line[:-9]]
    assert taken.events == [("ADDED", "7")]


@pytest.mark.parametrize(
    "line",
    [event("BOOKMARK", "7"), b"[]", b"{", b'{"type":"ADDED","object":{}}'],
    ids=["bookmark", "no event", "no JSON", "no metadata"],
)
async def test_what_is_no_event_of_an_object_is_left_to_kopf(line: bytes) -> None:
    taken = Taken()
    assert await taken.left(line + b"\n") == [line]
    assert taken.events == []


async def test_events_of_a_kind_without_a_handler_are_left_to_kopf() -> None:
    taken, line = Taken(), event("ADDED", "1")
    assert await taken.left(line + b"\n", path="/api/v1/namespaces") == [line]
    assert taken.events == []


VERSION = {"groupVersion": "keyturn.dev/v1alpha1", "version": "v1alpha1"}
GROUP = {"name": "keyturn.dev", "versions": [VERSION], "preferredVersion": VERSION}
FIRST = {"name": "managedsecrets", "kind": "ManagedSecret", "namespaced": True, "verbs": ["list", "watch"]}


@cases(
    ("groups", "resources"),
    case("one kind", [GROUP], [FIRST]),
    case("the group alone", [GROUP], None),
    case("nothing", [], None),
)
async def test_kopf_watches_every_kind_before_discovery_names_it(
    groups: list[Any], resources: list[Any] | None
) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/apis":
            return web.json_response({"kind": "APIGroupList", "groups": groups})
        assert request.path == "/apis/keyturn.dev/v1alpha1"
        if resources is None:
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        return web.json_response({"kind": "APIResourceList", **VERSION, "resources": resources})

    context = Context(Mock(), Mock(), lambda: make.NOW)
    watching = EventHandlers(context, Memory(context), [])
    registry = kopf_registry(watching, Mock(), WatchLiveness())
    handlers = registry._watching.get_all_handlers()
    ours = [one.selector for one in handlers if one.selector and one.selector.group == "keyturn.dev"]
    async with serving(handle) as server, aiohttp.ClientSession(response_class=WatchOnlyResponse) as session:
        vault_var.set(Vault({"one": AiohttpSession(aiohttp_session=session, server=server)}))
        found = await scan_resources(
            groups={"keyturn.dev"}, settings=kopf.OperatorSettings(), logger=logging.getLogger()
        )

    watched = {(one.plural, one.namespaced) for selector in ours for one in selector.select(found)}
    assert watched == {(kind.plural, kind.scope == "Namespaced") for kind in KINDS}


WATCHED = Resource("keyturn.dev", "v1alpha1", "managedsecrets", kind="ManagedSecret", namespaced=True)


async def test_kopf_reads_watches_through_the_handlers_and_starts_nothing_of_its_own() -> None:
    taken, since, again = Taken(), list[str | None](), asyncio.Event()
    theirs: list[Any] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(LIST)
        since.append(request.query.get("resourceVersion"))
        response = web.StreamResponse()
        await response.prepare(request)
        if len(since) == 1:
            await response.write(event("ADDED", "8") + b"\n" + event("DELETED", "9") + b"\n")
            return response
        again.set()
        await asyncio.sleep(20)
        return response

    async def process(*, raw_event: Any, **_: Any) -> None:
        theirs.append(raw_event)

    answers = watch_only({"managedsecrets": taken}, {})
    async with serving(handle) as server, aiohttp.ClientSession(response_class=answers) as session:
        vault_var.set(Vault({"one": AiohttpSession(aiohttp_session=session, server=server)}))
        settings = kopf.OperatorSettings()
        watcher = asyncio.create_task(
            queueing.watcher(namespace=None, settings=settings, resource=WATCHED, processor=process)
        )
        try:
            async with asyncio.timeout(20):
                await again.wait()
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])

    assert taken.events == [("ADDED", "8"), ("DELETED", "9")]
    adapt = "this version of kopf reads watches in another way: adapt `kopf_source._Events` to it"
    assert theirs == [], adapt
    assert since == ["7", "9"], adapt
