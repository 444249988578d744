"""How each call to the API server is made: bounded in time, tries and number, fenced, and quiet about bodies.

Bodies are plain dicts as the server sends them; parsing them into types is the caller's first act.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import Final, TypeAlias
from urllib.parse import urlencode

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from . import errors, paths, wire
from .clock import ServerClock
from .paging import Pace, TooMuch
from .wire import Body, Call, Change, Headers, Patch

__all__ = ["Api", "Body", "Change", "FencedBody", "OnResponse", "Page", "Params", "Patch"]

Params: TypeAlias = Mapping[str, str | int]
OnResponse: TypeAlias = Callable[[str, str, int, float], None]
"""Told after every single try: verb, resource, status (0: no answer), seconds."""

LONGEST_PAUSE: Final = 10.0
"""Seconds: a longer Retry-After goes to the caller, who has better things to do than to hold a worker."""
STREAM_GRACE: Final = 15
"""Seconds without a byte after the server should have ended a watch, until we call the connection dead."""

_PAUSES: Final = (0.1, 0.4)
"""Seconds before the second and the third try, the last one."""
_LISTS_AGAIN: Final = 2
"""How often a list is begun again that took longer than the API server keeps its moment."""
_UNTIMED: Final = aiohttp.ClientTimeout()
"""Each call runs under one timeout of ours; a second one inside would only cost."""


@dataclass(frozen=True, slots=True)
class Page:
    """One part of a list. `first` says that the list starts here: forget what earlier pages of it said."""

    items: list[Body]
    resource_version: str
    first: bool


class Api:
    """Calls to one API server over a session that somebody else opens and closes."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        *,
        timeout: float = 30.0,
        connections: int = 50,
        fence: Callable[[], float] | None = None,
        on_response: OnResponse | None = None,
    ) -> None:
        """Take `fence` as the loop time until which writes are allowed; without one they always are.

        `connections` bounds the calls in flight; watches do not count, they must never keep a call waiting.
        """
        self.fence = fence
        self.clock = ServerClock()
        self.on_response = on_response
        self._session = session
        self._server = server.rstrip("/")
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)

    async def get(self, path: str, params: Params | None = None, *, metadata_only: bool = False) -> Body:
        """Read one object; only its metadata if so asked, and then no data crosses the wire."""
        call = self._call("get", path, params, headers=wire.READ_METADATA if metadata_only else wire.READ)
        return wire.parsed(call, await self._answer(call))

    async def text(self, path: str) -> str:
        """Read what is no object, such as /metrics."""
        return (await self._answer(self._call("get", path))).decode("utf-8", "replace")

    async def request(self, path: str, body: Body) -> Body:
        """Ask for what is answered and not stored, such as a token: a read in all but its verb."""
        call = self._call("request", path, data=orjson.dumps(body))
        return wire.parsed(call, await self._answer(call))

    async def create(self, path: str, body: Body, params: Params | None = None) -> Body:
        """Create an object in the collection at `path`.

        Never tried again after a lost answer; a caller who does learns from AlreadyExists.
        """
        return await self._write(self._call("create", path, params, data=orjson.dumps(body)))

    async def replace(self, path: str, body: Body, params: Params | None = None) -> Body:
        """Write a whole object; with its resourceVersion in it only over the state that was read."""
        call = self._call("update", path, params, data=orjson.dumps(body))
        return await self._write(call, repeatable="resourceVersion" in body.get("metadata", ()))

    async def patch(self, path: str, body: Body, kind: Patch, params: Params | None = None) -> Body:
        """Change a part of an object. APPLY needs `fieldManager` in `params`."""
        return await self._write(
            self._call("patch", path, params, headers=wire.PATCH[kind], data=orjson.dumps(body))
        )

    async def delete(self, path: str, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete the object at `path`, if `preconditions` (uid, resourceVersion) hold. Absent is success."""
        data = orjson.dumps({"preconditions": dict(preconditions)}) if preconditions else None
        try:
            # The answer can be the object with all its data: it is not even parsed.
            await self._answer(self._call("delete", path, data=data), repeatable=False)
        except errors.NotFound:
            return

    async def pages(
        self, path: str, params: Params | None = None, *, limit: int = 500, metadata_only: bool = False
    ) -> AsyncGenerator[Page, None]:
        """List a collection in pages of one consistent moment, of `limit` objects at most and bounded in bytes.

        When that moment has become too old half-way, the whole list comes again, its first page marked `first`.
        """
        headers = wire.READ_METADATA_LIST if metadata_only else wire.READ
        pace, token, first, again = Pace(limit), "", True, _LISTS_AGAIN
        while True:
            asked = {**(params or {}), "limit": pace.limit, **({"continue": token} if token else {})}
            call = self._call("list", path, asked, headers=headers)._replace(most=pace.most)
            try:
                data = await self._answer(call)
            except TooMuch:
                pace.was_too_much()
                continue
            except errors.Gone:
                if not token or not again:
                    raise
                token, first, again = "", True, again - 1
                continue
            pace.took(len(data))
            page, token = _page(wire.parsed(call, data), first=first)
            del data  # so that a page is held once, and not beside the next one
            yield page
            del page
            first = False
            if not token:
                return

    async def watch(
        self,
        path: str,
        resource_version: str,
        params: Params | None = None,
        *,
        metadata_only: bool = False,
        timeout_seconds: int = 60,
    ) -> AsyncGenerator[Change, None]:
        """Tell what happens after `resource_version`, bookmarks included, until the server ends the stream.

        Raises Gone when the server no longer knows that version, Unavailable when the stream breaks or hangs.
        """
        asked = {
            **(params or {}),
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": timeout_seconds,
        }
        call = self._call("watch", path, asked, headers=wire.READ_METADATA if metadata_only else wire.READ)
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=timeout_seconds + STREAM_GRACE)
        started = _now()
        failure = ""
        try:
            async with self._open(call, timeout) as response:
                self._told(call, response.status, started)
                if response.status != HTTPStatus.OK:
                    raise wire.refusal(call, response, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield wire.change(call, line)
        except (aiohttp.ClientError, OSError) as error:
            failure = type(error).__name__
        if failure:
            # Out here, so that the library's error with its headers and bytes is no context of ours.
            raise errors.Unavailable(call.verb, path, 0, failure)

    def _call(
        self,
        verb: str,
        path: str,
        params: Params | None = None,
        *,
        headers: Headers | None = None,
        data: bytes | None = None,
    ) -> Call:
        address = f"{self._server}{path}?{urlencode(params)}" if params else self._server + path
        return Call(verb, path, URL(address, encoded=True), headers or wire.WRITE, data)

    def _open(
        self, call: Call, timeout: aiohttp.ClientTimeout, until: float = inf
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            wire.METHODS[call.verb],
            call.url,
            data=call.data and FencedBody(call.data, until),
            headers=call.headers,
            allow_redirects=False,
            timeout=timeout,
        )

    async def _write(self, call: Call, *, repeatable: bool = False) -> Body:
        return wire.parsed(call, await self._answer(call, repeatable=repeatable))

    async def _answer(self, call: Call, *, repeatable: bool = True) -> bytes:
        """Try `call` until it is answered or refused for good, three times at most."""
        for pause in _PAUSES:
            try:
                return await self._once(call)
            except errors.Throttled as error:
                # Refused before it acted, so even a create may come again (client-go does the same).
                wait = max(error.retry_after or 0, pause)
                if wait > LONGEST_PAUSE:
                    raise
            except errors.Unavailable:
                if not repeatable:
                    raise
                wait = pause
            await asyncio.sleep(wait * random.uniform(1, 1.5))  # noqa: S311  # spreads the herd, guards nothing
        return await self._once(call)

    async def _once(self, call: Call) -> bytes:
        started = _now()
        status, refusal, failure = 0, None, ""
        try:
            deadline = self._deadline(call, started)
            async with asyncio.timeout_at(deadline), self._slots:
                async with self._open(call, _UNTIMED, deadline) as response:
                    body = await _read(response, call.most)
                status = response.status
                self.clock.heard(response.headers.get("Date"))
                if status >= HTTPStatus.MULTIPLE_CHOICES:
                    refusal = wire.refusal(call, response, body or b"")
        except TimeoutError:
            failure = "Timeout"
        except (aiohttp.ClientError, OSError) as error:
            failure = type(error).__name__
        self._told(call, status, started)
        if failure:
            # Out here, so that the library's error with its headers and bytes is no context of ours.
            raise errors.Unavailable(call.verb, call.path, 0, failure)
        if refusal:
            raise refusal
        if body is None:
            raise TooMuch
        return body

    def _deadline(self, call: Call, now: float) -> float:
        """Say until when `call` may take; a write may not outlive our leadership, nor start after it."""
        if self.fence is None or call.verb in wire.READS:
            return now + self._timeout
        fence = self.fence()
        if fence <= now:
            raise errors.NotLeading(call.verb, call.path, 0, "NotLeading")
        return min(fence, now + self._timeout)

    def _told(self, call: Call, status: int, started: float) -> None:
        if self.on_response is not None:
            self.on_response(call.verb, paths.resource(call.path), status, _now() - started)


async def _read(response: aiohttp.ClientResponse, most: float) -> bytes | None:
    """Read an answer; None where it has more than `most` bytes, of which the rest is left on the wire."""
    if most == inf:
        return await response.read()
    parts, size = list[bytes](), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            return None
    return b"".join(parts)


def _page(answer: Body, *, first: bool) -> tuple[Page, str]:
    """Return a page, and where the next one starts."""
    metadata = answer["metadata"]
    # A list of metadata without members says `"items": null`.
    return Page(answer.get("items") or [], metadata["resourceVersion"], first), metadata.get("continue", "")


def _now() -> float:
    return asyncio.get_running_loop().time()


class FencedBody(aiohttp.BytesPayload):
    """Bytes that are sent until a loop time, and not at all after it."""

    def __init__(self, data: bytes, until: float) -> None:
        super().__init__(data)
        self._until = until

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # No await lies between this look and the socket; a request without its body is none.
        if asyncio.get_running_loop().time() >= self._until:
            raise TimeoutError
        await super().write_with_length(writer, content_length)
