"""Objects in the informer cache: their parsing, ManagedSecrets, and workloads indexed by the Secrets that they use.

An object is parsed without what its status has that this version cannot parse. ManagedSecrets are kept as compact
JSON, a quarter of the size of parsed models. The schema limits the size of a spec.
"""

import copy
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import orjson
import pydantic

from keyturn.api.base import Schema, validation_sentence
from keyturn.api.managedsecret import ManagedSecret, ManagedSecretSpec
from keyturn.api.source import PushTo
from keyturn.api.target import Target
from keyturn.core.errors import Stalled
from keyturn.core.keys import STATE_SUFFIX, ObjectKey, WorkloadKey
from keyturn.core.labels import PREFIX
from keyturn.core.observation.workload import Workload
from keyturn.core.reasons import ErrorReason

_Model = TypeVar("_Model", bound=Schema)
Places: TypeAlias = "list[tuple[int | str, ...]]"
"""Paths of the parts of an object that cannot be parsed."""
_STATUS = "status"
_REWRITTEN = "conditions"
"""The list that each reconcile writes whole. Some of its elements are dropped before the others are numbered."""


def parse(model: type[_Model], body: Mapping[str, Any]) -> _Model:
    """Parse an object; fields and list elements of its status that cannot be parsed count as absent.

    The API server accepts times that no calendar has, such as in the year 0 or in a zone of 99 hours. The next
    reconcile replaces them.

    Raises:
        pydantic.ValidationError: Another part of the object is invalid.
    """
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        places = places_of(error)
        if not any(place[0] == _STATUS for place in places):
            raise
    try:
        return model.model_validate(without(body, places))
    except pydantic.ValidationError:
        return model.model_validate({**body, _STATUS: {}})


def places_of(error: pydantic.ValidationError) -> Places:
    return [one["loc"] for one in error.errors(include_input=False, include_url=False)]


def without(body: Mapping[str, Any], places: Iterable[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return an object without the fields of its status at some places, and without list elements that have them."""
    status = body[_STATUS]
    kept = copy.deepcopy(status) if isinstance(status, dict) else {}
    elements: set[tuple[str, int]] = set()
    for root, *path in places:
        if root != _STATUS or not path:
            continue
        name, number = str(path[0]), path[1] if len(path) > 1 else None
        if isinstance(number, int) and name != _REWRITTEN:
            elements.add((name, number))
        else:
            kept.pop(name, None)
    for name, number in sorted(elements, reverse=True):
        if name in kept:
            del kept[name][number]
    return {**body, _STATUS: kept}


_Part = TypeVar("_Part", bound=pydantic.BaseModel)

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
        self._targets: dict[ObjectKey, str] = {}
        """Names of the target Secrets in the statuses."""
        self._renamed: dict[ObjectKey, set[str]] = {}
        """By Secret the objects of other names that have it as their target."""

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

    def owners(self, secret: ObjectKey) -> set[str]:
        """Return the names of the objects that have a Secret, or have had it last, by their statuses."""
        found = set(self._renamed.get(secret, ()))
        if self._targets.get(secret) == secret.name:
            found.add(secret.name)
        name = secret.name.removesuffix(STATE_SUFFIX)
        if name != secret.name and ObjectKey(secret.namespace, name) in self._targets:
            found.add(name)
        return found

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
        before = ObjectKey(key.namespace, self._targets.pop(key, key.name))
        if left := self._renamed.pop(before, set[str]()) - {key.name}:
            self._renamed[before] = left
        if isinstance(status, dict) and isinstance(target := status.get("secretName"), str):
            self._targets[key] = key.name if target == key.name else target
            if target != key.name:
                self._renamed.setdefault(ObjectKey(key.namespace, target), set()).add(key.name)


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
    # Parsed with another spec, and then emptied.
    managed = parse(ManagedSecret, {**body, "spec": {"data": [{"name": "unreadable", "literal": ""}]}})
    managed = managed.model_copy(update={"spec": ManagedSecretSpec.model_construct(data=[])})
    return _with_policies(managed, body["spec"]), Stalled(ErrorReason.INVALID_SPEC, flaw)


def _with_policies(managed: ManagedSecret, spec: Mapping[str, Any]) -> ManagedSecret:
    """Add what a deletion acts by, as far as it is valid: the deletionPolicy of the target, and the pushes."""
    target, pushes = spec.get("target"), spec.get("pushTo")
    policy = _valid(
        Target, {"deletionPolicy": target.get("deletionPolicy")} if isinstance(target, dict) else {}
    )
    parsed = [_valid(PushTo, push) for push in pushes] if isinstance(pushes, list) else []
    kept = {"target": policy or Target(), "push_to": [push for push in parsed if push]}
    return managed.model_copy(update={"spec": managed.spec.model_copy(update=kept)})


def _valid(model: type[_Part], part: Any) -> _Part | None:
    try:
        return model.model_validate(part)
    except pydantic.ValidationError:
        return None


class WorkloadCache:
    """Workloads by key, and workload keys by Secret.

    A workload that uses the pod template of another one is returned with it.
    """

    def __init__(self) -> None:
        self._workloads: dict[WorkloadKey, Workload] = {}
        self._borrowers: defaultdict[WorkloadKey, set[WorkloadKey]] = defaultdict(set)
        """Workloads that use the pod template of the key."""
        self._users: dict[ObjectKey, frozenset[WorkloadKey] | set[WorkloadKey]] = {}
        """Workloads by Secret; of a Secret with one, the frozen set is shared by all Secrets of the workload."""

    def put(self, workload: Workload) -> Workload | None:
        """Store a workload; return its former state."""
        known = self.drop(workload.key)
        self._workloads[workload.key] = workload
        alone = frozenset({workload.key})
        for secret in secrets_of(workload):
            users = self._users.setdefault(secret, alone)
            if isinstance(users, set):
                users.add(workload.key)
            elif users is not alone:
                self._users[secret] = {*users, workload.key}
        if workload.template_of:
            self._borrowers[workload.template_of].add(workload.key)
        return known

    def has(self, workload: Workload) -> bool:
        """Whether a workload is known as it is."""
        return self._workloads.get(workload.key) == workload

    def rolling(self) -> list[WorkloadKey]:
        """Return the workloads with a restart marker whose rollout is not complete."""
        workloads = map(self.whole, self._workloads.values())
        return [workload.key for workload in workloads if workload.marker and not workload.settled]

    def drop(self, key: WorkloadKey) -> Workload | None:
        """Drop a workload; return its former state."""
        known = self._workloads.pop(key, None)
        for secret in secrets_of(known):
            users = self._users[secret]
            if isinstance(users, set):
                users.discard(key)
            if users in ({key}, set()):
                del self._users[secret]
        if known and known.template_of:
            self._borrowers[known.template_of].discard(key)
            if not self._borrowers[known.template_of]:
                del self._borrowers[known.template_of]
        return known

    def get(self, key: WorkloadKey) -> Workload | None:
        workload = self._workloads.get(key)
        return self.whole(workload) if workload else None

    def whole(self, workload: Workload) -> Workload:
        """Return a workload with the pod template that it uses, if that is known."""
        other = self._workloads.get(workload.template_of) if workload.template_of else None
        return workload.with_template_of(other) if other else workload

    def borrowers_of(self, key: WorkloadKey) -> list[WorkloadKey]:
        """Return the workloads that use the pod template of another one."""
        return sorted(self._borrowers.get(key, ()))

    def keys(self, kind: str) -> list[WorkloadKey]:
        return [key for key in self._workloads if key.kind == kind]

    def users_of(self, secret: ObjectKey) -> list[Workload]:
        using = self._users.get(secret, frozenset())
        using = using.union(*(self._borrowers.get(key, ()) for key in using)) if self._borrowers else using
        return [self.whole(self._workloads[key]) for key in sorted(using)]


def secrets_of(workload: Workload | None) -> set[ObjectKey]:
    """Return the Secrets that a workload uses."""
    if workload is None:
        return set()
    return {ObjectKey(workload.key.namespace, use.secret) for use in workload.uses}
