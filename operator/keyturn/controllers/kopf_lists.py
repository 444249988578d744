"""Responses of the API server to kopf, changed where kopf would keep many objects or end its watches.

Lists are empty and have only the version from which kopf starts its watches. `Upkeep` lists the objects in pages
that are bounded in bytes, before kopf starts and after each of kopf's later lists. kopf would keep the objects of a
page until its workers have handled each. kopf's first list of a kind has the version of the list before it started,
so that no object has to be listed twice: its watch begins where that list ended.

An event whose object is known, such as the echo of each own write, becomes a bookmark: kopf would start a task and a
queue for it before a handler could ignore it.

A 404 for a kind, for example while its CRD is replaced, becomes a 503: kopf retries after a 503, but ends all of its
watches after a 404. An error event of a watch, for example of an etcd that is away, gets the code 410: kopf lists and
watches again after a 410, as client-go's reflector does after each error event, but ends after any other.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import ClassVar, Self, TypeAlias

    from aiohttp.connector import Connection

    IsNews: TypeAlias = "Callable[[dict[str, Any]], bool]"
    """Whether a handler needs an event."""

__all__ = ["WatchOnlyResponse", "watch_only"]

_ERROR = re.compile(rb'^\{"type":"ERROR".*$', re.MULTILINE)
_OF_OBJECTS = frozenset({"ADDED", "MODIFIED"})
_EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}'


class WatchOnlyResponse(aiohttp.ClientResponse):
    """Response to kopf: a list has one empty page, 404 becomes 503, and an error event has the code 410."""

    news: ClassVar[Mapping[str, IsNews]] = {}
    """Filters of events by the plural of their kind."""
    starts: ClassVar[dict[str, str]] = {}
    """Versions of lists from which no watch has begun yet, by path; each is used once."""

    async def start(self, connection: Connection) -> Self:
        await super().start(connection)
        if self.status == HTTPStatus.NOT_FOUND:
            self.status = HTTPStatus.SERVICE_UNAVAILABLE
        if "watch" in self.url.query:
            self.content = _Events(self.content, self.news.get(self.url.name))  # type: ignore[assignment]  # kopf only reads its chunks
        return self

    async def json(self, **settings: Any) -> Any:
        body = await super().json(**settings)
        if not isinstance(body, dict) or "items" not in body:
            return body
        metadata = {**body.get("metadata", {}), "continue": ""}
        if version := self.starts.pop(self.url.raw_path, None):
            metadata["resourceVersion"] = version
        return {**body, "items": [], "metadata": metadata}


def watch_only(news: Mapping[str, IsNews], starts: dict[str, str]) -> type[WatchOnlyResponse]:
    """Return the class of responses that filter events.

    `news` has the filters by plural, `starts` the versions by path from which the first watches begin.
    """

    class FilteredResponse(WatchOnlyResponse):
        pass

    FilteredResponse.news, FilteredResponse.starts = news, starts
    return FilteredResponse


class _Events:
    """Body of a watch, one event per line: error events have the code 410, and known objects are bookmarks."""

    def __init__(self, content: aiohttp.StreamReader, is_news: IsNews | None) -> None:
        self._content = content
        self._is_news = is_news

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield b"\n".join(map(self._filtered, _ERROR.sub(_EXPIRED, lines).split(b"\n"))) + newline
        if rest:
            yield rest

    def _filtered(self, line: bytes) -> bytes:
        """Return an event as kopf gets it."""
        if self._is_news is None or not line:
            return line
        try:
            event = orjson.loads(line)
            if event["type"] not in _OF_OBJECTS or self._is_news(event):
                return line
            version = event["object"]["metadata"]["resourceVersion"]
        except (KeyError, TypeError, ValueError):
            return line  # which kopf rejects
        # kopf watches from the version of the last event.
        return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
