"""ManagedSecrets in the informer cache, and their parsing into models.

They are kept as compact JSON, a quarter of the size of parsed models. The schema limits the size of a spec.
"""

from __future__ import annotations

from collections import defaultdict
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

_MOST_METADATA: Final = 16 * 1024
"""Bytes of labels, own annotations and finalizers, which no schema limits."""
_TOO_MUCH_METADATA: Final = (
    f"labels, finalizers and annotations under {PREFIX} have more than {_MOST_METADATA // 1024} KiB together;"
    " remove some of them"
)
_METADATA: Final = ("name", "namespace", "uid", "generation", "resourceVersion")
_TIMES: Final = ("creationTimestamp", "deletionTimestamp")


class ManagedSecretCache:
    """ManagedSecrets by key, and their labels."""

    def __init__(self) -> None:
        self._kept: dict[ObjectKey, bytes] = {}
        self._labels: defaultdict[str, dict[ObjectKey, bytes]] = defaultdict(dict)
        """Labels of the ManagedSecrets by namespace."""
        self._in_status: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """By namespace and name the target Secret in the status: those of a whole namespace are compared."""

    def put(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Store an object as the API server sent it; threads that read see the old or the new one."""
        kept = slim(body)
        self._kept[key] = _pack(kept)
        self._labels[key.namespace][key] = _pack(kept["metadata"].get("labels") or {})
        self._note_secret(key, body.get("status"))

    def drop(self, key: ObjectKey) -> None:
        self._kept.pop(key, None)
        self._note_secret(key, None)
        if labels := self._labels.get(key.namespace):
            labels.pop(key, None)
            if not labels:
                del self._labels[key.namespace]

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        """Return the kept parts of an object."""
        kept = self._kept.get(key)
        return orjson.loads(kept) if kept is not None else None

    def targets(self, key: ObjectKey) -> set[str]:
        """Return the names of the current target Secret and of the one in the status, which may be a former one."""
        body = self.get(key) or {}
        in_status = (body.get("status") or {}).get("secretName")
        asked = ((body.get("spec") or {}).get("target") or {}).get("name") or key.name
        return {name for name in (asked, in_status) if isinstance(name, str) and name.strip(".")}

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


def slim(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of an object that the operator uses; `isTooLarge` marks one with too much metadata."""
    metadata = body["metadata"]
    kept = {name: metadata[name] for name in (*_METADATA, *_TIMES) if name in metadata}
    annotations = metadata.get("annotations") or {}
    free = {
        "labels": metadata.get("labels"),
        "annotations": {name: text for name, text in annotations.items() if name.startswith(PREFIX)},
        "finalizers": metadata.get("finalizers"),
    }
    whole = {"spec": body.get("spec") or {}, "status": body.get("status") or {}}
    if len(orjson.dumps(free)) <= _MOST_METADATA:
        return {"metadata": kept | {name: part for name, part in free.items() if part}, **whole}
    if len(orjson.dumps(free["finalizers"])) <= _MOST_METADATA:
        kept["finalizers"] = free["finalizers"] or []  # a deletion needs all of them to remove one
    return {"metadata": kept, **whole, "isTooLarge": True}


def _pack(document: dict[str, Any]) -> bytes:
    """Return JSON as a copy: the bytes of orjson keep the whole 4 KiB buffer, a copy does not."""
    return bytes(memoryview(orjson.dumps(document)))


def readable(body: dict[str, Any]) -> tuple[ManagedSecret, Stalled | None]:
    """Parse a ManagedSecret; return the error if this version cannot parse its spec, or its metadata is too large."""
    if "isTooLarge" in body:
        flaw = _TOO_MUCH_METADATA
    else:
        try:
            return parse(ManagedSecret, body), None
        except pydantic.ValidationError as error:
            flaw = validation_sentence(error)
    return _with_policies(_without_spec(body), body["spec"]), Stalled(ErrorReason.INVALID_SPEC, flaw)


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
