"""Metadata of Keyturn's Secrets, and the names under which a ManagedSecret has written some."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from keyturn.core.keys import ObjectKey
from keyturn.core.state.state import state_name

if TYPE_CHECKING:
    from keyturn.kube.secret_informer import SecretMeta

__all__ = ["SecretCache"]


class SecretCache:
    """Metadata of Secrets by key, without values."""

    def __init__(self) -> None:
        self._secrets: dict[ObjectKey, SecretMeta] = {}
        self._renamed: defaultdict[ObjectKey, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._secrets)

    def get(self, key: ObjectKey) -> SecretMeta | None:
        return self._secrets.get(key)

    def put(self, meta: SecretMeta) -> bool:
        """Store the metadata of a Secret; return whether it is newer than the known one."""
        key = ObjectKey(meta.namespace, meta.name)
        known = self._secrets.get(key)
        # A watch can lag behind the answer to an own write. Resource versions are ordered numbers (KEP-5504).
        if known and known.uid == meta.uid and int(known.resource_version) >= int(meta.resource_version):
            return False
        self._forget_name(known)
        self._secrets[key] = meta
        if meta.owner and meta.name not in {meta.owner, state_name(meta.owner)}:
            self._renamed[ObjectKey(meta.namespace, meta.owner)].add(meta.name)
        return True

    def drop(self, key: ObjectKey) -> str | None:
        """Drop a Secret; return its owner."""
        known = self._secrets.pop(key, None)
        self._forget_name(known)
        return known.owner if known else None

    def written_by(self, key: ObjectKey) -> set[str]:
        """Return the names of the Secrets that a ManagedSecret has written, except its state."""
        names = {key.name, *self._renamed.get(key, ())}
        metas = {name: self._secrets.get(ObjectKey(key.namespace, name)) for name in names}
        return {name for name, meta in metas.items() if meta and meta.owner == key.name and meta.written}

    def _forget_name(self, known: SecretMeta | None) -> None:
        if known is None:
            return
        key = ObjectKey(known.namespace, known.owner)
        if left := self._renamed.get(key, set()) - {known.name}:
            self._renamed[key] = left
        else:
            self._renamed.pop(key, None)
