"""Stores in the informer cache, the ManagedSecrets that use them, and the store keys that fill a Secret."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, ObjectKey, StoreKey, meant
from keyturn.core.reasons import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["AnyStore", "StoreCache", "StoreReferenceIndex"]

AnyStore: TypeAlias = SecretStore | ClusterSecretStore
_MODELS: dict[str, type[AnyStore]] = {SECRET_STORE: SecretStore, CLUSTER_SECRET_STORE: ClusterSecretStore}


class StoreCache:
    """Both kinds of store by key, and the ManagedSecrets that reference them."""

    def __init__(self) -> None:
        self._stores: dict[StoreKey, AnyStore | Stalled] = {}
        self._uses: dict[ObjectKey, frozenset[StoreKey]] = {}
        self._users: defaultdict[StoreKey, set[ObjectKey]] = defaultdict(set)

    # Stores.

    def put(self, key: StoreKey, body: Mapping[str, Any]) -> None:
        try:
            self._stores[key] = _MODELS[key.kind].model_validate(body)
        except pydantic.ValidationError as error:
            self._stores[key] = Stalled(ErrorReason.STORE_INVALID, f"{key}: {validation_sentence(error)}")

    def drop(self, key: StoreKey) -> None:
        self._stores.pop(key, None)

    def store(self, key: StoreKey) -> AnyStore | None:
        """Return a store, or None.

        Raises:
            Stalled: This version cannot parse it.
        """
        store = self._stores.get(key)
        if isinstance(store, Stalled):
            raise store.with_traceback(None)
        return store

    def identity(self, key: StoreKey) -> str | None:
        """Return UID and generation of a store as an identifier of its settings; None if it is absent or invalid."""
        store = self._stores.get(key)
        if store is None or isinstance(store, Stalled):
            return None
        return f"{store.metadata.uid}-{store.metadata.generation}"

    def keys(self, kind: str) -> list[StoreKey]:
        return [
            key for key in list(self._stores) if key.kind == kind
        ]  # metrics call this from another thread

    def names(self, kind: str, namespace: str) -> list[str]:
        """Return the names of the stores of a kind and namespace."""
        return sorted(key.name for key in self._stores if (key.kind, key.namespace) == (kind, namespace))

    def selected_users(self) -> set[ObjectKey]:
        """Return the users of stores that select namespaces by labels."""
        chosen = [key for key, store in self._stores.items() if _selects(store)]
        return {user for key in chosen for user in self._users.get(key, ())}

    # Users.

    def note_user(self, user: ObjectKey, spec: Mapping[str, Any]) -> None:
        """Index the stores that the spec of a ManagedSecret references."""
        self.forget_user(user)
        if named := frozenset(_named(spec, user.namespace)):
            self._uses[user] = named
            for key in named:
                self._users[key].add(user)

    def forget_user(self, user: ObjectKey) -> None:
        for key in self._uses.pop(user, ()):
            self._users[key].discard(user)
            if not self._users[key]:
                del self._users[key]

    def users_of(self, key: StoreKey) -> frozenset[ObjectKey]:
        return frozenset(self._users.get(key, ()))


def _selects(store: AnyStore | Stalled) -> bool:
    if not isinstance(store, ClusterSecretStore) or store.spec.allowed_namespaces is None:
        return False
    return store.spec.allowed_namespaces.selector is not None


def _named(spec: Mapping[str, Any], namespace: str) -> Iterator[StoreKey]:
    """Yield the stores that a spec references, as the API server sent it; the CRD schema has validated it."""
    for ref in _refs(spec):
        if name := ref.get("name"):
            yield meant(ref.get("kind") or SECRET_STORE, name, namespace)


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
            yield meant(ref.get("kind") or SECRET_STORE, ref["name"], namespace), remote["key"]
