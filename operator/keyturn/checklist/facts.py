"""What of a cluster is read for the checklist: each thing once, with the caller's rights, and no value kept."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.spec.desired import secret_of, wanted_by
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import WHOLE, InformerCache

from .fingerprints import Held, held_in

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.secretclass import SecretClass
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.client import Api, Body

__all__ = ["Declared", "Facts"]

_FEW = 50
"""Secrets of a page: each can have a mebibyte."""

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Declared:
    """A ManagedSecret with its class, and what both want; None where that cannot be followed."""

    managed: ManagedSecret
    secret_class: SecretClass | None
    desired: Desired | None

    @property
    def where(self) -> str:
        return f"{self.managed.metadata.namespace}/{self.managed.metadata.name}"

    @property
    def secret(self) -> ObjectKey:
        return ObjectKey(self.managed.metadata.namespace, secret_of(self.managed))

    @property
    def generated(self) -> frozenset[str]:
        """The keys whose values a recipe makes, which is held to the floor before anything is made."""
        items = self.desired.items if self.desired else ()
        return frozenset(key for item in items if item.recipe for key in item.keys.values())


@dataclass(frozen=True, slots=True)
class Facts:
    """One cluster, or one namespace of it."""

    api: Api
    namespace: str | None
    now: Callable[[], datetime]
    mark: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """The key by which values are compared: in memory only, and another one each time."""
    _read: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"namespace {self.namespace}" if self.namespace else "the cluster"

    async def declared(self) -> list[Declared]:
        """Return every ManagedSecret."""
        return await self._once("declared", self._declared)

    async def held(self) -> list[Held]:
        """Return what there is of values, each judged and marked."""
        return await self._once("held", self._held)

    async def environments(self) -> dict[str, str]:
        """Return the environments that labels of namespaces name."""
        return await self._once("environments", self._environments)

    async def metrics(self) -> str:
        """Return the metrics of the API server that answers."""
        return await self._once("metrics", lambda: self.api.text("/metrics"))

    async def _once(self, what: str, read: Callable[[], Coroutine[Any, Any, _Read]]) -> _Read:
        """Read once, whoever asks; a refusal stays one."""
        if what not in self._read:
            self._read[what] = asyncio.ensure_future(read())
        found: _Read = await self._read[what]
        return found

    async def _declared(self) -> list[Declared]:
        cache, found = InformerCache(WHOLE), list[ObjectKey]()
        for body in await self._all(paths.managed_secrets(self.namespace)):
            cache.put_managed(body)
            found.append(ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"]))
        try:
            for body in await self._all(paths.secret_classes()):
                cache.put_class(body)
        except errors.Forbidden:
            pass  # what classes add is missing then, and so is said of what it is missing in
        return [_declared_in(cache, key) for key in found]

    async def _held(self) -> list[Held]:
        found: list[Held] = []
        async for page in self.api.pages(paths.secrets(self.namespace), limit=_FEW):
            if page.first:
                found.clear()
            for body in page.items:
                found += held_in(body, self.mark)
            page.items.clear()
        return found

    async def _environments(self) -> dict[str, str]:
        cache = InformerCache()
        bodies = await self._all(paths.namespaces(), metadata_only=True)
        for body in bodies:
            cache.put_namespace(body)
        names = [body["metadata"]["name"] for body in bodies]
        return {name: found for name in names if (found := cache.environment(name))}

    async def _all(self, path: str, *, metadata_only: bool = False) -> list[Body]:
        found: list[Body] = []
        async for page in self.api.pages(path, metadata_only=metadata_only):
            if page.first:
                found.clear()
            found += page.items
        return found


def _declared_in(cache: InformerCache, key: ObjectKey) -> Declared:
    known = cache.managed(key)
    assert known is not None, "it was just put in"  # noqa: S101
    managed, _ = known
    secret_class, desired = None, None
    try:
        name = cache.class_name(managed.spec.class_name)
        secret_class = cache.secret_class(name) if name else None
        desired = wanted_by(managed, secret_class, lambda recipe: generator_for(recipe).outputs)
    except Stalled:
        pass  # its status says so
    return Declared(managed, secret_class, desired)
