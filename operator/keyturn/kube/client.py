"""How each call to the API server is made: bounded in time, tries and number, fenced, and quiet about bodies.

Bodies are plain dicts as the server sends them; parsing them into types is the caller's first act.
"""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from math import inf
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlencode

import aiohttp
import orjson
from aiohttp.hdrs import ACCEPT, CONTENT_TYPE
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from keyturn.kube import errors, paths
from keyturn.kube.clock import ServerClock
from keyturn.kube.fencedbody import FencedBody

Body: TypeAlias = dict[str, Any]
Params: TypeAlias = Mapping[str, str | int]
OnResponse: TypeAlias = Callable[[str, str, int, float], None]
"""Told after every single try: verb, resource, status (0: no answer), seconds."""

LONGEST_PAUSE: Final = 10.0
"""Seconds: a longer Retry-After goes to the caller, who has better things to do than to hold a worker."""
STREAM_GRACE: Final = 15
"""Seconds without a byte after the server should have ended a watch, until we call the connection dead."""

_PAUSES: Final = (0.1, 0.4)
"""Seconds before the second and the third try, the last one."""
_REASON: Final = re.compile(r"[A-Z][A-Za-z]{0,62}")
_UNTIMED: Final = aiohttp.ClientTimeout()
"""Each call runs under one timeout of ours; a second one inside would only cost."""
# No second choice in Accept: a server that cannot leave the data out must refuse, not send it.
_METADATA: Final = "application/json;as={};g=meta.k8s.io;v=v1"


class Patch(Enum):
    """The ways to change a part of an object; never used on Secrets."""

    MERGE = "application/merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Page:
    """One part of a list. `first` says that the list starts here: forget what earlier pages of it said."""

    items: list[Body]
    resource_version: str
    first: bool


class Change(NamedTuple):
    """One event of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object it is about."""

    kind: str
    body: Body


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
        call = self._call("get", path, params, headers=_READ_METADATA if metadata_only else _READ)
        return _parsed(call, await self._answer(call))

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
            self._call("patch", path, params, headers=_PATCH[kind], data=orjson.dumps(body))
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
        """List a collection in pages of one consistent moment.

        When that moment has become too old half-way, the whole list comes again in one piece, marked `first`
        (client-go's pager does the same).
        """
        headers = _READ_METADATA_LIST if metadata_only else _READ
        token, first = "", True
        while True:
            asked = {**(params or {}), "limit": limit, **({"continue": token} if token else {})}
            call = self._call("list", path, asked, headers=headers)
            try:
                answer = _parsed(call, await self._answer(call))
            except errors.Gone:
                if not token:
                    raise
                token, first, limit = "", True, 0
                continue
            # A list of metadata without members says `"items": null`.
            yield Page(answer.get("items") or [], answer["metadata"]["resourceVersion"], first)
            token, first = answer["metadata"].get("continue", ""), False
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
        call = self._call("watch", path, asked, headers=_READ_METADATA if metadata_only else _READ)
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=timeout_seconds + STREAM_GRACE)
        started = _now()
        failure = ""
        try:
            async with self._open(call, timeout) as response:
                self._told(call, response.status, started)
                if response.status != HTTPStatus.OK:
                    raise _refusal(call, response, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield _change(call, line)
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
        headers: "_Headers | None" = None,
        data: bytes | None = None,
    ) -> "_Call":
        address = f"{self._server}{path}?{urlencode(params)}" if params else self._server + path
        return _Call(verb, path, URL(address, encoded=True), headers or _WRITE, data)

    def _open(
        self, call: "_Call", timeout: aiohttp.ClientTimeout, until: float = inf
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            _METHODS[call.verb],
            call.url,
            data=call.data and FencedBody(call.data, until),
            headers=call.headers,
            allow_redirects=False,
            timeout=timeout,
        )

    async def _write(self, call: "_Call", *, repeatable: bool = False) -> Body:
        return _parsed(call, await self._answer(call, repeatable=repeatable))

    async def _answer(self, call: "_Call", *, repeatable: bool = True) -> bytes:
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

    async def _once(self, call: "_Call") -> bytes:
        started = _now()
        status, refusal, failure = 0, None, ""
        try:
            deadline = self._deadline(call, started)
            async with asyncio.timeout_at(deadline), self._slots:
                async with self._open(call, _UNTIMED, deadline) as response:
                    body: bytes = await response.read()
                status = response.status
                self.clock.heard(response.headers.get("Date"))
                refusal = None if status < HTTPStatus.MULTIPLE_CHOICES else _refusal(call, response, body)
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
        return body

    def _deadline(self, call: "_Call", now: float) -> float:
        """Say until when `call` may take; a write may not outlive our leadership, nor start after it."""
        if self.fence is None or call.verb in _READS:
            return now + self._timeout
        fence = self.fence()
        if fence <= now:
            raise errors.NotLeading(call.verb, call.path, 0, "NotLeading")
        return min(fence, now + self._timeout)

    def _told(self, call: "_Call", status: int, started: float) -> None:
        if self.on_response is not None:
            self.on_response(call.verb, paths.resource(call.path), status, _now() - started)


class _Call(NamedTuple):
    verb: str
    path: str
    url: URL
    headers: "_Headers"
    data: bytes | None


_READS: Final = frozenset({"get", "list", "watch"})
_METHODS: Final = MappingProxyType(
    {
        "get": "GET",
        "list": "GET",
        "watch": "GET",
        "create": "POST",
        "update": "PUT",
        "patch": "PATCH",
        "delete": "DELETE",
    }
)
_Headers: TypeAlias = CIMultiDictProxy[str]


def _headers(accept: str, content_type: str | None = None) -> _Headers:
    content = {CONTENT_TYPE: content_type} if content_type else {}
    return CIMultiDictProxy(CIMultiDict({ACCEPT: accept, **content}))


_JSON: Final = "application/json"
_READ: Final = _headers(_JSON)
_READ_METADATA: Final = _headers(_METADATA.format("PartialObjectMetadata"))
_READ_METADATA_LIST: Final = _headers(_METADATA.format("PartialObjectMetadataList"))
_WRITE: Final = _headers(_JSON, _JSON)
_PATCH: Final = MappingProxyType({kind: _headers(_JSON, kind.value) for kind in Patch})


def _parsed(call: _Call, data: bytes) -> Body:
    body = _loaded(data)
    if not isinstance(body, dict):
        raise errors.Unavailable(call.verb, call.path, 0, "MalformedAnswer")
    return body


def _loaded(data: bytes) -> Any:
    """Parse JSON, or say None: the parser's error holds the whole text, so it must end here."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _change(call: _Call, line: bytes) -> Change:
    event = _parsed(call, line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise errors.of_answer(call.verb, call.path, status.get("code", 0), _reason(status))
    return Change(event["type"], event["object"])


def _refusal(call: _Call, response: aiohttp.ClientResponse, body: bytes) -> errors.ApiError:
    return errors.of_answer(
        call.verb,
        call.path,
        response.status,
        _reason(_loaded(body)),
        retry_after=_seconds(response.headers.get("Retry-After", "")),
    )


def _reason(status: Any) -> str:
    """Take the reason of a Status if it is a single word: an admission webhook may write anything there."""
    reason = status.get("reason") if isinstance(status, dict) else None
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else "Unknown"


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isdecimal() else None


def _now() -> float:
    return asyncio.get_running_loop().time()
