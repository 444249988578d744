"""Informer of the Secrets with Keyturn's label, by metadata only; their data is never sent.

A list, then a watch from its resourceVersion. A broken stream resumes where it was, and so does one that an
overloaded API server rejects. After any other error the list is repeated, and cached Secrets that it lacks are
reported as deleted, because a deletion in the gap is no event of any watch.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from sys import intern
from typing import Final, TypeAlias

import structlog

from keyturn.core.labels import (
    KEYTURN,
    OVERLAP_ANNOTATION,
    OWNER_LABEL,
    PUBLISHED_ANNOTATION,
    REVISION_ANNOTATION,
)
from keyturn.core.state.state import HIGHEST_REVISION
from keyturn.core.times import backoff, time_of
from keyturn.runtime.clock import jittered, loop_time

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
