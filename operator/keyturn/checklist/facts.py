"""Data of a cluster for the checklist: each read once, with the caller's permissions, and without values."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.spec.desired import resolve_spec, secret_of
from keyturn.core.status.summary import condition
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.managed_secrets import WHOLE
from keyturn.kube.namespace_pods import NamespacePods
from keyturn.kube.secret_informer import meta_of
from keyturn.runtime.clock import loop_time

from .fingerprints import Held, held_in

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.secretclass import SecretClass
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.client import Api, Body
    from keyturn.kube.namespace_pods import PodList
    from keyturn.kube.secret_informer import SecretMeta

__all__ = ["Declared", "Facts"]

_PAGE_SIZE = 50
"""Secrets per page: each can have 1 MiB."""

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Declared:
    """A ManagedSecret with its class and resolved spec; None if invalid, or if its class is unknown."""

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
        """Keys that a recipe has generated; the recipe is checked against the minimum strength beforehand.

        None if the operator has not written the Secret by the spec as it is.
        """
        items = self.desired.items if self.desired and self._is_followed else ()
        return frozenset(key for item in items if item.recipe for key in item.keys.values())

    @property
    def _is_followed(self) -> bool:
        status, generation = self.managed.status, self.managed.metadata.generation
        is_observed = status.revision is not None and status.observed_generation == generation
        return is_observed and condition(self.managed, "Stalled") is None


@dataclass(frozen=True, slots=True)
class Facts:
    """One cluster, or one namespace of it."""

    api: Api
    namespace: str | None
    now: Callable[[], datetime]
    mark: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Key of the digests that are compared: random, and in memory only."""
    _read: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"namespace {self.namespace}" if self.namespace else "the cluster"

    async def list_declared(self) -> list[Declared]:
        """Return all ManagedSecrets."""
        return await self._once("declared", self._read_declared)

    async def list_classes(self) -> list[Body]:
        """Return all SecretClasses."""
        return await self._once("classes", lambda: self._all(paths.secret_classes()))

    async def list_held(self) -> list[Held]:
        """Return all values, as judgement and digest."""
        return await self._once("held", self._read_held)

    async def list_pods(self, namespace: str) -> PodList:
        """Return the pods of a namespace that use Secrets; one list serves all ManagedSecrets."""
        reader = NamespacePods(self.api, loop_time)
        return await self._once(f"pods of {namespace}", lambda: reader.read(namespace, 0))

    async def list_published(self, namespace: str) -> dict[str, SecretMeta]:
        """Return the metadata of the Secrets of ManagedSecrets, by name."""
        return await self._once(f"Secrets of {namespace}", lambda: self._read_published(namespace))

    async def environments(self) -> dict[str, str]:
        """Return the environments by the labels of namespaces."""
        return await self._once("environments", self._environments)

    async def metrics(self) -> str:
        """Return the metrics of the API server."""
        return await self._once("metrics", lambda: self.api.text("/metrics"))

    async def _once(self, what: str, read: Callable[[], Coroutine[Any, Any, _Read]]) -> _Read:
        """Read once for all points; a failure is kept as well."""
        if what not in self._read:
            self._read[what] = asyncio.ensure_future(read())
        found: _Read = await self._read[what]
        return found

    async def _read_declared(self) -> list[Declared]:
        cache, found = InformerCache(WHOLE), list[ObjectKey]()
        for body in await self._all(paths.managed_secrets(self.namespace)):
            cache.put_managed(body)
            found.append(ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"]))
        # What classes add is missing without the right; a point that needs it lists the classes as well.
        with contextlib.suppress(errors.Forbidden):
            for body in await self.list_classes():
                cache.put_class(body)
        return [_declared_in(cache, key) for key in found]

    async def _read_held(self) -> list[Held]:
        found: list[Held] = []
        async for page in self.api.pages(paths.secrets(self.namespace), limit=_PAGE_SIZE):
            if page.first:
                found.clear()
            for body in page.items:
                found += held_in(body, self.mark)
            page.items.clear()
        return found

    async def _read_published(self, namespace: str) -> dict[str, SecretMeta]:
        found: dict[str, SecretMeta] = {}
        labelled = {"labelSelector": OWNER_LABEL}
        async for page in self.api.pages(paths.secrets(namespace), labelled, metadata_only=True):
            if page.first:
                found.clear()
            found |= {body["metadata"]["name"]: meta_of(body) for body in page.items}
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
        if secret_class or not name:  # without the class that it names, a spec cannot be followed
            desired = resolve_spec(managed, secret_class, lambda recipe: generator_for(recipe).outputs)
    except Stalled:
        pass  # its status has the error
    return Declared(managed, secret_class, desired)
