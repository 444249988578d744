"""Who may read the metrics: whom the API server lets get /metrics, by the token that they show.

Answers are kept for a short time, by a hash of the token; the token itself goes to the API server and nowhere else.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from keyturn.kube.client import Api

__all__ = ["AUDIENCE", "READER", "Scrapers"]

AUDIENCE: Final = "keyturn-metrics"
"""The audience of a token that opens the metrics and nothing else."""
READER: Final = "keyturn-metrics-reader"
"""The ClusterRole that lets get /metrics."""

_FRESH: Final = 60.0
"""Seconds: a right that is taken away is gone that long after."""
_REFUSED_FRESH: Final = 10.0
"""Seconds: a right that is given counts that soon."""
_MOST: Final = 256
_AT_A_TIME: Final = 2
"""Rotations use the same connections to the API server."""
_PATIENCE: Final = 5.0
_SAID_FOR: Final = 60.0
_RETRY_AFTER: Final = "5"
_METRICS: Final = {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The answer to a request for metrics."""

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
_NO_TOKEN: Final = _login("metrics are for who has a token: send the header Authorization: Bearer TOKEN")
_AWAY: Final = _unknown(
    "the API server did not say whose token this is; it is asked again at the next request"
)
_NO_RIGHT: Final = _unknown(
    "the operator may not ask the API server whose token this is: apply manifests/components/metrics-auth,"
    " and see keyturn check"
)


class Scrapers:
    """Asks whose a token is and what they may, few at a time."""

    def __init__(self, api: Api, audiences: Callable[[], Collection[str]] = tuple) -> None:
        """Take a client that asks also while another replica leads.

        `audiences` names for whom tokens may be as well: those of the API server, where TLS hides them.
        """
        self._api = api
        self._audiences = audiences
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self._silent_until = dict[str, float]()
        # For an alert, a counter that begins at one has not grown.
        metrics.AUTHENTICATION_FAILURES.labels("metrics")

    async def refusal(self, authorization: str, address: str | None) -> web.Response | None:
        """Answer a request of who may not read the metrics; None for who may."""
        verdict = await self._judged(bearer_token(authorization))
        if verdict.is_good:
            return None
        if verdict.status is HTTPStatus.UNAUTHORIZED:
            metrics.AUTHENTICATION_FAILURES.labels("metrics").inc()
            self._say("login to the metrics refused", address=address)
        return verdict.response()

    async def _judged(self, token: str) -> _Verdict:
        if not token:
            return _NO_TOKEN
        if not is_like_a_token(token):
            return self._not_for_us()
        key = hashlib.sha256(token.encode()).digest()
        if known := self._kept(key):
            return known
        try:
            async with asyncio.timeout(_PATIENCE), self._turns:
                return self._kept(key) or await self._asked(token, key)
        except errors.Forbidden as error:
            self._say("who reads the metrics is not known", error=error)
            return _NO_RIGHT
        except (errors.ApiError, TimeoutError) as error:
            self._say("who reads the metrics is not known", error=error)
            return _AWAY

    async def _asked(self, token: str, key: bytes) -> _Verdict:
        caller = await caller_of(token, self._taken(), self._api)
        if caller is None:
            return self._keep(key, self._not_for_us(), _REFUSED_FRESH)
        if await is_allowed(caller, _METRICS, self._api):
            return self._keep(key, _GOOD, self._lasts(token))
        self._say("metrics not allowed", user=caller.name)
        sentence = f"{caller.name} may not get /metrics: bind the ClusterRole {READER} to it"
        return self._keep(key, _Verdict(HTTPStatus.FORBIDDEN, sentence), _REFUSED_FRESH)

    def _taken(self) -> frozenset[str]:
        """Name for whom a token may be made."""
        return frozenset({AUDIENCE, *self._audiences()})

    def _not_for_us(self) -> _Verdict:
        by_https = "" if self._audiences() else ", or serve metrics by https for that of the API server"
        return _login(
            "the API server does not take this token for the metrics: it may have ended, or it was made without"
            f" the audience {AUDIENCE}; make it with this one{by_https}"
        )

    def _lasts(self, token: str) -> float:
        """Say for how many seconds a token counts as good without a further question."""
        end = end_of(token.encode())
        left = _FRESH if end is None else (end - self._api.clock.now()).total_seconds()
        return min(left, _FRESH)

    def _kept(self, key: bytes) -> _Verdict | None:
        known = self._known.get(key)
        return known.verdict if known and _now() < known.until else None

    def _keep(self, key: bytes, verdict: _Verdict, seconds: float) -> _Verdict:
        self._known[key] = _Known(verdict, _now() + seconds)
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return verdict

    def _say(self, event: str, **fields: object) -> None:
        """Tell the log at most once a minute: who asks decides how often there is something to tell."""
        now = _now()
        if now >= self._silent_until.get(event, now):
            self._silent_until[event] = now + _SAID_FOR
            _log.warning(event, **fields)


def _now() -> float:
    return asyncio.get_running_loop().time()
