"""Endpoint of the API server's audit webhook: POST /audit."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import hdrs, web

from keyturn.runtime import metrics
from keyturn.runtime.clock import loop_time

from .event import NotAnEvent, items_of, parse
from .rejected_batches import Deferred

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .authentication import AuditAuthentication
    from .event import Told
    from .queue import Intake

__all__ = ["Endpoint"]

_MAX_CONCURRENT: Final = 4
_REQUEST_TIMEOUT: Final = 10.0
_RETRY_AFTER: Final = {hdrs.RETRY_AFTER: "2"}
_PAUSE_EVERY: Final = 100

_log = structlog.get_logger()


class Endpoint:
    """Accepts or rejects each batch as a whole, so that the API server knows what to retry."""

    largest_body = 4 * 1024 * 1024
    """Bytes; 400 events at level Metadata, the API server's default batch, take a quarter of that."""

    def __init__(self, login: AuditAuthentication, intake: Intake) -> None:
        """`login` authenticates requests, `intake` queues the events."""
        self._login = login
        self._intake = intake
        self._reading = 0
        self._deferred = Deferred()

    @staticmethod
    def announce() -> None:
        """Export all counters with 0: an alert on an increase misses a counter that begins at 1."""
        for reason in ("busy", "malformed", "too_large"):
            metrics.AUDIT_EVENTS_DROPPED.labels(reason)
        metrics.AUTHENTICATION_FAILURES.labels("audit")

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/audit", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        metrics.AUDIT_BATCHES.labels(str(answer.status)).inc()
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        certificate = request.get_extra_info("peercert")
        if not self._login.lets_in(request.headers.get(hdrs.AUTHORIZATION, ""), certificate):
            metrics.AUTHENTICATION_FAILURES.labels("audit").inc()
            return _no(HTTPStatus.UNAUTHORIZED, "send the token or the certificate of the API server")
        if hdrs.CONTENT_ENCODING in request.headers:
            return _no(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON that is not compressed")
        if self._reading >= _MAX_CONCURRENT:
            return _later()
        self._reading += 1
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                body = await request.read()
            return await self._accept(body)
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

    async def _accept(self, body: bytes) -> web.Response:
        now = loop_time()
        if lost := self._deferred.lost(now):
            _drop("busy", lost)
        if self._intake.is_full:
            # Counted without parsing.
            self._deferred.send_back(body, body.count(b'"auditID"'), now)
            return _later()
        self._deferred.arrived(body)
        try:
            items = items_of(body)
        except NotAnEvent as error:
            _drop("malformed", 1)
            return _no(HTTPStatus.BAD_REQUEST, str(error))
        self._intake.add(await _parse(items))
        return web.Response()


async def _parse(items: Sequence[Any]) -> list[Told]:
    """Parse all events; a malformed one is counted and skipped."""
    found = []
    malformed = 0
    for number, item in enumerate(items, 1):
        try:
            if one := parse(item):
                found.append(one)
        except NotAnEvent:
            malformed += 1
        if number % _PAUSE_EVERY == 0:
            await asyncio.sleep(0)  # let reconciles run
    metrics.AUDIT_EVENTS.inc(len(items) - malformed)
    if malformed:
        _drop("malformed", malformed)
    return found


def _drop(reason: str, count: int) -> None:
    metrics.AUDIT_EVENTS_DROPPED.labels(reason).inc(count)
    _log.debug("audit events rejected", reason=reason, count=count)


def _later() -> web.Response:
    answer = _no(HTTPStatus.TOO_MANY_REQUESTS, "the queue is full; send the batch again")
    answer.headers.update(_RETRY_AFTER)
    return answer


def _no(status: HTTPStatus, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n")
