"""Event source: kopf runs the watches, whose events go to `EventHandlers`; no other part of kopf is used.

A handler makes kopf watch a kind, and is not called. Other kinds of handler keep state in annotations and would copy
a Secret's data there. What kopf gets instead of objects and events, and why: docs/architecture.md.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Self, TypeAlias

import aiohttp
import orjson
from aiohttp.connector import Connection as HttpConnection

from keyturn.api import GROUP, VERSION
from keyturn.installation.crds.definition import KINDS
from keyturn.kube.config import Connection
from keyturn.kube.session import open_session
from keyturn.runtime.clock import pauses
from keyturn.runtime.imports import unseen

from .cache_sync import WatchLiveness
from .event_handlers import EventHandlers

# kopf loads each Kubernetes client that it finds to log in with it: 13 MiB for `kubernetes`, 33 MiB for `pykube`.
# The operator has its own credentials and needs `kubernetes` only outside a cluster.
with unseen("kubernetes", "kubernetes_asyncio", "pykube"):
    import kopf


Take: TypeAlias = Callable[[dict[str, Any]], None]

_SERVER_TIMEOUT = 60
_END_TIMEOUT = 5.0
_VERSION = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
_GROUP = {"name": GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}
_KINDS = [
    {"name": kind.plural, "singularName": kind.name.lower(), "kind": kind.name, "verbs": ["list", "watch"]}
    | {"namespaced": kind.scope == "Namespaced"}
    for kind in KINDS
]
_EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}'


async def run_kopf(restore_signal_handlers: Callable[[], None], **options: Any) -> None:
    """Run kopf, and replace its signal handlers, with which it would stop before the parts that it feeds.

    kopf sets them last when it starts, and the event loop has no turn in between, so no signal is lost. kopf may
    suppress the cancellation of a watch that breaks meanwhile and wait for it, so it is cancelled until it ends.
    """
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(**options)
    restore_signal_handlers()
    running = asyncio.create_task(kopf.run_tasks(tasks, ignored=others))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=_END_TIMEOUT)
        raise


def kopf_registry(
    handlers: EventHandlers, connection: Connection, liveness: WatchLiveness
) -> kopf.OperatorRegistry:
    """Return kopf's registry with credentials and watched kinds."""
    registry = kopf.OperatorRegistry()
    kinds = takers_of(handlers)
    liveness.starts = dict(handlers.listed)
    answers = watch_only({plural: take for (*_, plural), take in kinds.items()}, liveness.starts)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # kopf closes its session before it asks for credentials again, so it gets a new one each time.
        return kopf.AiohttpSession(
            aiohttp_session=open_session(connection, liveness, answers=answers),
            server=connection.server,
            default_namespace=connection.namespace,
        )

    async def not_called(**_: Any) -> None:
        """Do nothing: a kind is watched because it has a handler."""

    kopf.on.startup(registry=registry)(_configure)
    for resource in kinds:
        kopf.on.event(*resource, registry=registry, id=resource[-1])(not_called)
    return registry


def takers_of(handlers: EventHandlers) -> dict[tuple[str, ...], Take]:
    """Return the handlers of events by watched kind, as kopf names it: group, version and plural."""
    return {kind.resource: partial(handlers.take, kind) for kind in handlers.kinds()}


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Limit kopf to watches and its process life cycle; the server timeout ends watches that hang silently."""
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 1  # the lists only start watches
    settings.watching.server_timeout = _SERVER_TIMEOUT
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Backoffs()
    settings.process.ultimate_exiting_timeout = 25


class _Backoffs:
    """Endless pauses, so that an API server that is away for an hour ends nothing."""

    def __iter__(self) -> Iterator[float]:
        return pauses(1.0, 10.0)


def watch_only(takers: Mapping[str, Take], starts: dict[str, str]) -> "type[WatchOnlyResponse]":
    return type("HandledResponse", (WatchOnlyResponse,), {"takers": takers, "starts": starts})


class WatchOnlyResponse(aiohttp.ClientResponse):
    """Response to kopf, changed as the head of this module says."""

    takers: ClassVar[Mapping[str, Take]] = {}  # by the plural of a kind
    starts: ClassVar[dict[str, str]] = {}  # versions of lists by path, from each of which one watch begins

    async def start(self, connection: HttpConnection) -> Self:
        await super().start(connection)
        if self.status == HTTPStatus.NOT_FOUND:
            self.status = HTTPStatus.OK if self._names_our_kinds else HTTPStatus.SERVICE_UNAVAILABLE
        if "watch" in self.url.query:  # kopf only reads the chunks of the content
            self.content = _Events(self.content, self.takers.get(self.url.name))  # type: ignore[assignment]
        return self

    async def json(self, **settings: Any) -> Any:
        body = await super().json(**settings)
        match body:
            case {"groups": groups}:
                return {**body, "groups": [*(one for one in groups if one["name"] != GROUP), _GROUP]}
            case {} if self._names_our_kinds:
                return {"kind": "APIResourceList", "resources": _KINDS}
            case {"items": _}:
                metadata = {**body.get("metadata", {}), "continue": ""}
                if version := self.starts.pop(self.url.raw_path, None):
                    metadata["resourceVersion"] = version
                return {**body, "items": [], "metadata": metadata}
        return body

    @property
    def _names_our_kinds(self) -> bool:
        return self.url.raw_path.endswith(f"/apis/{GROUP}/{VERSION}")


class _Events:
    """Body of a watch, one event per line."""

    def __init__(self, content: aiohttp.StreamReader, take: Take | None) -> None:
        self._content = content
        self._take = take

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                yield self._left(lines)
        if rest:  # the end of the last event may be lost
            yield self._left([rest])

    def _left(self, lines: list[bytes]) -> bytes:
        """Handle events in their order; return what is left to kopf, with a bookmark for handled ones in a row."""
        left: list[bytes] = []
        before = None
        for line in lines:
            version = self._handled(line)
            if version is None:
                left.append(_EXPIRED if line.startswith(_EXPIRED[:15]) else line)
            else:
                bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}
                left[len(left) - (before is not None) :] = [orjson.dumps(bookmark)]
            before = version
        return b"\n".join(left) + b"\n"

    def _handled(self, line: bytes) -> str | None:
        """Handle an event of an object and return its version; None for any other line."""
        try:
            event = orjson.loads(line)
            kind, version = event["type"], str(event["object"]["metadata"]["resourceVersion"])
        except (KeyError, TypeError, ValueError):
            return None  # kopf rejects the line, unless it is empty
        if self._take is None or kind not in {"ADDED", "MODIFIED", "DELETED"}:
            return None
        self._take(event)
        return version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
