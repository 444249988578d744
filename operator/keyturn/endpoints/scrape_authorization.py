"""Authorization of scrapes: TokenReview, then SubjectAccessReview of `get /metrics`.

Results are cached for a short time under a hash of the token; the token itself goes to the API server only.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from aiohttp import hdrs, web

from keyturn.kube import errors
from keyturn.kube.callers import bearer_token, caller_of, is_allowed, is_like_a_token
from keyturn.kube.jwt import end_of
from keyturn.runtime import metrics
from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from keyturn.kube.client import Api

AUDIENCE: Final = "keyturn-metrics"
"""Audience of a token for the metrics alone."""
READER: Final = "keyturn-metrics-reader"
"""The ClusterRole that permits `get /metrics`."""

_CACHE_SECONDS: Final = 60.0
"""Seconds until a revoked permission takes effect."""
_REJECTION_CACHE_SECONDS: Final = 10.0
"""Seconds until a new permission takes effect."""
_MAX_CACHED: Final = 256
_MAX_CONCURRENT: Final = 2
"""Reconciles use the same connections to the API server."""
_REQUEST_TIMEOUT: Final = 5.0
_LOG_INTERVAL: Final = 60.0
_RETRY_AFTER: Final = "5"
_METRICS: Final = {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Result of an authorization."""

    status: HTTPStatus
    sentence: str = ""
    headers: Mapping[str, str] | None = None

    @property
    def is_good(self) -> bool:
        return self.status is HTTPStatus.OK

    def response(self) -> web.Response:
        return web.Response(status=self.status, text=f"{self.sentence}\n", headers=self.headers)


class _Known(NamedTuple):
    verdict: _Verdict
    until: float


def _login(sentence: str) -> _Verdict:
    return _Verdict(HTTPStatus.UNAUTHORIZED, sentence, {hdrs.WWW_AUTHENTICATE: "Bearer"})


def _unknown(sentence: str) -> _Verdict:
    return _Verdict(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {hdrs.RETRY_AFTER: _RETRY_AFTER})


_GOOD: Final = _Verdict(HTTPStatus.OK)
_NO_TOKEN: Final = _login("metrics require a token: send the header Authorization: Bearer TOKEN")
_UNAVAILABLE: Final = _unknown("the API server could not check the token; the next request checks it again")
_NO_RIGHT: Final = _unknown(
    "the operator may not create TokenReviews: apply manifests/components/metrics-auth, and see keyturn check"
)


class Scrapers:
    """Authorizes scrapes, with at most two reviews at a time."""

    def __init__(self, api: Api, audiences: Callable[[], Collection[str]] = tuple) -> None:
        """`api` sends requests also without leadership.

        `audiences` are further accepted audiences: those of the API server, if TLS protects the token.
        """
        self._api = api
        self._audiences = audiences
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._turns = asyncio.Semaphore(_MAX_CONCURRENT)
        self._silent_until = dict[str, float]()
        # An alert on an increase misses a counter that begins at 1.
        metrics.AUTHENTICATION_FAILURES.labels("metrics")

    async def refusal(self, authorization: str, address: str | None) -> web.Response | None:
        """Return the response to a rejected scrape; None if it is permitted."""
        verdict = await self._authorize(bearer_token(authorization))
        if verdict.is_good:
            return None
        if verdict.status is HTTPStatus.UNAUTHORIZED:
            metrics.AUTHENTICATION_FAILURES.labels("metrics").inc()
            self._log_limited("metrics login refused", address=address)
        return verdict.response()

    async def _authorize(self, token: str) -> _Verdict:
        if not token:
            return _NO_TOKEN
        if not is_like_a_token(token):
            return self._not_for_us()
        key = hashlib.sha256(token.encode()).digest()
        if known := self._kept(key):
            return known
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT), self._turns:
                return self._kept(key) or await self._review(token, key)
        except errors.Forbidden as error:
            self._log_limited("metrics authorization failed", error=error)
            return _NO_RIGHT
        except (errors.ApiError, TimeoutError) as error:
            self._log_limited("metrics authorization failed", error=error)
            return _UNAVAILABLE

    async def _review(self, token: str, key: bytes) -> _Verdict:
        caller = await caller_of(token, self._accepted_audiences(), self._api)
        if caller is None:
            return self._keep(key, self._not_for_us(), _REJECTION_CACHE_SECONDS)
        if await is_allowed(caller, _METRICS, self._api):
            return self._keep(key, _GOOD, self._cache_seconds(token))
        self._log_limited("metrics permission missing", user=caller.name)
        sentence = f"{caller.name} may not get /metrics: bind the ClusterRole {READER} to it"
        return self._keep(key, _Verdict(HTTPStatus.FORBIDDEN, sentence), _REJECTION_CACHE_SECONDS)

    def _accepted_audiences(self) -> frozenset[str]:
        """Return the accepted audiences."""
        return frozenset({AUDIENCE, *self._audiences()})

    def _not_for_us(self) -> _Verdict:
        by_https = "" if self._audiences() else ", or serve metrics by https for that of the API server"
        return _login(
            "the API server rejects this token for the metrics: it may have expired, or lacks the audience"
            f" {AUDIENCE}; create one with this audience{by_https}"
        )

    def _cache_seconds(self, token: str) -> float:
        """Return for how many seconds a permitted token is cached."""
        end = end_of(token.encode())
        left = _CACHE_SECONDS if end is None else (end - self._api.clock.now()).total_seconds()
        return min(left, _CACHE_SECONDS)

    def _kept(self, key: bytes) -> _Verdict | None:
        known = self._known.get(key)
        return known.verdict if known and loop_time() < known.until else None

    def _keep(self, key: bytes, verdict: _Verdict, seconds: float) -> _Verdict:
        self._known[key] = _Known(verdict, loop_time() + seconds)
        self._known.move_to_end(key)
        while len(self._known) > _MAX_CACHED:
            self._known.popitem(last=False)
        return verdict

    def _log_limited(self, event: str, **fields: object) -> None:
        """Log at most once a minute, since clients decide how often this happens."""
        now = loop_time()
        if now >= self._silent_until.get(event, now):
            self._silent_until[event] = now + _LOG_INTERVAL
            _log.warning(event, **fields)
