"""Audit webhook of the API server: the endpoint POST /audit, its classifier, and the record in its Secret."""

import asyncio
import hmac
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from aiohttp import hdrs, web

from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ACCESS_TYPE
from keyturn.core.observation.emergency import Readership
from keyturn.endpoints import connections, server
from keyturn.endpoints.connections import CannotServe, ServerTls
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.client import Api
from keyturn.kube.tokens import bearer_token
from keyturn.kube.wire import Body
from keyturn.runtime import metrics, threadpools

from . import access_log
from .access_log import AccessScope, Record, readers_of
from .classifier import Watcher
from .event import NotAnEvent, Told, items_of, parse

_MIN_TOKEN_LENGTH: Final = 32
_MAX_TOKEN_FILE_BYTES: Final = 64 * 1024

_MAX_CONCURRENT: Final = 4
_REQUEST_TIMEOUT: Final = 10.0
_PAUSE_EVERY: Final = 50
_MOST_REMEMBERED: Final = 20_000

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
        self._recent: dict[str, None] = {}
        """Identifiers of the last events that were taken, the oldest first: a sender may repeat them."""
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
            if told and not self._is_repeated(item):
                self._take(told)
            if number % _PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # let reconciles run
        metrics.AUDIT_EVENTS.inc(len(items) - malformed)
        _drop("malformed", malformed)

    def _is_repeated(self, item: Mapping[str, Any]) -> bool:
        """Whether the event came before, and remember it; an event without an identifier never did."""
        name = item.get("auditID")
        if not isinstance(name, str):
            return False
        if name in self._recent:
            return True
        self._recent[name] = None
        if len(self._recent) > _MOST_REMEMBERED:
            del self._recent[next(iter(self._recent))]
        return False


def _drop(reason: str, count: int) -> None:
    metrics.AUDIT_EVENTS_DROPPED.labels(reason).inc(count)


def _no(status: HTTPStatus, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n")


_WHO_AM_I: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEW: Final = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
_SYNC_INTERVAL: Final = 60.0
_SLOW_SYNC_INTERVAL: Final = timedelta(minutes=10)
"""Interval of writes if only known readers have read."""
_SHUTDOWN_TIMEOUT: Final = 2.0
_RETRY_DELAY: Final = 5.0
_RETENTION: Final = timedelta(days=90)
_LIMITS: Final = connections.PortLimits(silence=120)
"""The API server keeps idle connections for 90 s, and does not retry a batch if one is closed."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Settings of the webhook."""

    port: int
    certificate: Path
    key: Path
    token_file: Path
    allowed: tuple[str, ...] = ()
    learning: timedelta = timedelta(days=14)


class Proof(Protocol):
    """Evidence of whether the API server logs reads of Secrets."""

    takes_events: bool
    """Whether the webhook is served."""
    logged: datetime | None
    """The last read by the operator that arrived as an audit event."""


class Audit:
    """Runs in every replica: the API server connects to any of them, and keeps the connection.

    A round adds what was noted since the last write to the stored record, and writes the sum. After a conflict the
    next round does that again.
    """

    def __init__(
        self,
        settings: AuditSettings,
        api: Api,
        namespace: str,
        cache: InformerCache,
        now: Callable[[], datetime],
        proof: Proof,
    ) -> None:
        """`api` writes also without leadership; `namespace` is the operator's own.

        Each read of the record is a probe: its audit event is noted in `proof`.

        Raises:
            CannotServe: A file of the settings is invalid.
        """
        self.tls = ServerTls(settings.certificate, settings.key, "audit")
        read_token(settings.token_file)
        self.watcher = Watcher(cache, now, settings.learning, settings.allowed, note_own=self._note_own)
        self.endpoint = Endpoint(settings.token_file, self.watcher.take)
        self.endpoint.announce()
        self.watcher.announce()
        self._api = api
        self._namespace = namespace
        self._port = settings.port
        self._cache = cache
        self._now = now
        self._proof = proof
        self._version: str | None = None
        self._written: datetime | None = None
        self._round: asyncio.Task[bool] | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, int]]:
        """Serve until the block ends, then store what is new; yield the port.

        Raises:
            CannotListen: The port is in use or not permitted.
        """
        routes, largest = self.endpoint.routes(), self.endpoint.largest_body
        listening = server.listen(
            routes, self._port, "audit events", tls=self.tls.context, largest=largest, limits=_LIMITS
        )
        async with aclosing(self), listening as port:
            yield {"audit_port": port}

    async def run(self) -> None:
        """Take events once the own identity and the stored record are known, and store them, until cancelled."""
        self._proof.takes_events = True
        myself = await self._myself()
        self.watcher.is_ourselves = lambda subject: subject == myself
        while not await self.sync():  # noqa: ASYNC110 - nothing tells that the API server is back
            await asyncio.sleep(_RETRY_DELAY)
        self.endpoint.is_ready = True
        while True:
            await asyncio.sleep(_SYNC_INTERVAL * random.uniform(1, 1.5))  # noqa: S311 - it spreads the requests
            await self.sync()

    async def aclose(self) -> None:
        """Store what is new."""
        if not self.endpoint.is_ready:
            return
        try:
            async with asyncio.timeout(_SHUTDOWN_TIMEOUT):
                if self._round:
                    await asyncio.wait([self._round])
                await self.sync(at_the_end=True)
        except TimeoutError:
            _log.warning("access log not persisted", reason="timeout at shutdown")

    def readership(self, namespace: str, names: Collection[str], since: datetime) -> Readership:
        """Return the readers of ManagedSecrets since then, as far as this replica knows."""
        records = self.watcher.records
        reads, refused = [one.read for one in records], [one.refused for one in records]
        found = [(name, one) for name in names for one in readers_of(reads, namespace, (name,), since)[0]]
        found.sort(key=lambda pair: pair[1].last, reverse=True)
        _, forgotten = readers_of(reads, namespace, names, since)
        rejected, _ = readers_of(refused, namespace, names, since)
        return Readership(tuple(found), forgotten, tuple(rejected), self.watcher.since)

    async def sync(self, *, at_the_end: bool = False) -> bool:
        """Synchronise with the stored record; return whether that succeeded or never will.

        A cancellation does not interrupt a round: reads that the API server has stored would be counted twice.
        """
        self._round = asyncio.create_task(self._sync(is_due=self._is_due(at_the_end=at_the_end)))
        return await asyncio.shield(self._round)

    def _is_due(self, *, at_the_end: bool) -> bool:
        watcher = self.watcher
        if watcher.record.is_empty:
            return False
        if at_the_end or self._written is None or self._now() - self._written >= _SLOW_SYNC_INTERVAL:
            return True
        return not watcher.known.has_all(watcher.record)

    async def _sync(self, *, is_due: bool) -> bool:
        watcher, new = self.watcher, Record()
        if is_due:
            new, watcher.record = watcher.record, new
        watcher.sending = new
        try:
            watcher.known = await self._exchange(new)
        except errors.ApiError as error:
            new.add(watcher.record)
            watcher.record = new
            if not isinstance(error, errors.Conflict | errors.AlreadyExists):  # the next round writes it
                _log.warning("access log not persisted", error=error)
            return isinstance(error, errors.Forbidden | errors.Conflict | errors.AlreadyExists)
        finally:
            watcher.sending = Record()
        return True

    async def _exchange(self, new: Record) -> Record:
        """Add what is new to the stored record, and return the sum."""
        path, found = paths.secret(self._namespace, access_log.NAME), None
        try:
            found = await self._api.get(path, metadata_only=True)
            if new.is_empty and found["metadata"]["resourceVersion"] == self._version:
                return self.watcher.known
            found = await self._api.get(path)
        except errors.NotFound:
            if new.is_empty:
                return self.watcher.known
        record, body = await threadpools.run_own(self._sum, found, self.watcher.known, new)
        if body is None:
            self._version = found["metadata"]["resourceVersion"] if found else None
            return record
        if found is None:
            written = await self._api.create(paths.secrets(self._namespace), body)
        else:
            written = await self._api.replace(path, body)
        self._version, self._written = written["metadata"]["resourceVersion"], self._now()
        return record

    def _sum(self, found: Body | None, known: Record, new: Record) -> tuple[Record, Body | None]:
        """Return the sum, and the Secret to write; None if nothing is new, or if the Secret is foreign."""
        record, version, is_ours = Record(), None, True
        if found is not None:
            version, is_ours = found["metadata"]["resourceVersion"], found.get("type") == ACCESS_TYPE
            try:
                record = access_log.decode(found)
            except access_log.Unreadable:
                reason = "the record is invalid, and begins again" if is_ours else "the Secret is foreign"
                _log.warning("access log not read", reason=reason, name=access_log.NAME)
                record.add(known)
        record.add(new)
        record.trim(self._now() - _RETENTION, self._exists)
        if new.is_empty or not is_ours:
            return record, None
        return record, access_log.body_of(self._namespace, version, record, self._exists)

    def _note_own(self, when: datetime) -> None:
        self._proof.logged = max(when, self._proof.logged or when)

    async def _myself(self) -> str:
        while True:
            try:
                answer = await self._api.request(_WHO_AM_I, _REVIEW)
            except errors.ApiError as error:
                _log.warning("own identity unknown", error=error)
                await asyncio.sleep(_RETRY_DELAY)
            else:
                return str(answer["status"]["userInfo"]["username"])

    def _exists(self, scope: AccessScope) -> bool:
        if scope.name:
            return self._cache.has_managed(ObjectKey(*scope))
        return not scope.namespace or scope.namespace in self._cache.managed_namespaces()
