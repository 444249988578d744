"""HTTP client of the API server: bounded time, attempts and concurrency, a leader fence, errors without bodies.

Bodies are plain dicts as the server sends them; callers parse them into types. Timestamps of the API server are
compared only with its own clock, not with the local one. A list has 50 objects per page at first, and more while
answers are small. A page is bounded by the bytes of its answer, because an object may have some hundred bytes or
1.5 MiB: a larger answer is not read to its end, and the next request asks for a quarter of the objects.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlencode

import orjson
import structlog

from keyturn.runtime.clock import loop_time

from . import errors, paths, wire
from .wire import Body, Call, Change, Headers, Patch, Response

Params: TypeAlias = Mapping[str, str | int]
OnResponse: TypeAlias = Callable[[str, str, int, float], None]
"""Called after every attempt: verb, resource, status (0 for no answer), seconds."""

Fence: TypeAlias = Callable[[], float]
"""Returns the loop time until which the object or collection at a path may be written."""

LONGEST_PAUSE: Final = 10.0
"""Seconds. A longer Retry-After is raised to the caller, so it does not occupy a worker."""
STREAM_GRACE: Final = 15
"""Seconds without data after a watch should have ended, until the connection counts as dead."""

_TIMEOUT: Final = 30.0
"""Seconds for one attempt."""
_MAX_CALLS: Final = 64
"""Calls at a time; watches do not count, so they never delay a call."""
_RETRY_DELAYS: Final = (0.1, 0.4)
"""Seconds before the second and the third attempt, the last one."""
_LIST_RESTARTS: Final = 2
"""Restarts of a list that took longer than the API server keeps its snapshot."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. With `first` the list starts here, and earlier pages are void."""

    items: list[Body]
    resource_version: str
    first: bool


class NoResponse(Exception):  # noqa: N818  # named after what happened
    """There is no answer; the text is the reason, one word."""


class Transport(Protocol):
    """Sends calls to one API server."""

    async def send(self, call: Call, until: float) -> Response:
        """Send a call, unless the loop time `until` has passed.

        Raises:
            TimeoutError: It has.
            NoResponse, OSError: There is no answer.
        """


class StreamTransport(Transport, Protocol):
    """Opens watches too."""

    def stream(
        self, call: Call, connect: float, quiet: float
    ) -> AbstractAsyncContextManager[tuple[Response, AsyncIterator[bytes]]]:
        """Open a streamed answer; its Response has a body only if the call was refused.

        Raises:
            NoResponse, OSError: There is no answer, not within `connect` seconds, or no part of it for `quiet`.
        """


class Client:
    """Client of one API server over any transport; without watches."""

    def __init__(
        self, transport: Transport, server: str, *, timeout: float = _TIMEOUT, attempts: int = 3
    ) -> None:
        self.fence: Fence | None = None
        """Without it writes are always allowed."""
        self.clock = ServerClock()
        self.on_response: OnResponse | None = None
        self._transport = transport
        self._server = server.rstrip("/")
        self._retry_delays = _RETRY_DELAYS[: attempts - 1]
        self._timeout = timeout
        self._slots = asyncio.Semaphore(_MAX_CALLS)

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        """Read one object; with `metadata_only` the server sends no data."""
        call = self._call("get", path, headers=wire.READ_METADATA if metadata_only else wire.READ)
        return wire.parsed(call, await self._answer(call))

    async def text(self, path: str) -> str:
        """Read a text endpoint, such as /metrics."""
        return (await self._answer(self._call("get", path))).decode("utf-8", "replace")

    async def request(self, path: str, body: Body) -> Body:
        """Post a request that is answered and not stored, such as TokenRequest; it is retried like a read."""
        call = self._call("request", path, data=orjson.dumps(body))
        return wire.parsed(call, await self._answer(call))

    async def create(self, path: str, body: Body) -> Body:
        """Create an object in the collection at `path`.

        It is not retried after a lost answer; a caller that does gets AlreadyExists.
        """
        return await self._write(self._call("create", path, data=orjson.dumps(body)))

    async def replace(self, path: str, body: Body) -> Body:
        """Replace an object; a resourceVersion in it makes the write conditional on the version that was read."""
        call = self._call("update", path, data=orjson.dumps(body))
        return await self._write(call, repeatable="resourceVersion" in body.get("metadata", ()))

    async def dry_run(self, path: str, body: Body, *, is_new: bool) -> Body:
        """Return what creating, or replacing, an object would store; nothing is written."""
        verb, params = "create" if is_new else "update", {"dryRun": "All", "fieldValidation": "Strict"}
        call = self._call(verb, path, params, data=orjson.dumps(body))
        return wire.parsed(call, await self._answer(call))

    async def patch(self, path: str, body: Body, kind: Patch, params: Params | None = None) -> Body:
        """Patch an object. APPLY requires `fieldManager` in `params`."""
        return await self._write(
            self._call("patch", path, params, headers=wire.PATCH[kind], data=orjson.dumps(body))
        )

    async def delete(self, path: str, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete the object at `path`, if `preconditions` (uid, resourceVersion) hold; success if it is absent."""
        data = orjson.dumps({"preconditions": dict(preconditions)}) if preconditions else None
        try:
            # The answer can be the object with all its data, so it is not parsed.
            await self._answer(self._call("delete", path, data=data), repeatable=False)
        except errors.NotFound:
            return

    async def pages(
        self, path: str, params: Params | None = None, *, limit: int = 2000, metadata_only: bool = False
    ) -> AsyncGenerator[Page, None]:
        """List a collection in pages of one snapshot, each of at most `limit` objects and bounded in bytes.

        If the snapshot expires, the list restarts, with `first` set on its first page.
        """
        headers = wire.READ_METADATA_LIST if metadata_only else wire.READ
        size, token, first, again = PageSize(limit), "", True, _LIST_RESTARTS
        while True:
            asked = {**(params or {}), "limit": size.limit, **({"continue": token} if token else {})}
            call = self._call("list", path, asked, headers=headers)._replace(most=size.most)
            try:
                data = await self._answer(call)
            except TooMuch:
                size.was_too_much()
                continue
            except errors.Gone:
                if not token or not again:
                    raise
                token, first, again = "", True, again - 1
                continue
            size.took(len(data))
            page, token = _page(call, wire.parsed(call, data), first=first)
            del data  # so that only one page is in memory
            yield page
            del page
            first = False
            if not token:
                return

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
        return Call(verb, path, address, headers or wire.WRITE, data)

    async def _write(self, call: Call, *, repeatable: bool = False) -> Body:
        return wire.parsed(call, await self._answer(call, repeatable=repeatable))

    async def _answer(self, call: Call, *, repeatable: bool = True) -> bytes:
        """Send `call` until it is answered or rejected permanently, or the attempts are used up."""
        for pause in self._retry_delays:
            try:
                return await self._once(call)
            except errors.Throttled as error:
                # Rejected before it was executed, so even a create is retried (as in client-go).
                wait = max(error.retry_after or 0, pause)
                if wait > LONGEST_PAUSE:
                    raise
            except errors.Unavailable:
                if not repeatable:
                    raise
                wait = pause
            await asyncio.sleep(wait * random.uniform(1, 1.5))  # noqa: S311  # spreads the burst, guards nothing
        return await self._once(call)

    async def _once(self, call: Call) -> bytes:
        started = loop_time()
        response, failure = None, ""
        try:
            deadline = self._deadline(call, started)
            async with asyncio.timeout_at(deadline), self._slots:
                response = await self._transport.send(call, deadline)
        except (NoResponse, OSError) as error:
            failure = _reason(error)
        self._report(call, response.status if response else 0, started)
        if response is None:
            # Raised outside the handler, so the library's error with its headers and bytes is not the context.
            raise errors.Unavailable(call.verb, call.path, 0, failure)
        self.clock.heard(response.date, response.asked, response.arrived)
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise wire.refusal(call, response)
        if response.body is None:
            raise TooMuch
        return response.body

    def _deadline(self, call: Call, now: float) -> float:
        """Return the loop time at which `call` times out; a write ends before leadership does.

        Raises:
            NotLeading: Leadership has ended, so the write is not sent.
        """
        if self.fence is None or call.verb in wire.READS:
            return now + self._timeout
        fence = self.fence()
        if fence <= now:
            raise errors.NotLeading(call.verb, call.path, 0, "NotLeading")
        return min(fence, now + self._timeout)

    def _report(self, call: Call, status: int, started: float) -> None:
        if self.on_response is not None:
            self.on_response(call.verb, paths.resource(call.path), status, loop_time() - started)


class Api(Client):
    """Client of one API server over a transport that has watches; the caller opens and closes it."""

    def __init__(self, transport: StreamTransport, server: str, *, timeout: float = _TIMEOUT) -> None:
        super().__init__(transport, server, timeout=timeout)
        self._streams = transport

    async def watch(
        self,
        path: str,
        resource_version: str,
        params: Params | None = None,
        *,
        metadata_only: bool = False,
        timeout_seconds: int,
    ) -> AsyncGenerator[Change, None]:
        """Yield the changes after `resource_version`, with bookmarks, until the server ends the stream.

        Raises Gone if the server no longer has that version, Unavailable if the stream breaks or hangs.
        """
        asked = {
            **(params or {}),
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": timeout_seconds,
        }
        call = self._call("watch", path, asked, headers=wire.READ_METADATA if metadata_only else wire.READ)
        started = loop_time()
        failure = ""
        try:
            opened = self._streams.stream(call, self._timeout, timeout_seconds + STREAM_GRACE)
            async with opened as (response, parts):
                self._report(call, response.status, started)
                if response.status != HTTPStatus.OK:
                    raise wire.refusal(call, response)
                rest = b""
                async for part in parts:
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        yield wire.change(call, line)
        except (NoResponse, OSError) as error:
            failure = _reason(error)
        if failure:
            # Raised outside the handler, so the library's error with its headers and bytes is not the context.
            raise errors.Unavailable(call.verb, path, 0, failure)


def _reason(error: Exception) -> str:
    if isinstance(error, NoResponse):
        return str(error)
    return "Timeout" if isinstance(error, TimeoutError) else type(error).__name__


def _page(call: Call, answer: Body, *, first: bool) -> tuple[Page, str]:
    """Return a page, and the continue token of the next one."""
    # A metadata list without members has `"items": null`.
    metadata, items = answer.get("metadata"), answer.get("items") or []
    if not isinstance(metadata, dict) or not isinstance(items, list):
        raise wire.malformed(call)
    version, token = metadata.get("resourceVersion"), metadata.get("continue", "")
    if not isinstance(version, str) or not isinstance(token, str):
        raise wire.malformed(call)
    return Page(items, version, first), token


_TOLERANCE = timedelta(seconds=2)
_MAX_SKEW = timedelta(minutes=1)
"""Skew that is logged: less is usual, more makes tokens and certificates fail."""

_log = structlog.get_logger()


class ServerClock:
    """The API server's time, from the Date headers of its answers and the local monotonic clock.

    Until the first answer it is the local wall clock, which may be wrong or be changed later.
    """

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        """Lead of the local wall clock over the API server's, at the last answer."""
        self._heard: str | None = None
        self._anchor: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        return self._time_at(monotonic())

    def seconds_ahead(self) -> float:
        """Return the lead of the local wall clock over the API server's at the last answer, in seconds."""
        return self.ahead.total_seconds()

    def heard(self, date: str | None, asked: float, arrived: float) -> None:
        """Record a Date header (RFC 9110, section 6.6.1) and the monotonic times of the request and of the headers.

        The server wrote the date between these times. The clock changes only if it contradicts that by more than
        the whole seconds of a date explain, and then by as little as possible. A date that the server may have
        written before the last change says nothing about the time since.
        """
        if date is None or date == self._heard or (self._anchor and asked < self._anchor[1]):
            return
        self._heard = date
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)  # HTTP dates are in GMT
        ours = self._time_at(arrived)
        nearest = min(max(ours, theirs), theirs + timedelta(seconds=arrived - asked))
        is_off = abs(ours - nearest) >= _TOLERANCE
        if is_off or self._anchor is None:
            self._anchor = (nearest if is_off else ours, arrived)
        self._compare()

    def _time_at(self, ticks: float) -> datetime:
        """Return the server's time at a time of the monotonic clock."""
        if self._anchor is None:
            return datetime.now(UTC) - timedelta(seconds=monotonic() - ticks)
        at, since = self._anchor
        return at + timedelta(seconds=ticks - since)

    def _compare(self) -> None:
        """Log when the local wall clock begins to differ, and when it agrees again."""
        was_off, self.ahead = abs(self.ahead) >= _MAX_SKEW, datetime.now(UTC) - self.now()
        is_off = abs(self.ahead) >= _MAX_SKEW
        if is_off and not was_off:
            _log.warning("clock out of sync", ahead_seconds=round(self.ahead.total_seconds()))
        elif was_off and not is_off:
            _log.info("clock in sync")


MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of JSON; parsed objects take about ten times as much while a page is processed."""
_FIRST: Final = 50


class TooMuch(Exception):  # noqa: N818  # read aloud: "too much"
    """An answer exceeds the bytes that a page may have."""


class PageSize:
    """Adaptive limit of objects per page."""

    def __init__(self, longest: int) -> None:
        self.limit = min(longest, _FIRST)
        self._longest = longest

    @property
    def most(self) -> float:
        """Maximum bytes of the next answer; a single object is not limited."""
        return MOST_BYTES if self.limit > 1 else inf

    def took(self, size: int) -> None:
        """Record the bytes of an answer: objects of the same size are to take half of a page at most."""
        times = next((times for times in (4, 2) if size * times < MOST_BYTES / 2), 1)
        self.limit = min(times * self.limit, self._longest)

    def was_too_much(self) -> None:
        """Record that an answer was too large."""
        self.limit = max(self.limit // 4, 1)
