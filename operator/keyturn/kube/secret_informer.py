"""Which Secrets carry our label, told as they come, change and go; their data never crosses the wire.

A list, then a watch from where the list ended. A broken stream goes on where it was; when the API server no
longer knows that place, the list comes again, and what it lacks of the Secrets known before is told as gone:
a deletion in the gap is no event of any watch.
"""

import asyncio
import random
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, Final

import structlog

from keyturn.core.labels import OVERLAP_ANNOTATION, OWNER_LABEL, PUBLISHED_ANNOTATION, REVISION_ANNOTATION
from keyturn.core.state.state import HIGHEST_REVISION

from . import errors, paths
from .client import Api, Body

_MANAGER: Final = "keyturn"
"""What the API server calls us, after the User-Agent."""
_OURS: Final = {"labelSelector": OWNER_LABEL}
_LASTS = 60
"""How many seconds a watch lasts before the server ends it and it is renewed."""
_LONGEST_PAUSE: Final = 30.0
_DIGITS: Final = re.compile("[0-9]{1,10}")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SecretMeta:
    """What we know of a Secret of ours without reading it."""

    namespace: str
    name: str
    resource_version: str
    uid: str
    owner: str
    """The ManagedSecret that the label names; empty without the label."""
    revision: int | None
    published: datetime | None
    overlapping: bool = False
    binder: str = ""
    """The UID of the ManagedSecret that it is deleted with."""
    written: bool = True
    """We have written it; a copy that somebody made, label and all, we have not."""


class SecretWatch:
    """A watch of the labelled Secrets of some namespaces, or of all."""

    def __init__(
        self,
        api: Api,
        namespaces: Collection[str] | None,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str], None],
    ) -> None:
        """Take `namespaces` as None for all. The callbacks must not block, and can be told a thing twice."""
        self.synced = asyncio.Event()
        self._streams = [
            _Stream(api, namespace, on_put, on_gone)
            for namespace in ([None] if namespaces is None else sorted(set(namespaces)))
        ]

    @property
    def last_alive(self) -> float:
        """The loop time of the last answer or failure, of the namespace that waits longest for one."""
        return min((stream.last_alive for stream in self._streams), default=_now())

    async def fresh(self) -> None:
        """Wait until all is listed: what is known then is what there is."""
        await self.synced.wait()

    async def run(self) -> None:
        """Watch until cancelled, whatever the API server does."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.run())
            for stream in self._streams:
                await stream.listed.wait()
            self.synced.set()


class _Stream:
    """The watch of one namespace, or of all as one."""

    def __init__(
        self,
        api: Api,
        namespace: str | None,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str], None],
    ) -> None:
        self.listed = asyncio.Event()
        self.last_alive = _now()
        self._api = api
        self._namespace = namespace
        self._path = paths.secrets(namespace)
        self._on_put = on_put
        self._on_gone = on_gone
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
                if error.status:
                    # The server is there and has something against our going on: only a fresh list ends that.
                    self._version = None
                _log.warning("secrets not watched", namespace=self._namespace, error=error)
                # Being refused is a sign of life: liveness looks for what hangs, and a restart cures no outage.
                self.last_alive = _now()
                await self._pause()

    async def _list(self) -> None:
        """Tell all that are there, then all that were and are not: mark and sweep."""
        listed: set[tuple[str, str]] = set()
        version = None
        async with aclosing(self._api.pages(self._path, _OURS, metadata_only=True)) as pages:
            async for page in pages:
                if page.first:
                    listed.clear()
                for body in page.items:
                    listed.add(self._put(body))
                version = page.resource_version
                self._is_alive()
        for key in self._known - listed:
            self._gone(key)
        self._version = version
        self.listed.set()

    async def _watch(self) -> None:
        """Follow until the server ends the stream, and remember how far we came."""
        version = self._version or ""
        watch = self._api.watch(self._path, version, _OURS, metadata_only=True, timeout_seconds=_LASTS)
        async with aclosing(watch) as changes:
            async for kind, body in changes:
                if kind in {"ADDED", "MODIFIED"}:
                    self._put(body)
                elif kind == "DELETED":
                    self._gone(_key(body))
                self._version = body["metadata"]["resourceVersion"]
                self._is_alive()
        self._is_alive()

    def _put(self, body: Body) -> tuple[str, str]:
        meta = meta_of(body)
        key = (meta.namespace, meta.name)
        self._known.add(key)
        self._on_put(meta)
        return key

    def _gone(self, key: tuple[str, str]) -> None:
        self._known.discard(key)
        self._on_gone(*key)

    def _is_alive(self) -> None:
        self.last_alive = _now()
        self._failures = 0

    async def _pause(self) -> None:
        longest = min(_LONGEST_PAUSE, 0.5 * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(longest * random.uniform(0.2, 1.0))  # noqa: S311  # spreads, guards nothing


def _key(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return intern(metadata["namespace"]), intern(metadata["name"])


def meta_of(body: Body) -> SecretMeta:
    """Take what we keep; thousands of these are kept, and their names recur as owners and keys."""
    metadata = body["metadata"]
    namespace, name = _key(body)
    annotations = metadata.get("annotations", {})
    return SecretMeta(
        namespace,
        name,
        metadata["resourceVersion"],
        metadata["uid"],
        intern(metadata.get("labels", {}).get(OWNER_LABEL, "")),
        number_of(annotations.get(REVISION_ANNOTATION)),
        time_of(annotations.get(PUBLISHED_ANNOTATION)),
        OVERLAP_ANNOTATION in annotations,
        _binder(metadata),
        any(one.get("manager") == _MANAGER for one in metadata.get("managedFields") or ()),
    )


def _binder(metadata: Mapping[str, Any]) -> str:
    references = metadata.get("ownerReferences") or ()
    return next((intern(one["uid"]) for one in references if one.get("kind") == "ManagedSecret"), "")


def number_of(text: str | None) -> int | None:
    """Read a revision; people can write anything into an annotation, and that is no revision."""
    number = int(text) if text and _DIGITS.fullmatch(text) else 0
    return number if 1 <= number <= HIGHEST_REVISION else None


def time_of(text: str | None) -> datetime | None:
    """Read a point in time; people can write anything into an annotation, and that is none."""
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None


def _now() -> float:
    return asyncio.get_running_loop().time()
