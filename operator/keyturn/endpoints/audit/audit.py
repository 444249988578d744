"""The parts of the audit endpoint, and how they hang together."""

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
from keyturn.kube import errors, paths
from keyturn.runtime import threadpools as threads

from . import persistence as record
from .access_log import AccessLog, AccessScope
from .authentication import AuditAuthentication, CannotServe
from .baseline import Habits
from .classifier import Watcher
from .endpoint import Endpoint
from .queue import Intake

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api, Body

    from .authentication import Settings

__all__ = ["Audit"]

_WHO_AM_I: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_ROUND: Final = 60.0
_SELDOM: Final = timedelta(minutes=10)
"""Only the times of known readers have changed."""
_AT_THE_END: Final = 2.0
_TRY_AGAIN: Final = 5.0
_REMEMBERED: Final = timedelta(days=90)

_log = structlog.get_logger()


class Proof(Protocol):
    """Shared record of whether the API server logs reads of Secrets."""

    awaited: datetime | None
    """Since when audit events are awaited; None where none are taken."""
    logged: datetime | None
    """The last read of ours that came back as an audit event."""


@dataclass(slots=True)
class _Unshared:
    awaited: datetime | None = None
    logged: datetime | None = None


class Audit:
    """Runs in every replica: the webhook reaches any of them, and keeps its connection to that one."""

    def __init__(
        self,
        settings: Settings,
        api: Api,
        namespace: str,
        cache: InformerCache,
        now: Callable[[], datetime],
        proof: Proof | None = None,
    ) -> None:
        """Take a client that writes also while another replica leads; the namespace is the operator's own.

        Each look for the record is a probe: that it comes back as an event is noted in `proof`.

        Raises:
            CannotServe: A file of the settings is not what it should be.
        """
        self.login = AuditAuthentication(settings)
        self.journal = AccessLog()
        self._habits = Habits(secrets.token_bytes(32), settings.learning, settings.many)
        self.refused = AccessLog()
        self._watcher = Watcher(cache, self._habits, self.journal, settings.allowed, self.refused)
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
        self._is_ready = asyncio.Event()

    async def run(self) -> None:
        """Take events from the line for as long as the process lives, once we know who we are and what we knew."""
        self._proof.awaited = self._now()
        myself = await self._myself()
        self._watcher.is_ourselves = lambda subject: subject == myself
        while not await self._sync():  # noqa: ASYNC110 - nothing tells that the API server is back
            await asyncio.sleep(_TRY_AGAIN)
        self._is_ready.set()
        await self._intake.run()

    async def keep(self) -> None:
        """Exchange what is known with the record, now and then."""
        await self._is_ready.wait()
        while True:
            await asyncio.sleep(_ROUND * random.uniform(1, 1.5))  # noqa: S311 - it spreads a herd
            self._follow_files()
            await self._sync()

    async def aclose(self) -> None:
        """Count what was accepted, and write down what is new."""
        if not self._is_ready.is_set():
            return
        self._intake.finish()
        try:
            async with asyncio.timeout(_AT_THE_END):
                await self._sync(at_the_end=True)
        except TimeoutError:
            _log.warning("who read secrets lately is not recorded", why="no time was left")

    def readership(self, namespace: str, names: Collection[str], since: datetime) -> Readership:
        """Return who has read the Secrets of ManagedSecrets since then, as far as this replica knows."""
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
                _log.warning("our own name is not known yet", error=error)
                await asyncio.sleep(_TRY_AGAIN)
            else:
                return str(answer["status"]["userInfo"]["username"])

    def _follow_files(self) -> None:
        try:
            if self.login.refresh():
                _log.info("audit endpoint has read its files again")
        except CannotServe as error:
            _log.warning("audit endpoint goes on with its old files", why=str(error))

    async def _sync(self, *, at_the_end: bool = False) -> bool:
        """Exchange what is known with the record; say whether that went well, or never will."""
        try:
            await self._exchange(at_the_end=at_the_end)
        except errors.Forbidden as error:
            _log.warning("who read secrets is not kept over a restart", error=error)
        except (errors.Conflict, errors.AlreadyExists):
            pass  # another replica was faster; what is ours is written next time
        except errors.ApiError as error:
            _log.warning("who read secrets lately is not recorded", error=error)
            return False
        return True

    async def _exchange(self, *, at_the_end: bool) -> None:
        is_due = self._is_due(at_the_end=at_the_end)
        found = await self._found()
        if found is not None and found["metadata"]["resourceVersion"] != self._version:
            whole = await self._api.get(paths.secret(self._namespace, record.NAME))
            try:
                record.merge(whole, self._habits, self.journal, self.refused)
            except record.Unreadable:
                if whole.get("type") != record.TYPE:
                    _log.warning("who read secrets is not recorded, its Secret is not ours", name=record.NAME)
                    return
                _log.warning("the record of who read secrets was unreadable and begins anew")
            self._version = whole["metadata"]["resourceVersion"]
        for journal in (self.journal, self.refused):
            journal.sweep(self._is_kept, self._now() - _REMEMBERED)
        if is_due:
            await self._write(None if found is None else self._version)

    async def _found(self) -> Body | None:
        try:
            return await self._api.get(paths.secret(self._namespace, record.NAME), metadata_only=True)
        except errors.NotFound:
            return None

    async def _write(self, version: str | None) -> None:
        sheets = record.sheet_of(self.journal), record.sheet_of(self.refused)
        self.journal.has_news = self.refused.has_news = self._habits.is_changed = False
        try:
            habits = self._habits.copy()
            body = await threads.for_us(record.body_of, self._namespace, version, habits, *sheets)
            if version is None:
                written = await self._api.create(paths.secrets(self._namespace), body)
            else:
                written = await self._api.replace(paths.secret(self._namespace, record.NAME), body)
        except errors.ApiError:
            self.journal.has_news = True
            raise
        for sheet in sheets:
            record.settle(sheet)
        self._version, self._written = written["metadata"]["resourceVersion"], self._now()

    def _is_due(self, *, at_the_end: bool) -> bool:
        if self._habits.is_changed or self.journal.has_news or self.refused.has_news:
            return True
        if not (self.journal.is_fresh or self.refused.is_fresh):
            return False
        return at_the_end or self._written is None or self._now() - self._written >= _SELDOM

    def _is_kept(self, scope: AccessScope) -> bool:
        return not scope.name or self._mirror.has_managed(ObjectKey(*scope))
