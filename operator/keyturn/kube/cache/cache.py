"""Informer cache of the watched kinds, with indexes from a changed object to the ManagedSecrets it affects."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import SecretClass
from keyturn.core.errors import Stalled, copied
from keyturn.core.keys import EmergencyKey, ObjectKey, StoreKey, TargetKey, WorkloadKey
from keyturn.core.labels import DEFAULT_CLASS, ENVIRONMENT
from keyturn.core.observation.workload import Workload
from keyturn.core.reasons import ErrorReason
from keyturn.core.state.state import state_name
from keyturn.kube.secret_informer import SecretMeta

from .emergencies import EmergencyCache
from .externals import DataFromIndex, StoreCache, TargetCache
from .objects import ManagedSecretCache, WorkloadCache, parse, readable, secrets_of

_Key: TypeAlias = ObjectKey | WorkloadKey | StoreKey | TargetKey | EmergencyKey | str
_MOST_DELETIONS: Final = 10_000
"""Deletions that are known: an answer or a page that is older than one arrives within minutes."""


class InformerCache:
    """Last observed state of the watched objects; it decides nothing and sends no requests."""

    def __init__(self) -> None:
        self._versions: dict[_Key, int] = {}
        self._deleted = _Deletions()
        self._deleted_secrets = _Deletions()
        self._managed = ManagedSecretCache()
        self._classes: dict[str, SecretClass | Stalled] = {}
        self._class_of: dict[ObjectKey, str | None] = {}
        self._classes_of_values: dict[ObjectKey, frozenset[str]] = {}
        """Classes that values name themselves, of the objects that have such values."""
        self._default_since: dict[str, str] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._uids: dict[str, str] = {}
        self.sees_namespaces = False
        """Whether namespaces are watched; with selected namespaces the operator has no permission to."""
        self.stores = StoreCache()
        self.data_from = DataFromIndex()
        self.targets = TargetCache()
        self.emergencies = EmergencyCache()
        self._secrets: dict[ObjectKey, SecretMeta] = {}
        self._renamed: defaultdict[ObjectKey, set[str]] = defaultdict(set)
        """Other names than its own that Secrets of a ManagedSecret have."""
        self._workloads = WorkloadCache()
        self._listings = _Listings()

    def record_version(self, key: _Key, body: dict[str, Any]) -> bool:
        """Record the version of `body`; return whether it is newer than the known one.

        A watch lags behind the answers to own writes, and a list may overtake it; both may have an object that is
        deleted by now. Resource versions are numbers that grow (KEP-5504).
        """
        version = int(body["metadata"]["resourceVersion"])
        if version <= self.version_of(key):
            return False
        self._versions[key] = version
        self._deleted.forget(key)
        return True

    def note_deletion(self, key: _Key, version: int) -> None:
        """Record the version at which an object was absent: nothing that is older brings it back."""
        self._deleted.note(key, version)

    # ManagedSecrets

    def put_managed(self, body: dict[str, Any]) -> bool:
        """Store a ManagedSecret; return whether it is newer than the known one."""
        metadata, spec = body["metadata"], body.get("spec") or {}
        key = ObjectKey(metadata["namespace"], metadata["name"])
        if not self.record_version(key, body):
            return False
        self._managed.put(key, body)
        targets = (spec.get("rollout") or {}).get("targets") or ()
        self._listings.note(
            key, frozenset(WorkloadKey(key.namespace, target["kind"], target["name"]) for target in targets)
        )
        self._class_of[key] = spec.get("className")
        self._classes_of_values.pop(key, None)
        if named := {name for one in spec.get("data") or () if (name := one.get("className"))}:
            self._classes_of_values[key] = frozenset(named)
        self.stores.note_user(key, spec)
        self.data_from.note(key, spec)
        self.targets.note_user(key, body)
        return True

    def drop_managed(self, key: ObjectKey) -> frozenset[ObjectKey]:
        """Drop a ManagedSecret; return those that wait for its database account."""
        rivals = self.targets.rivals_of(key)
        self._versions.pop(key, None)
        self._managed.drop(key)
        self._listings.note(key, frozenset())
        self._class_of.pop(key, None)
        self._classes_of_values.pop(key, None)
        self.stores.forget_user(key)
        self.data_from.forget(key)
        self.targets.forget_user(key)
        return rivals

    def managed(self, key: ObjectKey) -> tuple[ManagedSecret, Stalled | None] | None:
        """Return a ManagedSecret, with the error if this version cannot parse its spec."""
        body = self._managed.get(key)
        return readable(body) if body is not None else None

    def value_names(self, key: ObjectKey) -> list[str]:
        """Return the names of the values in the spec of a ManagedSecret, also of one that cannot be parsed."""
        body = self._managed.get(key) or {"spec": {}}
        return [str(item.get("name")) for item in body["spec"].get("data") or ()]

    def has_managed(self, key: ObjectKey) -> bool:
        return key in self._managed

    def managed_keys(self) -> Iterable[ObjectKey]:
        return self._managed.keys()

    def managed_in(self, namespace: str) -> list[ObjectKey]:
        """Return the ManagedSecrets of one namespace."""
        return self._managed.names(namespace)

    def managed_with_target(self, namespace: str, name: str) -> list[ObjectKey]:
        """Return the ManagedSecrets of a namespace whose target Secret has a name, whether it exists or not."""
        return [key for key in self.managed_in(namespace) if name in self._managed.targets(key)]

    def is_of_another(self, key: ObjectKey, secret: str) -> bool:
        """Whether another ManagedSecret has a Secret of this name by its status, or as its state."""
        return any(name != key.name for name in self._managed.owners(ObjectKey(key.namespace, secret)))

    def other_by_status(self, key: ObjectKey, secret: str) -> str | None:
        """Return another ManagedSecret that has a Secret of this name by its status; None if `key` has it as well."""
        owners = self._managed.owners(ObjectKey(key.namespace, secret))
        return None if key.name in owners else min(owners, default=None)

    def managed_namespaces(self) -> Collection[str]:
        """Return the namespaces with ManagedSecrets."""
        return self._managed.namespaces()

    def version_of(self, key: _Key) -> int:
        """Return the known resourceVersion of an object, or of its deletion; -1 for an unknown one."""
        known = self._versions.get(key)
        return self._deleted.version_of(key) if known is None else known

    # SecretClasses

    def put_class(self, body: dict[str, Any]) -> bool:
        """Store a SecretClass; return whether it is newer than the known one."""
        metadata = body["metadata"]
        name = metadata["name"]
        if not self.record_version(name, body):
            return False
        try:
            self._classes[name] = parse(SecretClass, body)
        except pydantic.ValidationError as error:
            self._classes[name] = Stalled(
                ErrorReason.SECRET_CLASS_INVALID, f"SecretClass {name!r}: {validation_sentence(error)}"
            )
        self._default_since.pop(name, None)
        if (metadata.get("annotations") or {}).get(DEFAULT_CLASS) == "true":
            self._default_since[name] = metadata["creationTimestamp"]
        return True

    def drop_class(self, name: str) -> None:
        self._versions.pop(name, None)
        self._classes.pop(name, None)
        self._default_since.pop(name, None)

    def secret_class(self, name: str) -> SecretClass | None:
        """Return a class, or None.

        Raises:
            Stalled: This version cannot parse it.
        """
        class_ = self._classes.get(name)
        if isinstance(class_, Stalled):
            raise copied(class_)
        return class_

    def classes_of_values(self, managed: ManagedSecret) -> dict[str, SecretClass]:
        """Return the classes that values name themselves, as far as they exist, by name.

        Raises:
            Stalled: This version cannot parse one.
        """
        names = {item.class_name for item in managed.spec.data if item.class_name}
        return {name: found for name in sorted(names) if (found := self.secret_class(name))}

    def class_of(self, key: ObjectKey) -> SecretClass | None:
        """Return the class of a ManagedSecret, if it exists and can be parsed."""
        class_ = self._classes.get(self.class_name(self._class_of.get(key)) or "")
        return class_ if isinstance(class_, SecretClass) else None

    def class_names(self) -> Iterable[str]:
        return self._classes.keys()

    def of_class(self, name: str) -> list[ObjectKey]:
        """Return the ManagedSecrets of a class, by name or by default, or with a value of it."""
        followed = {written: self.class_name(written) for written in set(self._class_of.values())}
        found = [key for key, written in self._class_of.items() if followed[written] == name]
        by_value = (key for key, names in self._classes_of_values.items() if name in names)
        return list(dict.fromkeys((*found, *by_value)))

    def class_name(self, written: str | None) -> str | None:
        """Return the class for a className: the default class for None, no class for ""."""
        if written is None:
            return next(iter(self.default_classes()), None)
        return written or None

    def default_classes(self) -> list[str]:
        """Return the classes marked as default, the effective one first.

        As with StorageClasses, the newest is effective; of equally old ones the first by name.
        """
        if not self._default_since:  # as usual, and asked at each observation
            return []
        by_name = sorted(self._default_since)
        return sorted(by_name, key=self._default_since.__getitem__, reverse=True)

    # Namespaces

    def put_namespace(self, body: dict[str, Any]) -> bool:
        """Store a namespace; return whether its environment has changed."""
        name = body["metadata"]["name"]
        before = self.environment(name)
        if self.record_version(namespace_key(name), body):
            self._labels[name] = body["metadata"].get("labels") or {}
            self._uids[name] = body["metadata"].get("uid") or ""
        return self.environment(name) != before

    def drop_namespace(self, key: ObjectKey) -> None:
        self._versions.pop(key, None)
        self._labels.pop(key.namespace, None)
        self._uids.pop(key.namespace, None)

    def environment(self, namespace: str) -> str | None:
        """Return the environment in a namespace's label."""
        return self._labels.get(namespace, {}).get(ENVIRONMENT) or None

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """Return the labels of a namespace; None for an unknown one."""
        return self._labels.get(namespace)

    def uid(self, namespace: str) -> str | None:
        """Return the UID of a namespace, which no other cluster has; None for an unknown one."""
        return self._uids.get(namespace) or None

    def namespaces(self) -> list[ObjectKey]:
        return [key for key in self._versions if isinstance(key, ObjectKey) and not key.name]

    # Stores and database targets

    def put_external(self, key: StoreKey | TargetKey, body: dict[str, Any]) -> bool:
        """Store one of them; return whether it is newer than the known one."""
        if not self.record_version(key, body):
            return False
        if isinstance(key, StoreKey):
            self.stores.put(key, body)
        else:
            self.targets.put(key, body)
        return True

    def drop_external(self, key: StoreKey | TargetKey) -> None:
        self._versions.pop(key, None)
        if isinstance(key, StoreKey):
            self.stores.drop(key)
        else:
            self.targets.drop(key)

    # Emergencies

    def put_emergency(self, key: EmergencyKey, body: dict[str, Any]) -> bool:
        """Store an EmergencyRotation; return whether it is newer than the known one."""
        if is_newer := self.record_version(key, body):
            self.emergencies.put(key, body)
        return is_newer

    def drop_emergency(self, key: EmergencyKey) -> None:
        self._versions.pop(key, None)
        self.emergencies.drop(key)

    def managed_labels(self, key: ObjectKey) -> Mapping[str, str]:
        """Return the labels of a ManagedSecret."""
        return self._managed.labels(key)

    # Secrets with Keyturn's label.

    def put_secret(self, meta: SecretMeta) -> bool:
        """Store the metadata of a Secret; return whether it is newer than the known one."""
        key = ObjectKey(meta.namespace, meta.name)
        known = self._secrets.get(key)
        if int(meta.resource_version) <= self._deleted_secrets.version_of(key):
            return False
        # A watch can lag behind the answer to an own write. Resource versions are ordered numbers (KEP-5504).
        if known and known.uid == meta.uid and int(known.resource_version) >= int(meta.resource_version):
            return False
        self._forget_name(known)
        self._deleted_secrets.forget(key)
        self._secrets[key] = meta
        if meta.owner and meta.name not in {meta.owner, state_name(meta.owner)}:
            self._renamed[ObjectKey(meta.namespace, meta.owner)].add(meta.name)
        return True

    def drop_secret(self, key: ObjectKey, version: int | None = None) -> str | None:
        """Drop a Secret, if it is not newer than its deletion at `version`; return its owner."""
        known = self._secrets.get(key)
        if version is not None:
            if known and int(known.resource_version) > version:
                return None
            self._deleted_secrets.note(key, version)
        self._secrets.pop(key, None)
        self._forget_name(known)
        return known.owner if known else None

    def _forget_name(self, known: SecretMeta | None) -> None:
        if known is None:
            return
        key = ObjectKey(known.namespace, known.owner)
        if left := self._renamed.get(key, set()) - {known.name}:
            self._renamed[key] = left
        else:
            self._renamed.pop(key, None)

    def labelled_secrets(self, namespace: str | None) -> list[tuple[str, str]]:
        """Return namespace and name of the Secrets with Keyturn's label, of one namespace or of all."""
        metas = self._secrets.values()
        return [
            (one.namespace, one.name) for one in metas if one.owner and namespace in (None, one.namespace)
        ]

    def written_by(self, key: ObjectKey) -> set[str]:
        """Return the names of the Secrets that a ManagedSecret has written, except its state."""
        names = {key.name, *self._renamed.get(key, ())}
        metas = {name: self.secret(key.namespace, name) for name in names}
        return {name for name, meta in metas.items() if meta and meta.owner == key.name and meta.written}

    def secret_names(self, key: ObjectKey) -> set[str]:
        """Return the names of Secrets that may have a ManagedSecret's values: state, current and former targets."""
        return {state_name(key.name)} | self._managed.targets(key) | self.written_by(key)

    def secret(self, namespace: str, name: str) -> SecretMeta | None:
        return self._secrets.get(ObjectKey(namespace, name))

    # Workloads

    def put_workload(self, workload: Workload) -> set[ObjectKey]:
        """Store a workload; return the ManagedSecrets that its change affects."""
        if self._workloads.has(workload):
            return set()
        return self._affected(self._workloads.put(workload)) | self._affected(workload)

    def drop_workload(self, key: WorkloadKey) -> set[ObjectKey]:
        self._versions.pop(key, None)
        return self._affected(self._workloads.drop(key))

    def workload(self, key: WorkloadKey) -> Workload | None:
        return self._workloads.get(key)

    def workload_keys(self, kind: str) -> list[WorkloadKey]:
        return self._workloads.keys(kind)

    def rolling_workloads(self) -> list[WorkloadKey]:
        """Return the workloads that Keyturn has restarted and whose rollout is not complete."""
        return self._workloads.rolling()

    def users_of(self, namespace: str, secret: str) -> list[Workload]:
        return self._workloads.users_of(ObjectKey(namespace, secret))

    def _affected(self, workload: Workload | None) -> set[ObjectKey]:
        """Return the ManagedSecrets whose Secret the workload uses, and those that list it."""
        if workload is None:
            return set()
        metas = (self._secrets.get(secret) for secret in secrets_of(self._workloads.whole(workload)))
        writers = {ObjectKey(meta.namespace, meta.owner) for meta in metas if meta}
        keys = {workload.key, *self._workloads.borrowers_of(workload.key)}
        return writers.union(*map(self._listings.users_of, keys))


class _Listings:
    """Workloads that ManagedSecrets list, and the reverse: a workload changes often, each of its pods changes it."""

    def __init__(self) -> None:
        self._workloads: dict[ObjectKey, frozenset[WorkloadKey]] = {}
        self._users: defaultdict[WorkloadKey, set[ObjectKey]] = defaultdict(set)

    def note(self, key: ObjectKey, workloads: frozenset[WorkloadKey]) -> None:
        """Replace what a ManagedSecret lists."""
        for workload in self._workloads.pop(key, ()):
            users = self._users[workload]
            users.discard(key)
            if not users:
                del self._users[workload]
        if workloads:
            self._workloads[key] = workloads
        for workload in workloads:
            self._users[workload].add(key)

    def users_of(self, workload: WorkloadKey) -> Collection[ObjectKey]:
        """Return the ManagedSecrets that list a workload."""
        return self._users.get(workload, frozenset())


class _Deletions:
    """Versions at which objects were absent, of the last 10,000."""

    def __init__(self) -> None:
        self._versions: dict[Hashable, int] = {}

    def note(self, key: Hashable, version: int) -> None:
        self._versions.pop(key, None)
        self._versions[key] = version
        if len(self._versions) > _MOST_DELETIONS:
            del self._versions[next(iter(self._versions))]

    def forget(self, key: Hashable) -> None:
        self._versions.pop(key, None)

    def version_of(self, key: Hashable) -> int:
        """Return the version at which an object was absent; -1 for one that was not deleted."""
        return self._versions.get(key, -1)


def namespace_key(name: str) -> ObjectKey:
    """Return the key of a namespace itself: one without a name."""
    return ObjectKey(name, "")
