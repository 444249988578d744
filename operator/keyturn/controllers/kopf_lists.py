"""Responses of the API server to kopf, changed where kopf would keep many objects or end its watches.

Lists are empty and have only the version from which kopf starts its watches. `CacheSync` lists the objects in pages
that are bounded in bytes, before kopf starts and after each of kopf's later lists. kopf would keep the objects of a
page until its workers have handled each. kopf's first list of a kind has the version of the list before it started,
so that no object has to be listed twice: its watch begins where that list ended.

An event of an object is handled as it arrives, and kopf gets a bookmark with the version of the last one. kopf would
start a task and a queue for each object, which costs a millisecond, before it calls a handler.

A 404 for a kind, for example while its CRD is replaced, becomes a 503: kopf retries after a 503, but ends all of its
watches after a 404. An error event of a watch, for example of an etcd that is away, gets the code 410: kopf lists and
watches again after a 410, as client-go's reflector does after each error event, but ends after any other.

Discovery names every kind of Keyturn to kopf, which asks it once: a kind that is away at that moment, or that lists
serve before discovery names it, would not be watched until the next start. Separate controllers of the API server
serve lists and discovery: https://kubernetes.io/docs/concepts/overview/kubernetes-api/
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import orjson

from keyturn.api import GROUP, VERSION
from keyturn.installation.crds.definition import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import ClassVar, Self

    from aiohttp.connector import Connection

Take: TypeAlias = "Callable[[dict[str, Any]], None]"
"""Handles an event, and raises nothing."""

_OUR_VERSION = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
_OUR_GROUP = {"name": GROUP, "versions": [_OUR_VERSION], "preferredVersion": _OUR_VERSION}
_OUR_KINDS = [
    {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "kind": kind.name,
        "namespaced": kind.scope == "Namespaced",
        "verbs": ["list", "watch"],
    }
    for kind in KINDS
]
_ERROR = b'{"type":"ERROR"'
_OF_OBJECTS = frozenset({"ADDED", "MODIFIED", "DELETED"})
_EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}'


class WatchOnlyResponse(aiohttp.ClientResponse):
    """Response to kopf: a list has one empty page, 404 becomes 503, an error event has the code 410.

    Discovery names every kind of Keyturn.
    """

    takers: ClassVar[Mapping[str, Take]] = {}
    """Handlers of events by the plural of their kind."""
    starts: ClassVar[dict[str, str]] = {}
    """Versions of lists from which no watch has begun yet, by path; each is used once."""

    async def start(self, connection: Connection) -> Self:
        await super().start(connection)
        if self.status == HTTPStatus.NOT_FOUND:
            self.status = HTTPStatus.OK if self._names_our_kinds else HTTPStatus.SERVICE_UNAVAILABLE
        if "watch" in self.url.query:
            self.content = _Events(self.content, self.takers.get(self.url.name))  # type: ignore[assignment]  # kopf only reads its chunks
        return self

    async def json(self, **settings: Any) -> Any:
        body = await super().json(**settings)
        match body:
            case {"groups": groups}:
                return {**body, "groups": [*(one for one in groups if one["name"] != GROUP), _OUR_GROUP]}
            case {} if self._names_our_kinds:
                return {"kind": "APIResourceList", "resources": _OUR_KINDS}
            case {"items": _}:
                return self._empty(body)
        return body

    @property
    def _names_our_kinds(self) -> bool:
        return self.url.raw_path.endswith(f"/apis/{GROUP}/{VERSION}")

    def _empty(self, body: dict[str, Any]) -> dict[str, Any]:
        metadata = {**body.get("metadata", {}), "continue": ""}
        if version := self.starts.pop(self.url.raw_path, None):
            metadata["resourceVersion"] = version
        return {**body, "items": [], "metadata": metadata}


def watch_only(takers: Mapping[str, Take], starts: dict[str, str]) -> type[WatchOnlyResponse]:
    """Return the class of responses whose events are handled as they arrive.

    `takers` has the handlers by plural, `starts` the versions by path from which the first watches begin.
    """

    class HandledResponse(WatchOnlyResponse):
        pass

    HandledResponse.takers, HandledResponse.starts = takers, starts
    return HandledResponse


class _Events:
    """Body of a watch, one event per line: error events have the code 410, and handled events are a bookmark."""

    def __init__(self, content: aiohttp.StreamReader, take: Take | None) -> None:
        self._content = content
        self._take = take

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield self._left(lines.split(b"\n"))
        if rest:  # the end of the last event may be lost
            yield self._left([rest])

    def _left(self, lines: list[bytes]) -> bytes:
        """Handle events in their order; return those that are left to kopf, which watches from the last version."""
        left: list[bytes] = []
        is_bookmarked = False
        for line in lines:
            version = self._handled(line)
            if version is not None and is_bookmarked:
                left.pop()
            is_bookmarked = version is not None
            left.append(_bookmark(version) if version is not None else _as_left(line))
        return b"\n".join(left) + b"\n"

    def _handled(self, line: bytes) -> str | None:
        """Handle an event of an object and return its version; None for any other line."""
        if self._take is None or not line:
            return None
        try:
            event = orjson.loads(line)
            if event["type"] not in _OF_OBJECTS:
                return None
            version: str = event["object"]["metadata"]["resourceVersion"]
        except (KeyError, TypeError, ValueError):
            return None  # which kopf rejects
        self._take(event)
        return version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


def _as_left(line: bytes) -> bytes:
    return _EXPIRED if line.startswith(_ERROR) else line


def _bookmark(version: str) -> bytes:
    return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})
