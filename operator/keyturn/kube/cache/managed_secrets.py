"""The ManagedSecrets that the watches told of: whole where they are small, which nearly all are.

They are kept as compact JSON, a quarter of what their parsed form takes. Of a large one is kept what is asked for
between its turns; its spec is read when its turn comes (`observe`).
"""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from keyturn.core.keys import ObjectKey

__all__ = ["LARGEST", "WHOLE", "ManagedSecretCache", "slim"]

LARGEST: Final = 16 * 1024
"""Bytes of JSON up to which an object is kept whole."""
WHOLE: Final = inf
"""For who looks at objects one by one and keeps none."""
_ALL: Final = 64 * 1024 * 1024
"""Bytes of all that is kept whole, beyond which only those are that are smaller still."""
_SMALL: Final = 4 * 1024
_MOST_STATUS: Final = 64 * 1024
_OURS: Final = "keyturn.dev/"
_METADATA: Final = ("name", "namespace", "uid", "generation", "resourceVersion")
_TIMES: Final = ("creationTimestamp", "deletionTimestamp")
_SPEC: Final = ("className", "owner", "suspend")


class ManagedSecretCache:
    """ManagedSecrets by their keys, and their labels."""

    def __init__(self, largest: float) -> None:
        """Take `largest` as the bytes up to which an object is kept whole."""
        self._largest = largest
        self._kept: dict[ObjectKey, bytes] = {}
        self._large: set[ObjectKey] = set()
        self._labels: defaultdict[str, dict[ObjectKey, bytes]] = defaultdict(dict)
        """The labels of the ManagedSecrets of each namespace."""
        self._size = 0

    def put(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Take in an object as it came from the API server; threads that read it find what was or what is."""
        self._size -= self._size_of(key)
        self._large.discard(key)
        kept, labels = _packed(slim(body)), _packed(body["metadata"].get("labels") or {})
        if self._is_large(len(kept)):
            kept = _light(body)
            self._large.add(key)
        self._kept[key] = kept
        self._labels[key.namespace][key] = b"{}" if self._is_large(len(labels)) else labels
        self._size += self._size_of(key)

    def drop(self, key: ObjectKey) -> None:
        self._size -= self._size_of(key)
        self._kept.pop(key, None)
        self._large.discard(key)
        if labels := self._labels.get(key.namespace):
            labels.pop(key, None)
            if not labels:
                del self._labels[key.namespace]

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        """Return what is kept of an object; of a large one, `light` says so."""
        kept = self._kept.get(key)
        return orjson.loads(kept) if kept is not None else None

    def is_large(self, key: ObjectKey) -> bool:
        """Say whether an object is not kept whole."""
        return key in self._large

    def targets(self, key: ObjectKey) -> set[str]:
        """Name the Secret that an object asks for, and the one that its status tells of, which may be of before."""
        body = self.get(key) or {}
        told = (body.get("status") or {}).get("secretName")
        # Of a large one the name is not kept, but its status has it from its first turn on.
        asked = ((body.get("spec") or {}).get("target") or {}).get("name") or (
            told if "light" in body else None
        )
        return {name for name in (asked or key.name, told) if isinstance(name, str) and name.strip(".")}

    def labels(self, key: ObjectKey) -> Mapping[str, str]:
        written = self._labels.get(key.namespace, {}).get(key)
        return orjson.loads(written) if written else {}

    def keys(self) -> Iterable[ObjectKey]:
        return self._kept.keys()

    def names(self, namespace: str) -> list[ObjectKey]:
        return list(self._labels.get(namespace, ()))

    def namespaces(self) -> Collection[str]:
        return self._labels.keys()

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._kept

    def _size_of(self, key: ObjectKey) -> int:
        labels = self._labels.get(key.namespace, {}).get(key, b"")
        return len(self._kept.get(key, b"")) + len(labels)

    def _is_large(self, size: int) -> bool:
        return size > self._largest or (size > _SMALL and self._size + size > max(_ALL, self._largest))


def slim(body: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of an object what the operator does not look at."""
    metadata = body["metadata"]
    kept = {
        name: metadata[name] for name in (*_METADATA, *_TIMES, "labels", "finalizers") if name in metadata
    }
    annotations = metadata.get("annotations") or {}
    if ours := {name: text for name, text in annotations.items() if name.startswith(_OURS)}:
        kept["annotations"] = ours
    return {"metadata": kept, "spec": body.get("spec") or {}, "status": body.get("status") or {}}


def _light(body: Mapping[str, Any]) -> bytes:
    """Write what is asked for between the turns of a large object: who it is, and its status."""
    whole, spec = slim(body), body.get("spec") or {}
    chosen = {"light": True, "spec": {name: spec[name] for name in _SPEC if name in spec}}
    metadata, status = whole["metadata"], whole["status"]
    if len(_packed(metadata)) > _SMALL:
        metadata = {name: metadata[name] for name in (*_METADATA, *_TIMES) if name in metadata}
    if len(_packed(status)) > _MOST_STATUS:
        status = {}
    return _packed({"metadata": metadata, "status": status, **chosen})


def _packed(document: dict[str, Any]) -> bytes:
    """Write JSON to be kept: what orjson returns keeps all of the 4 KiB that it has written into, a copy does not."""
    return bytes(memoryview(orjson.dumps(document)))
