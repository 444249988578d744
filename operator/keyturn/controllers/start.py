"""How a new leader reads the Secrets of all objects that exist: in pages.

A new leader knows the metadata of all Secrets, but compares none of their values yet. ManagedSecrets with a state
Secret leave the work queue until a page has their Secrets; all others, and each changed one, are reconciled at once.
The reconcile reads a Secret by name if the page lacks it, if the informer has another version, or if few objects are
to be read.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.state.state import state_name
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.secret_informer import SourceKind
from keyturn.kube.target_secret import owner_of
from keyturn.kube.wire import Body

from .context import Context, Key
from .managedsecret.memory import Memory
from .workqueue import Priority

_PATIENCE: Final = 10.0
"""Seconds after which the values of a page are dropped; a pass that has not started yet reads them by name."""
_MOST_LATE: Final = 3
"""Pages that may be so late. The list is ordered by namespace: a slow one delays the objects of all after it."""

_SHARE: Final = 20
"""Reads by name take as long as a list of so many Secrets for each ManagedSecret."""

_log = structlog.get_logger()


@dataclass(slots=True)
class _Group:
    """Secrets of one ManagedSecret; the list is ordered by name, so that they can be on two pages."""

    names: frozenset[str]
    bodies: dict[str, Body] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return self.names == self.bodies.keys()


class StartReads:
    """One pass over all Secrets with the operator's label."""

    def __init__(self, context: Context, memory: Memory, namespaces: Collection[str] | None) -> None:
        """`namespaces` is None for all namespaces."""
        self._context = context
        self._memory = memory
        self._queue = context.queue
        self._namespaces = namespaces
        self._held: set[Key] = set()
        self._groups: dict[ObjectKey, _Group] = {}
        self._late = 0
        """Number of pages whose ManagedSecrets were not reconciled in time."""

    def hold(self) -> None:
        """Take the ManagedSecrets with a state Secret out of the work queue, before it runs."""
        if self._context.source_kind is not SourceKind.WATCH:
            return
        count = sum(map(self._has_secrets, self._queue.ready()))
        if count * _SHARE >= len(self._context.cache.labelled_secrets(None)):
            self._held = self._queue.withdraw(self._has_secrets)

    async def run(self) -> None:
        """Return each held ManagedSecret to the work queue, most of them with their Secrets."""
        try:
            everywhere: list[str | None] = [None] if self._held else []
            for namespace in (
                everywhere if self._namespaces is None else sorted({key.namespace for key in self._held})
            ):
                await self._read_pages(namespace)
                if self._late >= _MOST_LATE:
                    break
        except errors.ApiError as error:
            _log.warning("secrets read one by one", reason=error.reason, error=error)
        finally:
            self._release(self._held)

    def _has_secrets(self, key: Key) -> bool:
        """Whether a key is that of a ManagedSecret with a state Secret, which was not read yet."""
        cache = self._context.cache
        return (
            isinstance(key, ObjectKey)
            and cache.has_managed(key)
            and not self._memory.secrets.is_known(key)
            and cache.secret(key.namespace, state_name(key.name)) is not None
        )

    async def _read_pages(self, namespace: str | None) -> None:
        listed = self._memory.secrets.listed
        pages = self._context.api.pages(paths.secrets(namespace), {"labelSelector": OWNER_LABEL})
        async with contextlib.aclosing(pages):
            async for page in pages:
                self._put(page)
                try:
                    async with asyncio.timeout(_PATIENCE):
                        await listed.wait_until_empty()
                except TimeoutError:
                    listed.clear()
                    self._late += 1
                if self._late >= _MOST_LATE:
                    break
        self._groups.clear()

    def _put(self, page: Page) -> None:
        """Enqueue the ManagedSecrets whose Secrets are complete with this page.

        One that is still incomplete after a second page is reconciled at the end.
        """
        if page.first:
            self._groups.clear()
        carried = set(self._groups)
        for body in page.items:
            self._group(body)
        page.items.clear()
        complete = [key for key, group in self._groups.items() if group.is_complete]
        for key in complete:
            self._memory.secrets.listed.put(key, self._groups.pop(key).bodies)
        self._release(complete)
        for key in carried:
            self._groups.pop(key, None)

    def _group(self, body: Body) -> None:
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], owner_of(body) or "")
        if key not in self._held:
            return
        if self._memory.secrets.is_known(key):  # reconciled meanwhile, after a change
            self._held.discard(key)
            return
        group = self._groups.get(key)
        if group is None:
            cache = self._context.cache  # a pass reads none of another owner
            metas = (cache.secret(key.namespace, name) for name in cache.secret_names(key))
            names = frozenset(meta.name for meta in metas if meta and meta.owner == key.name)
            group = self._groups[key] = _Group(names)
        if metadata["name"] in group.names:
            group.bodies[metadata["name"]] = body

    def _release(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self._held.discard(key)
            self._queue.add(key, Priority.BACKLOG)
