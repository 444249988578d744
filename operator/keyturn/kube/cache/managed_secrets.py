"""ManagedSecrets in the informer cache: whole if small, which nearly all are; and their parsing into models.

They are kept as compact JSON, a quarter of the size of parsed models. Of a large one only the parts are kept that are
needed between reconciles; a reconcile reads it whole (`observe`), also before its status is replaced (`report`).
"""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.managedsecret import ManagedSecret, ManagedSecretSpec
from keyturn.api.source import PushTo
from keyturn.api.target import Target
from keyturn.core.errors import Stalled
from keyturn.core.labels import PREFIX
from keyturn.core.reasons import ErrorReason

from .parsing import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from keyturn.core.keys import ObjectKey

_Model = TypeVar("_Model", bound=pydantic.BaseModel)

LARGEST: Final = 16 * 1024
"""Size in bytes of JSON up to which an object is kept whole."""
WHOLE: Final = inf
"""For callers that process objects one by one and keep none."""
_MAX_TOTAL: Final = 64 * 1024 * 1024
"""Bytes of all whole objects, beyond which only objects up to _SMALL are kept whole."""
_SMALL: Final = 4 * 1024
_MAX_STATUS: Final = 64 * 1024
"""Size up to which the status of a large object is kept whole."""
_MAX_BRIEF: Final = 128 * 1024
"""The same without texts: 1000 workloads with names of 63 characters fit."""
_MAX_TEXT: Final = 1024
_COUNTED: Final = frozenset({"workloads", "policy", "history"})
"""Parts of a status whose entries are counted, and whose texts nothing needs between reconciles."""
_PROGRESS: Final = ("kind", "name", "state")
_METADATA: Final = ("name", "namespace", "uid", "generation", "resourceVersion")
_TIMES: Final = ("creationTimestamp", "deletionTimestamp")
_SPEC: Final = ("className", "owner", "suspend")


class ManagedSecretCache:
    """ManagedSecrets by key, and their labels."""

    def __init__(self, largest: float) -> None:
        """`largest` is the size in bytes up to which an object is kept whole."""
        self._largest = largest
        self._kept: dict[ObjectKey, bytes] = {}
        self._large: set[ObjectKey] = set()
        self._labels: defaultdict[str, dict[ObjectKey, bytes]] = defaultdict(dict)
        """Labels of the ManagedSecrets by namespace."""
        self._in_status: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """By namespace and name the target Secret in the status: those of a whole namespace are compared."""
        self._size = 0

    def put(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Store an object as the API server sent it; threads that read see the old or the new one."""
        self._size -= self._size_of(key)
        self._large.discard(key)
        kept, labels = _pack(slim(body)), _pack(body["metadata"].get("labels") or {})
        if self._is_large(len(kept)):
            kept = _light(body)
            self._large.add(key)
        self._kept[key] = kept
        self._labels[key.namespace][key] = b"{}" if self._is_large(len(labels)) else labels
        self._size += self._size_of(key)
        self._note_secret(key, body.get("status"))

    def drop(self, key: ObjectKey) -> None:
        self._size -= self._size_of(key)
        self._kept.pop(key, None)
        self._large.discard(key)
        self._note_secret(key, None)
        if labels := self._labels.get(key.namespace):
            labels.pop(key, None)
            if not labels:
                del self._labels[key.namespace]

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        """Return the kept parts of an object; `light` marks a large one."""
        kept = self._kept.get(key)
        return orjson.loads(kept) if kept is not None else None

    def is_large(self, key: ObjectKey) -> bool:
        """Whether an object is not kept whole."""
        return key in self._large

    def targets(self, key: ObjectKey) -> set[str]:
        """Return the names of the current target Secret and of the one in the status, which may be a former one."""
        body = self.get(key) or {}
        in_status = (body.get("status") or {}).get("secretName")
        # The name of a large one is not kept, but its status has it after its first reconcile.
        asked = ((body.get("spec") or {}).get("target") or {}).get("name") or (
            in_status if "light" in body else None
        )
        return {name for name in (asked or key.name, in_status) if isinstance(name, str) and name.strip(".")}

    def in_statuses(self, namespace: str) -> Mapping[str, str]:
        """Return by name the target Secret that each object of a namespace has, or has had last."""
        return self._in_status.get(namespace, {})

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

    def _note_secret(self, key: ObjectKey, status: Any) -> None:
        known = self._in_status[key.namespace]
        known.pop(key.name, None)
        if isinstance(status, dict) and isinstance(secret := status.get("secretName"), str):
            known[key.name] = secret
        if not known:
            del self._in_status[key.namespace]

    def _size_of(self, key: ObjectKey) -> int:
        labels = self._labels.get(key.namespace, {}).get(key, b"")
        return len(self._kept.get(key, b"")) + len(labels)

    def _is_large(self, size: int) -> bool:
        return size > self._largest or (size > _SMALL and self._size + size > max(_MAX_TOTAL, self._largest))


def slim(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of an object that the operator uses."""
    metadata = body["metadata"]
    kept = {
        name: metadata[name] for name in (*_METADATA, *_TIMES, "labels", "finalizers") if name in metadata
    }
    annotations = metadata.get("annotations") or {}
    if ours := {name: text for name, text in annotations.items() if name.startswith(PREFIX)}:
        kept["annotations"] = ours
    return {"metadata": kept, "spec": body.get("spec") or {}, "status": body.get("status") or {}}


def _light(body: Mapping[str, Any]) -> bytes:
    """Return the parts of a large object that are needed between reconciles: identity and status."""
    whole, spec = slim(body), body.get("spec") or {}
    chosen = {"light": True, "spec": {name: spec[name] for name in _SPEC if name in spec}}
    metadata, status = whole["metadata"], whole["status"]
    if len(_pack(metadata)) > _SMALL:
        metadata = {name: metadata[name] for name in (*_METADATA, *_TIMES) if name in metadata}
    if len(_pack(status)) > _MAX_STATUS:
        status = _brief(status)
    return _pack({"metadata": metadata, "status": status, **chosen})


def _brief(status: Any) -> dict[str, Any]:
    """Return what metrics need of a large status; less if that is large too."""
    if not isinstance(status, dict):
        return {}
    brief = {name: _shortened(part, 0 if name in _COUNTED else _MAX_TEXT) for name, part in status.items()}
    if isinstance(workloads := brief.get("workloads"), list):
        rows = (one for one in workloads if isinstance(one, dict))
        brief["workloads"] = [{name: one[name] for name in _PROGRESS if name in one} for one in rows]
    rest = {name: part for name, part in brief.items() if name not in _COUNTED}
    return next((one for one in (brief, rest) if len(_pack(one)) <= _MAX_BRIEF), {})


def _shortened(part: Any, most: int) -> Any:
    """Return a part of a status whose messages have at most `most` characters."""
    if isinstance(part, list):
        return [_shortened(one, most) for one in part]
    if isinstance(part, dict):
        return {
            name: text[:most] if name == "message" and isinstance(text, str) else _shortened(text, most)
            for name, text in part.items()
        }
    return part


def _pack(document: dict[str, Any]) -> bytes:
    """Return JSON as a copy: the bytes of orjson keep the whole 4 KiB buffer, a copy does not."""
    return bytes(memoryview(orjson.dumps(document)))


def readable(body: dict[str, Any]) -> tuple[ManagedSecret, Stalled | None]:
    """Parse a ManagedSecret; return the error if this version cannot parse its spec."""
    try:
        return parse(ManagedSecret, body), None
    except pydantic.ValidationError as error:
        return _with_policies(_without_spec(body), body["spec"]), Stalled(
            ErrorReason.INVALID_SPEC, validation_sentence(error)
        )


def light(body: dict[str, Any]) -> tuple[ManagedSecret, None]:
    """Parse a ManagedSecret of which only parts of the spec were kept."""
    spec, managed = body["spec"], _without_spec(body)
    kept = {"class_name": spec.get("className"), "owner": spec.get("owner"), "suspend": spec.get("suspend")}
    return managed.model_copy(update={"spec": managed.spec.model_copy(update=kept)}), None


def _without_spec(body: dict[str, Any]) -> ManagedSecret:
    """Parse a ManagedSecret without its spec."""
    empty = ManagedSecretSpec.model_construct(data=[])
    readable = parse(ManagedSecret, {**body, "spec": {"data": [{"name": "unreadable", "literal": ""}]}})
    return readable.model_copy(update={"spec": empty})


def _with_policies(managed: ManagedSecret, spec: Mapping[str, Any]) -> ManagedSecret:
    """Add what a deletion acts by, as far as it is valid: the deletionPolicy of the target, and the pushes."""
    target, pushes = spec.get("target"), spec.get("pushTo")
    policy = _valid(
        Target, {"deletionPolicy": target.get("deletionPolicy")} if isinstance(target, dict) else {}
    )
    parsed = [_valid(PushTo, push) for push in pushes] if isinstance(pushes, list) else []
    kept = {"target": policy or Target(), "push_to": [push for push in parsed if push]}
    return managed.model_copy(update={"spec": managed.spec.model_copy(update=kept)})


def _valid(model: type[_Model], part: Any) -> _Model | None:
    try:
        return model.model_validate(part)
    except pydantic.ValidationError:
        return None
