"""How changes of Keyturn's Secrets are noticed, by metadata only: their data is never sent.

The informer: a list, then a watch from its resourceVersion. A broken stream resumes where it was, and so does one
that an overloaded API server rejects. After any other error the list is repeated, and cached Secrets that it lacks
are reported as deleted, because a deletion in the gap is no event of any watch.

The poller, for an operator without permission to list Secrets: every Secret that a ManagedSecret names is read once
per round; decisions read theirs in addition (`observe`), and each write returns the new metadata.
"""

import asyncio
import random
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from sys import intern
from typing import Final, Protocol, TypeAlias

import structlog

from keyturn.core.keys import ObjectKey
from keyturn.core.labels import (
    HIGHEST_REVISION,
    KEYTURN,
    OVERLAP_ANNOTATION,
    OWNER_LABEL,
    PUBLISHED_ANNOTATION,
    REVISION_ANNOTATION,
)
from keyturn.core.times import backoff, time_of
from keyturn.runtime.clock import jittered, loop_time
from keyturn.runtime.concurrency import KeyedLimiter

from . import errors, paths
from .client import Api
from .wire import Body

_OURS: Final = {"labelSelector": OWNER_LABEL}
_WATCH_SECONDS = 60
"""Seconds that a watch lasts before it is renewed."""
_LONGEST_PAUSE: Final = 30.0
_OVERLOADED: Final = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE}
)
"""Answers that say nothing about the version of a watch; 504 may say that it is newer than a restored etcd."""
_DIGITS: Final = re.compile("[0-9]{1,10}")

Cached: TypeAlias = Callable[[str | None], Iterable[tuple[str, str]]]
"""Returns namespace and name of the cached Secrets with Keyturn's label, of one namespace or of all."""

_log = structlog.get_logger()


class SourceKind(StrEnum):
    """Source of changes of Secrets."""

    WATCH = "watch"
    """List and watch of all labelled Secrets: changes arrive at once, and the permission covers every Secret."""
    BY_NAME = "by-name"
    """Polling by name: changes are found within a minute, without permission to list Secrets."""


@dataclass(frozen=True, slots=True)
class SecretMeta:
    """Metadata of a Secret with Keyturn's label."""

    namespace: str
    name: str
    resource_version: str
    uid: str
    owner: str
    """The ManagedSecret in the label; empty without the label."""
    revision: int | None
    published: datetime | None
    overlapping: bool = False
    binder: str = ""
    """UID of the ManagedSecret in its owner references."""
    written: bool = True
    """Whether Keyturn has written it; a copy by another user, with label and all, was not."""


class SecretInformer:
    """Informer of the labelled Secrets of some namespaces, or of all."""

    def __init__(
        self,
        api: Api,
        namespaces: Collection[str] | None,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str, int], None],
        cached: Cached,
    ) -> None:
        """`namespaces` is None for all. The callbacks must not block, and may be called twice for one change.

        `on_gone` gets namespace, name and a version at which the Secret was absent; the cache may have a newer one.
        """
        self.synced = asyncio.Event()
        self._streams = {
            namespace: _Stream(api, namespace, on_put, on_gone, cached)
            for namespace in ([None] if namespaces is None else sorted(set(namespaces)))
        }

    @property
    def last_alive(self) -> float:
        """Loop time of the last answer or error, of the namespace for which that is longest ago."""
        return min((stream.last_alive for stream in self._streams.values()), default=loop_time())

    def covers(self, namespace: str) -> bool:
        """Whether the Secrets of a namespace were listed; before that, absence from the cache means nothing."""
        stream = self._streams.get(None) or self._streams.get(namespace)
        return stream is not None and stream.listed.is_set()

    async def fresh(self) -> None:
        """Wait until every namespace is listed, except those whose Secrets may not be listed."""
        await self.synced.wait()

    async def run(self) -> None:
        """Watch until cancelled; errors are retried."""
        streams = self._streams.values()
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                group.create_task(stream.run())
            for stream in streams:
                await stream.answered.wait()
            if not any(stream.listed.is_set() for stream in streams):
                listed = [group.create_task(stream.listed.wait()) for stream in streams]
                await asyncio.wait(listed, return_when=asyncio.FIRST_COMPLETED)
            self.synced.set()


class _Stream:
    """List and watch of one namespace, or of all."""

    def __init__(
        self,
        api: Api,
        namespace: str | None,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str, int], None],
        cached: Cached,
    ) -> None:
        self.listed = asyncio.Event()
        self.answered = asyncio.Event()
        """Set when it is listed, or when it may not be listed: other namespaces do not wait for it."""
        self.last_alive = loop_time()
        self._api = api
        self._namespace = namespace
        self._path = paths.secrets(namespace)
        self._on_put = on_put
        self._on_gone = on_gone
        self._cached = cached
        self._known: set[tuple[str, str]] = set()
        self._version: str | None = None
        self._failures = 0

    async def run(self) -> None:
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except errors.ApiError as error:
                if error.status and error.status not in _OVERLOADED:
                    # The server may reject the version, so a new list is needed.
                    self._version = None
                if isinstance(error, errors.Forbidden):
                    self.answered.set()
                _log.warning("secrets not watched", namespace=self._namespace, error=error)
                # An error counts as alive: liveness detects hung connections, and a restart fixes no outage.
                self.last_alive = loop_time()
                self._failures += 1
                pause = jittered(backoff(0.5, self._failures, _LONGEST_PAUSE), least=0.2)
                await asyncio.sleep(max(pause, min(error.retry_after or 0.0, _LONGEST_PAUSE)))

    async def _list(self) -> None:
        """List all, report them, and report known and cached ones that are absent as deleted.

        The cache has those of own writes, which no event may have reported.
        """
        listed: set[tuple[str, str]] = set()
        version = None
        async with aclosing(self._api.pages(self._path, _OURS, metadata_only=True)) as pages:
            async for page in pages:
                if page.first:
                    listed.clear()
                for body in page.items:
                    listed.add(self._put(body))
                version = page.resource_version
                self.last_alive = loop_time()
        for key in self._known.union(self._cached(self._namespace)) - listed:
            self._gone(key, version)
        self._version = version
        self.listed.set()
        self.answered.set()

    async def _watch(self) -> None:
        """Watch until the server ends the stream, and record the last version."""
        version = self._version or ""
        watch = self._api.watch(
            self._path, version, _OURS, metadata_only=True, timeout_seconds=_WATCH_SECONDS
        )
        async with aclosing(watch) as changes:
            async for kind, body in changes:
                if kind in {"ADDED", "MODIFIED"}:
                    self._put(body)
                elif kind == "DELETED":
                    self._gone(_key(body), body["metadata"]["resourceVersion"])
                self._version = body["metadata"]["resourceVersion"]
                self._mark_alive()
        self._mark_alive()

    def _put(self, body: Body) -> tuple[str, str]:
        meta = meta_of(body)
        key = (meta.namespace, meta.name)
        self._known.add(key)
        self._on_put(meta)
        return key

    def _gone(self, key: tuple[str, str], version: str | None) -> None:
        self._known.discard(key)
        self._on_gone(*key, int(version or -1))

    def _mark_alive(self) -> None:
        """Note that the watch works. A list alone ends no back-off, or lists would follow without a pause."""
        self.last_alive = loop_time()
        self._failures = 0


def _key(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return intern(metadata["namespace"]), intern(metadata["name"])


def meta_of(body: Body) -> SecretMeta:
    """Parse the metadata; names are interned, because thousands are kept and recur as owners and keys."""
    metadata = body["metadata"]
    namespace, name = _key(body)
    annotations, references = metadata.get("annotations", {}), metadata.get("ownerReferences") or ()
    binders = (intern(one["uid"]) for one in references if one.get("kind") == "ManagedSecret")
    return SecretMeta(
        namespace,
        name,
        metadata["resourceVersion"],
        metadata["uid"],
        intern(metadata.get("labels", {}).get(OWNER_LABEL, "")),
        number_of(annotations.get(REVISION_ANNOTATION)),
        time_of(annotations.get(PUBLISHED_ANNOTATION)),
        OVERLAP_ANNOTATION in annotations,
        next(binders, ""),
        any(entry.get("manager") == KEYTURN for entry in metadata.get("managedFields") or ()),
    )


def number_of(text: str | None) -> int | None:
    """Return the revision in an annotation; None if a user wrote something else into it."""
    number = int(text) if text and _DIGITS.fullmatch(text) else 0
    return number if 1 <= number <= HIGHEST_REVISION else None


# By name

SOONEST: Final = 45.0
LATEST: Final = 55.0
"""Seconds between two reads of a key; the rest of a minute is for the answer and the repair."""
PER_SECOND: Final = 100
"""Maximum reads per second; 2,500 ManagedSecrets fit into a round."""
_CONCURRENCY: Final = 8
_FOLLOW_EVERY: Final = 1.0
_MAX_LATE: Final = 60.0 - LATEST
_LOG_INTERVAL: Final = 600.0
_MAX_DELAY: Final = 10.0
_PASSING: Final = (errors.Unavailable, errors.Throttled, errors.Unauthorized)
"""Errors that a retry can pass; a missing right to read a Secret is reported by its ManagedSecret."""


class Named(Protocol):
    """The ManagedSecrets, the names of their Secrets, and known metadata, as the informer cache has them."""

    def managed_keys(self) -> Iterable[ObjectKey]:
        """Return the keys of the ManagedSecrets."""

    def secret_names(self, key: ObjectKey) -> Collection[str]:
        """Return the names of the Secrets of one ManagedSecret."""

    def secret(self, namespace: str, name: str) -> SecretMeta | None:
        """Return the known metadata of a Secret."""


class SecretPoller:
    """Poller; it starts after the first `fresh`."""

    def __init__(
        self,
        api: Api,
        named: Named,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str], None],
    ) -> None:
        """The callbacks must not block, and may be called twice for one change."""
        self.synced = asyncio.Event()
        self.synced.set()  # no Secret is needed before the ManagedSecrets are listed
        self._api = api
        self._named = named
        self._on_put = on_put
        self._on_gone = on_gone
        self._turns = KeyedLimiter(1, 1)
        """Namespaces take turns: one with more Secrets than a round has time for delays no other."""
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._begun = asyncio.Event()
        self._logged = self._failed = float("-inf")
        self._failures = 0
        self._troubled: set[str] = set()
        """Namespaces with a failed read, until one succeeds."""

    @property
    def last_alive(self) -> float:
        """Now: each read has a timeout, so none hangs unnoticed."""
        return loop_time()

    def covers(self, namespace: str) -> bool:  # noqa: ARG002  # each decision reads its Secrets by name
        """Whether absence from the cache means something: as far as decisions need it, always."""
        return True

    async def fresh(self) -> None:
        """Read every Secret once, up to _CONCURRENCY at a time, and start the rounds.

        A new leader must know every revision, because restarts write those of all Secrets of a workload.
        """
        left = deque(self._named.managed_keys())
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONCURRENCY):
                group.create_task(self._drain(left))
        self._begun.set()

    async def run(self) -> None:
        """Poll until cancelled, each ManagedSecret in a task of its own; errors are retried."""
        await self._begun.wait()
        polled: dict[ObjectKey, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                keys = set(self._named.managed_keys())
                for key in polled.keys() - keys:
                    polled.pop(key).cancel()
                    for name in self._named.secret_names(key):
                        known = self._named.secret(key.namespace, name)
                        if known and known.owner == key.name:
                            self._on_gone(key.namespace, name)
                polled |= {key: group.create_task(self._poll(key)) for key in keys - polled.keys()}
                await asyncio.sleep(_FOLLOW_EVERY)

    async def _poll(self, key: ObjectKey) -> None:
        """Read the Secrets of one ManagedSecret once per round, whose length is random so that bursts spread out."""
        due = loop_time() + LATEST * random.random()  # noqa: S311 - it spreads the requests
        while True:
            await asyncio.sleep(due - loop_time())
            async with self._turns.hold(key.namespace):
                self._log_late(loop_time(), due)
                names = self._named.secret_names(key)
                # Paced by the number of reads, so the API server gets no bursts.
                await asyncio.sleep(len(names) / PER_SECOND)
                if self._failures:
                    await self._pause()
            async with self._slots:
                is_read = await self._read(key, names)
            due = loop_time() + (random.uniform(SOONEST, LATEST) if is_read else 0.0)  # noqa: S311

    async def _drain(self, left: deque[ObjectKey]) -> None:
        while left:
            key = left.popleft()
            if not await self._read(key, self._named.secret_names(key)):
                left.append(key)
                await self._pause()

    async def _read(self, key: ObjectKey, names: Collection[str]) -> bool:
        """Read the Secrets of one ManagedSecret; return False if the read must be retried."""
        try:
            for name in names:
                await self._read_one(key.namespace, name)
        except errors.ApiError as error:
            if key.namespace not in self._troubled:
                _log.warning("secrets not read", namespace=key.namespace, error=error)
            self._troubled.add(key.namespace)
            is_passing = isinstance(error, _PASSING)
            if is_passing:
                self._failures, self._failed = self._failures + 1, loop_time()
            return not is_passing
        self._troubled.discard(key.namespace)
        self._failures = 0
        return True

    async def _read_one(self, namespace: str, name: str) -> None:
        before = self._named.secret(namespace, name)
        meta = None
        with suppress(errors.NotFound):
            meta = meta_of(await self._api.get(paths.secret(namespace, name), metadata_only=True))
        if meta and meta.owner:
            self._on_put(meta)
        elif before and self._named.secret(namespace, name) is before:  # and no own write came meanwhile
            self._on_gone(namespace, name)

    async def _pause(self) -> None:
        await asyncio.sleep(jittered(backoff(0.5, self._failures + 1, _MAX_DELAY), least=0.2))

    def _log_late(self, now: float, due: float) -> None:
        """Log occasionally that there are more Secrets than a round has time for, unless the API server fails."""
        is_calm = now - self._failed > 2 * LATEST
        if now - due > _MAX_LATE and is_calm and now - self._logged > _LOG_INTERVAL:
            self._logged = now
            _log.warning("secrets read late", by_seconds=round(now - due), per_second=PER_SECOND)
