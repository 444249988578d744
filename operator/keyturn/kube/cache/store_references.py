"""Index from a Secret to the store keys that dataFrom brings into it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from keyturn.core.keys import SECRET_STORE, ObjectKey, StoreKey, meant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["StoreReferenceIndex"]


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
