"""Stores in the informer cache, the ManagedSecrets that use them, and the store keys that fill a Secret."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, ObjectKey, StoreKey
from keyturn.core.reasons import ErrorReason

from .externals import AnyStore, ExternalCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["StoreCache", "StoreReferenceIndex"]


class StoreCache(ExternalCache[StoreKey, AnyStore]):
    """Both kinds of store by key, and the ManagedSecrets that reference them."""

    def __init__(self) -> None:
        parsers: dict[str, Callable[[Any], AnyStore]] = {
            SECRET_STORE: SecretStore.model_validate,
            CLUSTER_SECRET_STORE: ClusterSecretStore.model_validate,
        }
        super().__init__(parsers, ErrorReason.STORE_INVALID)

    def note_user(self, user: ObjectKey, spec: Mapping[str, Any]) -> None:
        """Index the stores that the spec of a ManagedSecret references."""
        self.note_uses(user, _named(spec, user.namespace))


def _named(spec: Mapping[str, Any], namespace: str) -> Iterator[StoreKey]:
    """Yield the stores that a spec references, as the API server sent it; the CRD schema has validated it."""
    for ref in _refs(spec):
        if name := ref.get("name"):
            yield StoreKey.named(ref.get("kind"), name, namespace)


def _refs(spec: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    sources = (item.get("from") or {} for item in spec.get("data") or ())
    for source in (*sources, *(spec.get("dataFrom") or ()), *(spec.get("pushTo") or ())):
        yield source.get("storeRef") or {}


class StoreReferenceIndex:
    """Index of dataFrom; only ManagedSecrets that use it are stored."""

    def __init__(self) -> None:
        self._sources: dict[ObjectKey, frozenset[tuple[StoreKey, str]]] = {}
        self._target: dict[ObjectKey, ObjectKey] = {}
        self._writers: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)

    def note(self, user: ObjectKey, spec: Mapping[str, Any]) -> None:
        """Index the spec of a ManagedSecret, as the API server sent it."""
        self.forget(user)
        if sources := frozenset(_sources(spec, user.namespace)):
            target = ObjectKey(user.namespace, (spec.get("target") or {}).get("name") or user.name)
            self._sources[user], self._target[user] = sources, target
            self._writers[target].add(user)

    def forget(self, user: ObjectKey) -> None:
        if (target := self._target.pop(user, None)) is None:
            return
        del self._sources[user]
        self._writers[target].discard(user)
        if not self._writers[target]:
            del self._writers[target]

    def into(self, secret: ObjectKey) -> frozenset[tuple[StoreKey, str]]:
        """Return the store keys that are brought into a Secret as a whole."""
        writers = self._writers.get(secret, ())
        return frozenset(source for writer in writers for source in self._sources[writer])


def _sources(spec: Mapping[str, Any], namespace: str) -> Iterator[tuple[StoreKey, str]]:
    for every in spec.get("dataFrom") or ():
        ref, remote = every.get("storeRef") or {}, every.get("remoteRef") or {}
        if ref.get("name") and remote.get("key"):
            yield StoreKey.named(ref.get("kind"), ref["name"], namespace), remote["key"]
