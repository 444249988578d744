"""HTTP listener with limits, the routes /metrics, /livez and /readyz, and who may scrape.

A scrape is authorized by TokenReview, then by SubjectAccessReview of `get /metrics`. Results are cached for a short
time under a hash of the token; the token itself goes to the API server only.
"""

import asyncio
import hashlib
import os
import socket
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from aiohttp import hdrs, web

from keyturn.kube import errors
from keyturn.kube.client import Api
from keyturn.kube.tokens import bearer_token, caller_of, end_of, is_allowed, is_like_a_token
from keyturn.runtime import metrics, threadpools
from keyturn.runtime.clock import loop_time

from . import exposition
from .connections import ConnectionLimiter, PortLimits, ServerTls

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
        caller = await caller_of(token, frozenset({AUDIENCE, *self._audiences()}), self._api)
        if caller is None:
            return self._keep(key, self._not_for_us(), _REJECTION_CACHE_SECONDS)
        if await is_allowed(caller, _METRICS, self._api):
            end = end_of(token.encode())
            left = _CACHE_SECONDS if end is None else (end - self._api.clock.now()).total_seconds()
            return self._keep(key, _GOOD, min(left, _CACHE_SECONDS))
        self._log_limited("metrics permission missing", user=caller.name)
        sentence = f"{caller.name} may not get /metrics: bind the ClusterRole {READER} to it"
        return self._keep(key, _Verdict(HTTPStatus.FORBIDDEN, sentence), _REJECTION_CACHE_SECONDS)

    def _not_for_us(self) -> _Verdict:
        by_https = "" if self._audiences() else ", or serve metrics by https for that of the API server"
        return _login(
            "the API server rejects this token for the metrics: it may have expired, or lacks the audience"
            f" {AUDIENCE}; create one with this audience{by_https}"
        )

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


_LARGEST_BODY = 1024
_LIMITS = PortLimits()


class CannotListen(Exception):  # noqa: N818  # it says what happened
    """A port cannot be opened; the message has port and cause."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the listeners; 0 for any free port."""

    metrics: int = 8080
    health: int = 8081


@dataclass(frozen=True, slots=True)
class Exposure:
    """Settings of metrics and probes."""

    ports: Ports = Ports()
    asks_login: bool = False
    """Whether metrics require permission for `get /metrics`."""
    certificate: Path | None = None
    """Without a certificate metrics use plain HTTP."""
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Sources of the responses."""

    objects: Callable[[], Iterable[exposition.Facts]]
    """Metrics of objects and stores; called in another thread, so it begins with a copy of what may change."""
    unhealthy: Callable[[], list[str]]
    """Problems that a restart would fix, one line each; empty if healthy."""
    unready: Callable[[], list[str]]
    """Reasons why the process is not ready, one line each; empty if ready."""
    scrapers: Scrapers | None = None
    """Authorization of scrapes; None if metrics are public."""
    _scrape: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def metrics(self, request: web.Request) -> web.Response:
        if self.scrapers:
            shown = request.headers.get(hdrs.AUTHORIZATION, "")
            if refusal := await self.scrapers.refusal(shown, request.remote):
                return refusal
        accept = request.headers.get(hdrs.ACCEPT, "")
        # One at a time: each needs megabytes, and a second scraper can wait.
        async with self._scrape:
            body, content_type = await threadpools.run_own(exposition.expose, self.objects, accept)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def livez(self, _request: web.Request) -> web.Response:
        return _verdict(self.unhealthy())

    async def readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self.unready())


@asynccontextmanager
async def serve(
    site: Site, ports: Ports, limits: PortLimits = _LIMITS, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Ports]:
    """Serve until the block ends; yield the ports. Each port has its own limits.

    `tls` is for metrics; probes use plain HTTP.

    Raises:
        CannotListen: A port is in use or not permitted.
    """
    measured = [web.get("/metrics", site.metrics)]
    probed = [web.get("/livez", site.livez), web.get("/readyz", site.readyz)]
    async with AsyncExitStack() as stack:
        yield Ports(
            metrics=await stack.enter_async_context(
                listen(measured, ports.metrics, "metrics", tls=tls, limits=limits)
            ),
            health=await stack.enter_async_context(listen(probed, ports.health, "health", limits=limits)),
        )


@asynccontextmanager
async def listen(
    routes: list[web.RouteDef],
    port: int,
    purpose: str,
    *,
    tls: ssl.SSLContext | None = None,
    largest: int = _LARGEST_BODY,
    limits: PortLimits = _LIMITS,
) -> AsyncIterator[int]:
    """Serve one port until the block ends; yield the port.

    Raises:
        CannotListen: The port is in use or not permitted.
    """
    door = ConnectionLimiter(limits)
    app = web.Application(client_max_size=largest, middlewares=[door.watch])
    app.add_routes(routes)
    # aiohttp's keep-alive timeout counts from the start of the connection.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, keepalive_timeout=limits.silence)
    await runner.setup()
    try:
        listener = _bind(port, purpose)
        if runner.server is None:
            raise RuntimeError("the server is set up before its port is opened")
        async with door.open(listener, runner.server, tls):
            yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


def _bind(port: int, purpose: str) -> socket.socket:
    """Bind a port of IPv4 and IPv6 if available: probes may use either."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise CannotListen(f"cannot listen on port {port} for {purpose}: {why}") from error


def _verdict(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="".join(f"{problem}\n" for problem in problems))
    return web.Response(text="ok\n")


class MetricsServer:
    """Serves metrics, with authorization if configured, and probes, always without."""

    def __init__(self, exposure: Exposure, api: Api, audiences: Callable[[], Collection[str]]) -> None:
        """`api` sends requests also without leadership; `audiences` are those of the API server."""
        self._ports = exposure.ports
        certificate, key = exposure.certificate, exposure.key
        self._tls = ServerTls(certificate, key, "metrics") if certificate and key else None
        # Plain HTTP exposes the token to the network, so only tokens for the metrics alone are accepted there.
        taken = audiences if self._tls else tuple
        self._scrapers = Scrapers(api, taken) if exposure.asks_login else None

    @asynccontextmanager
    async def listening(self, site: Site) -> AsyncIterator[dict[str, int]]:
        """Serve until the block ends; yield the ports.

        Raises:
            CannotListen: A port is in use or not permitted.
        """
        guarded = replace(site, scrapers=self._scrapers)
        tls = self._tls.context if self._tls else None
        async with serve(guarded, self._ports, tls=tls) as ports:
            yield {"metrics_port": ports.metrics, "health_port": ports.health}

    async def keep(self) -> None:
        """Reload the certificate when its files change."""
        if self._tls:
            await self._tls.keep()
