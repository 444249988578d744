"""Endpoint of the API server's audit webhook: POST /audit."""

from __future__ import annotations

import asyncio
import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import hdrs, web

from keyturn.endpoints.server_tls import CannotServe
from keyturn.kube.callers import bearer_token
from keyturn.runtime import metrics

from .event import NotAnEvent, items_of, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .event import Told

_MIN_TOKEN_LENGTH: Final = 32
_MAX_TOKEN_FILE_BYTES: Final = 64 * 1024

_MAX_CONCURRENT: Final = 4
_REQUEST_TIMEOUT: Final = 10.0
_PAUSE_EVERY: Final = 50

_log = structlog.get_logger()


def read_token(path: Path) -> bytes:
    """Return the token that a sender must present.

    Raises:
        CannotServe: The file cannot be used.
    """
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN_FILE_BYTES).strip()
    except OSError:
        raise CannotServe(f"--audit-token-file: {path} cannot be read") from None
    if len(token) < _MIN_TOKEN_LENGTH:
        raise CannotServe(
            f"--audit-token-file: write at least {_MIN_TOKEN_LENGTH} characters, from a random source"
        )
    return token


class Endpoint:
    """Accepts or rejects each batch as a whole, so that the API server knows what to retry."""

    largest_body = 4 * 1024 * 1024
    """Bytes; 400 events at level Metadata, the API server's default batch, take a quarter of that."""

    def __init__(self, token_file: Path, take: Callable[[Told], None]) -> None:
        """`token_file` has the token of the API server, `take` is called with each event."""
        self._token_file = token_file
        self._take = take
        self._reading = 0
        self.is_ready = False
        """Whether events can be judged; the API server sends a batch again that comes before."""

    @staticmethod
    def announce() -> None:
        """Export all counters with 0: an alert on an increase misses a counter that begins at 1."""
        for reason in ("malformed", "too_large"):
            metrics.AUDIT_EVENTS_DROPPED.labels(reason)
        metrics.AUTHENTICATION_FAILURES.labels("audit")

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/audit", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        if self._has_token(request.headers.get(hdrs.AUTHORIZATION, "")):
            answer = await self._answer(request)
        else:
            metrics.AUTHENTICATION_FAILURES.labels("audit").inc()
            answer = _no(HTTPStatus.UNAUTHORIZED, "send the token of the API server")
        metrics.AUDIT_BATCHES.labels(str(answer.status)).inc()
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        if hdrs.CONTENT_ENCODING in request.headers:
            return _no(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON that is not compressed")
        if self._reading >= _MAX_CONCURRENT or not self.is_ready:
            answer = _no(HTTPStatus.TOO_MANY_REQUESTS, "the operator is busy; send the batch again")
            answer.headers[hdrs.RETRY_AFTER] = "2"
            return answer
        self._reading += 1
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                body = await request.read()
            await self._process(items_of(body))
        except NotAnEvent as error:
            _drop("malformed", 1)
            return _no(HTTPStatus.BAD_REQUEST, str(error))
        except web.HTTPRequestEntityTooLarge:
            _drop("too_large", 1)
            return _no(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"send {self.largest_body} bytes at most: events at level Metadata, and fewer at a time",
            )
        except TimeoutError:
            return _no(HTTPStatus.REQUEST_TIMEOUT, f"send the body within {_REQUEST_TIMEOUT:.0f} s")
        finally:
            self._reading -= 1
        return web.Response()

    def _has_token(self, authorization: str) -> bool:
        """Whether a header has the token, which is read each time, as its file may have changed."""
        try:
            token = read_token(self._token_file)
        except CannotServe as error:
            _log.warning("audit events refused", reason=str(error))
            return False
        shown = bearer_token(authorization).encode("utf-8", "surrogateescape")
        return hmac.compare_digest(shown, token)

    async def _process(self, items: Sequence[Any]) -> None:
        """Process all events; a malformed one is counted and skipped."""
        malformed = 0
        for number, item in enumerate(items, 1):
            try:
                told = parse(item)
            except NotAnEvent:
                malformed += 1
                continue
            if told:
                self._take(told)
            if number % _PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # let reconciles run
        metrics.AUDIT_EVENTS.inc(len(items) - malformed)
        _drop("malformed", malformed)


def _drop(reason: str, count: int) -> None:
    metrics.AUDIT_EVENTS_DROPPED.labels(reason).inc(count)


def _no(status: HTTPStatus, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n")
