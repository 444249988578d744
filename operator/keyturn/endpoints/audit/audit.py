"""Composition root of the audit webhook: endpoint, queue, classifier, access log and its persistence."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from keyturn.core.emergency.readers import Readership
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ACCESS_TYPE
from keyturn.endpoints.server_tls import CannotServe
from keyturn.kube import errors, paths
from keyturn.runtime import threadpools

from . import persistence
from .access_log import AccessLog, AccessScope
from .authentication import AuditAuthentication
from .baseline import Habits
from .classifier import Watcher
from .endpoint import Endpoint
from .queue import Intake
from .slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api, Body

    from .authentication import AuditSettings

__all__ = ["Audit"]

_WHO_AM_I: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_SYNC_INTERVAL: Final = 60.0
_SLOW_SYNC_INTERVAL: Final = timedelta(minutes=10)
"""Interval of writes if only times of known readers have changed."""
_SHUTDOWN_TIMEOUT: Final = 2.0
_RETRY_DELAY: Final = 5.0
_RETENTION: Final = timedelta(days=90)

_log = structlog.get_logger()


class Proof(Protocol):
    """Evidence of whether the API server logs reads of Secrets."""

    takes_events: bool
    """Whether the webhook is served."""
    logged: datetime | None
    """The last read by the operator that arrived as an audit event."""


@dataclass(slots=True)
class _Unshared:
    takes_events: bool = False
    logged: datetime | None = None


class Audit:
    """Runs in every replica: the API server connects to any of them, and keeps the connection."""

    def __init__(
        self,
        settings: AuditSettings,
        api: Api,
        namespace: str,
        cache: InformerCache,
        now: Callable[[], datetime],
        proof: Proof | None = None,
    ) -> None:
        """`api` writes also without leadership; `namespace` is the operator's own.

        Each read of the record is a probe: its audit event is noted in `proof`.

        Raises:
            CannotServe: A file of the settings is invalid.
        """
        self.login = AuditAuthentication(settings)
        self.journal = AccessLog(self._exists)
        self._habits = Habits(secrets.token_bytes(32), settings.learning, settings.many)
        self.refused = AccessLog(self._exists)
        self._watcher = Watcher(cache, self._habits, self.journal, now, settings.allowed, self.refused)
        self._intake = Intake(self._watcher.take)
        self.endpoint = Endpoint(self.login, self._intake)
        self.endpoint.announce()
        self._watcher.announce()
        self._api = api
        self._namespace = namespace
        self._mirror = cache
        self._now = now
        self._proof: Proof = proof or _Unshared()
        self._watcher.note_own = self._note_own
        self._version: str | None = None
        self._written: datetime | None = None
        self._sending: asyncio.Task[None] | None = None
        """The last write of the record."""
        self._trouble = ""
        """Why the files of the settings were not reloaded; empty if they were."""
        self._is_ready = asyncio.Event()

    async def run(self) -> None:
        """Process events until cancelled, once the own identity and the stored record are known."""
        self._proof.takes_events = True
        myself = await self._myself()
        self._watcher.is_ourselves = lambda subject: subject == myself
        while not await self._sync():  # noqa: ASYNC110 - nothing tells that the API server is back
            await asyncio.sleep(_RETRY_DELAY)
        self._is_ready.set()
        await self._intake.run()

    async def keep(self) -> None:
        """Synchronise with the stored record periodically."""
        await self._is_ready.wait()
        while True:
            await asyncio.sleep(_SYNC_INTERVAL * random.uniform(1, 1.5))  # noqa: S311 - it spreads the requests
            self._follow_files()
            await self._sync()

    async def aclose(self) -> None:
        """Process accepted events, and write what is new."""
        if not self._is_ready.is_set():
            return
        self._intake.finish()
        try:
            async with asyncio.timeout(_SHUTDOWN_TIMEOUT):
                if self._sending:
                    await asyncio.wait([self._sending])
                await self._sync(at_the_end=True)
        except TimeoutError:
            _log.warning("access log not persisted", reason="timeout at shutdown")

    def readership(self, namespace: str, names: Collection[str], since: datetime) -> Readership:
        """Return the readers of ManagedSecrets since then, as far as this replica knows."""
        found = [(name, one) for name in names for one in self.journal.readers_of(namespace, (name,), since)]
        found.sort(key=lambda pair: pair[1].last, reverse=True)
        refused = self.refused.readers_of(namespace, names, since)
        return Readership(
            tuple(found), self.journal.forgotten(namespace, names), tuple(refused), self._habits.since
        )

    def _note_own(self, when: datetime) -> None:
        self._proof.logged = max(when, self._proof.logged or when)

    async def _myself(self) -> str:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        while True:
            try:
                answer = await self._api.request(_WHO_AM_I, review)
            except errors.ApiError as error:
                _log.warning("own identity unknown", error=error)
                await asyncio.sleep(_RETRY_DELAY)
            else:
                return str(answer["status"]["userInfo"]["username"])

    def _follow_files(self) -> None:
        before, self._trouble = self._trouble, ""
        try:
            if self.login.refresh():
                _log.info("audit files reloaded")
        except CannotServe as error:
            self._trouble = str(error)
            if self._trouble != before:
                _log.warning("audit files not reloaded", reason=self._trouble)

    async def _sync(self, *, at_the_end: bool = False) -> bool:
        """Synchronise with the stored record; return whether that succeeded or never will."""
        try:
            await self._exchange(at_the_end=at_the_end)
        except errors.Forbidden as error:
            _log.warning("access log not persisted", reason="the operator has no permission", error=error)
        except (errors.Conflict, errors.AlreadyExists):
            pass  # another replica was faster; the next round writes it
        except errors.ApiError as error:
            _log.warning("access log not persisted", error=error)
            return False
        return True

    async def _exchange(self, *, at_the_end: bool) -> None:
        is_due = self._is_due(at_the_end=at_the_end)
        found = await self._read_record()
        if found is not None and found["metadata"]["resourceVersion"] != self._version:
            whole = await self._api.get(paths.secret(self._namespace, persistence.NAME))
            try:
                record = await threadpools.run_own(persistence.decode, whole)
                await in_slices(persistence.merge(record, self._habits, self.journal, self.refused))
            except persistence.Unreadable:
                if whole.get("type") != ACCESS_TYPE:
                    _log.warning(
                        "access log not persisted", reason="the Secret is foreign", name=persistence.NAME
                    )
                    return
                _log.warning("access log reset", reason="the record is invalid")
            self._version = whole["metadata"]["resourceVersion"]
        for journal in (self.journal, self.refused):
            await in_slices(journal.sweep(self._now() - _RETENTION))
        if is_due:
            await self._write(None if found is None else self._version)

    async def _read_record(self) -> Body | None:
        try:
            return await self._api.get(paths.secret(self._namespace, persistence.NAME), metadata_only=True)
        except errors.NotFound:
            return None

    async def _write(self, version: str | None) -> None:
        sheets = persistence.Sheet(), persistence.Sheet()
        try:
            for sheet, journal in zip(sheets, (self.journal, self.refused), strict=True):
                journal.has_news = journal.is_fresh = False
                await in_slices(sheet.copy(journal))
            self._habits.is_changed = False
            habits = self._habits.copy()
            body = await threadpools.run_own(persistence.body_of, self._namespace, version, habits, *sheets)
            self._sending = asyncio.create_task(self._send(version, body, sheets))
            await asyncio.shield(self._sending)
        except BaseException:  # also a cancellation: `aclose` writes what this write has not stored
            self.journal.has_news = True
            raise

    async def _send(self, version: str | None, body: Body, sheets: Iterable[persistence.Sheet]) -> None:
        """Write a record and settle its counts.

        A shutdown does not interrupt it: reads that the API server has stored would be counted twice.
        """
        if version is None:
            written = await self._api.create(paths.secrets(self._namespace), body)
        else:
            written = await self._api.replace(paths.secret(self._namespace, persistence.NAME), body)
        self._version, self._written = written["metadata"]["resourceVersion"], self._now()
        for sheet in sheets:
            sheet.settle()

    def _is_due(self, *, at_the_end: bool) -> bool:
        if self._habits.is_changed or self.journal.has_news or self.refused.has_news:
            return True
        if not (self.journal.is_fresh or self.refused.is_fresh):
            return False
        return at_the_end or self._written is None or self._now() - self._written >= _SLOW_SYNC_INTERVAL

    def _exists(self, scope: AccessScope) -> bool:
        if scope.name:
            return self._mirror.has_managed(ObjectKey(*scope))
        return not scope.namespace or scope.namespace in self._mirror.managed_namespaces()
