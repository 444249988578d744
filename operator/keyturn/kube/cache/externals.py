"""Stores or database targets in the informer cache, by key, and the ManagedSecrets that reference them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.databasetarget import ClusterDatabaseTarget, DatabaseTarget
from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.core.errors import Stalled
from keyturn.core.keys import ExternalKey, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from keyturn.api.secretstore import AllowedNamespaces
    from keyturn.core.reasons import ErrorReason

__all__ = ["AnyStore", "AnyTarget", "ExternalCache", "Key", "Model", "namespaces_of"]

AnyStore: TypeAlias = SecretStore | ClusterSecretStore
AnyTarget: TypeAlias = DatabaseTarget | ClusterDatabaseTarget
Key = TypeVar("Key", bound=ExternalKey)
Model = TypeVar("Model", bound=AnyStore | AnyTarget)


class ExternalCache(Generic[Key, Model]):
    """Objects of both kinds, that of a namespace and that of the cluster."""

    def __init__(self, parsers: Mapping[str, Callable[[Any], Model]], invalid: ErrorReason) -> None:
        """`parsers` has the two kinds; `invalid` is the reason of an object that cannot be parsed."""
        self._parsers, self._invalid = parsers, invalid
        self._objects: dict[Key, Model | Stalled] = {}
        self._uses: dict[ObjectKey, frozenset[Key]] = {}
        self._users: defaultdict[Key, set[ObjectKey]] = defaultdict(set)

    def put(self, key: Key, body: Mapping[str, Any]) -> None:
        try:
            self._objects[key] = self._parsers[key.kind](body)
        except pydantic.ValidationError as error:
            self._objects[key] = Stalled(self._invalid, f"{key}: {validation_sentence(error)}")

    def drop(self, key: Key) -> None:
        self._objects.pop(key, None)

    def get(self, key: Key) -> Model | None:
        """Return an object, or None.

        Raises:
            Stalled: This version cannot parse it.
        """
        found = self._objects.get(key)
        if isinstance(found, Stalled):
            raise found.with_traceback(None)
        return found

    def identity(self, key: Key) -> str | None:
        """Return UID and generation of an object, which identify its settings; None if it is absent or invalid."""
        found = self._objects.get(key)
        if found is None or isinstance(found, Stalled):
            return None
        return f"{found.metadata.uid}-{found.metadata.generation}"

    def keys(self, kind: str) -> list[Key]:
        # Metrics call this from another thread.
        return [key for key in list(self._objects) if key.kind == kind]

    def names(self, kind: str, namespace: str) -> list[str]:
        """Return the names of the objects of a kind and namespace."""
        return sorted(key.name for key in self._objects if (key.kind, key.namespace) == (kind, namespace))

    # Users

    def note_uses(self, user: ObjectKey, keys: Iterable[Key]) -> None:
        """Index the objects that a ManagedSecret references."""
        self.forget_user(user)
        if named := frozenset(keys):
            self._uses[user] = named
            for key in named:
                self._users[key].add(user)

    def forget_user(self, user: ObjectKey) -> None:
        for key in self._uses.pop(user, ()):
            self._users[key].discard(user)
            if not self._users[key]:
                del self._users[key]

    def users_of(self, key: Key) -> frozenset[ObjectKey]:
        return frozenset(self._users.get(key, ()))

    def selected_users(self) -> set[ObjectKey]:
        """Return the users of objects that select namespaces by labels."""
        chosen = [key for key, found in self._objects.items() if _selects(found)]
        return {user for key in chosen for user in self.users_of(key)}


def namespaces_of(found: AnyStore | AnyTarget) -> AllowedNamespaces | None:
    """Return which namespaces may use an object of the cluster; None for no namespace."""
    return (
        found.spec.allowed_namespaces
        if isinstance(found, ClusterSecretStore | ClusterDatabaseTarget)
        else None
    )


def _selects(found: AnyStore | AnyTarget | Stalled) -> bool:
    allowed = None if isinstance(found, Stalled) else namespaces_of(found)
    return allowed is not None and allowed.selector is not None
