"""Stores in the informer cache, and the ManagedSecrets that use them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, StoreKey, meant
from keyturn.core.reasons import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from keyturn.core.keys import ObjectKey

__all__ = ["AnyStore", "StoreCache"]


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
