"""What the watches tell us: each event turned into the mirror's contents and the queue's keys.

It only compares and enqueues; it never writes, and calls the API for lists of its own only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.core.keys import (
    CLUSTER_SECRET_STORE,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    StoreKey,
    WorkloadKey,
)
from keyturn.kube import paths
from keyturn.kube.cache.cache import namespace_key
from keyturn.kube.workloads import KINDS, workload_of

from .workqueue import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from keyturn.kube.secret_informer import SecretMeta

    from .context import Context
    from .workqueue import WorkQueue

__all__ = ["Gone", "Key", "KeyOf", "Put", "Watches", "name_of", "namespace_of", "object_key", "workload_key"]

Put: TypeAlias = "Callable[[dict[str, Any]], None]"
Gone: TypeAlias = "Callable[[Any], None]"
KeyOf: TypeAlias = "Callable[[dict[str, Any]], Any]"
Key: TypeAlias = ObjectKey | StoreKey | EmergencyKey
"""What is worked on: ManagedSecrets, classes (which have no namespace), stores, and emergencies."""


class Watches:
    """Feeds the mirror and the queue from kopf's events and from lists of our own."""

    def __init__(self, context: Context, queue: WorkQueue[Key], namespaces: Collection[str] | None) -> None:
        """Take `namespaces` as None for all."""
        self._world = context
        self._queue = queue
        self._namespaces = namespaces
        context.cache.sees_namespaces = namespaces is None

    # What came from anywhere

    def managed(self, body: dict[str, Any], priority: Priority = Priority.FRESH) -> None:
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        # Our own status, echoed, is known already and wakes nobody.
        if self._world.cache.put_managed(body):
            self._queue.add(key, priority)

    def managed_gone(self, key: ObjectKey) -> None:
        self._world.cache.drop_managed(key)
        self._world.forget(key)
        self._queue.forget(key)
        self._add_all(self._world.tags.drop(key))
        self._add_all(self._world.cache.emergencies.followed(key.namespace))

    def secret_class(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        concerned = self._concerned_by_class(name)
        if self._world.cache.put_class(body):
            self._add_all({ObjectKey("", name)} | concerned | self._concerned_by_class(name))

    def class_gone(self, name: str) -> None:
        concerned = self._concerned_by_class(name)
        self._world.cache.drop_class(name)
        self._add_all(concerned | self._concerned_by_class(name))

    def store(self, kind: str, body: dict[str, Any]) -> None:
        cache, key = self._world.cache, StoreKey.of_body(kind, body)
        before = cache.stores.identity(key)
        if not cache.put_store(key, body):
            return
        self._queue.add(key)
        if cache.stores.identity(key) != before:  # not our own status, echoed
            self._try_again(cache.stores.users_of(key))

    def store_gone(self, key: StoreKey) -> None:
        self._world.cache.drop_store(key)
        self._queue.add(key)  # for its connections to be closed
        self._add_all(self._world.cache.stores.users_of(key))

    def emergency(self, body: dict[str, Any]) -> None:
        cache, key = self._world.cache, EmergencyKey.of_body(body)
        is_declared = cache.emergencies.declared(key) is None
        if not cache.put_emergency(key, body):
            return
        self._queue.add(key)
        if is_declared and cache.emergencies.is_followed(
            key
        ):  # what comes later is our own status, echoed, or somebody's acknowledgement
            self._add_all(self._in_namespace(key.namespace))

    def emergency_gone(self, key: EmergencyKey) -> None:
        self._world.cache.drop_emergency(key)
        self._queue.add(key)  # for it to be forgotten
        self._add_all(self._in_namespace(key.namespace))
        self._add_all(self._world.cache.emergencies.followed(key.namespace))  # another one has its turn now

    def namespace(self, body: dict[str, Any]) -> None:
        cache, name = self._world.cache, body["metadata"]["name"]
        before = cache.labels(name)
        if cache.put_namespace(body):
            self._environment_changed(name)
        if cache.labels(name) != before:
            self._try_again(user for user in cache.stores.selected_users() if user.namespace == name)

    def namespace_gone(self, key: ObjectKey) -> None:
        self._world.cache.drop_namespace(key)
        self._environment_changed(key.namespace)

    @property
    def see_namespaces(self) -> bool:
        return self._world.cache.sees_namespaces

    def workload(self, kind: str, body: dict[str, Any]) -> None:
        key = workload_key(kind)(body)
        if self._world.cache.is_news(key, body):
            # Rolling pods tell much; whose Secret is to be written waits for none of that.
            self._add_all(self._world.cache.put_workload(workload_of(kind, body)), Priority.BACKLOG)

    def workload_gone(self, key: WorkloadKey) -> None:
        self._add_all(self._world.cache.drop_workload(key))

    def secret(self, meta: SecretMeta) -> None:
        if concerned := self._world.secret_seen(meta):
            self._queue.add(concerned)

    def secret_gone(self, namespace: str, name: str) -> None:
        if owner := self._world.cache.drop_secret(ObjectKey(namespace, name)):
            self._queue.add(ObjectKey(namespace, owner))

    def _in_namespace(self, namespace: str) -> list[ObjectKey]:
        return self._world.cache.managed_in(namespace)

    def _try_again(self, users: Iterable[ObjectKey]) -> None:
        """Have those looked at whom a store may have held up, and what it kept from being done tried now."""
        for user in users:
            self._world.memory(user).outside.try_again(self._world.now())
            self._queue.add(user)

    def _concerned_by_class(self, name: str) -> set[ObjectKey]:
        """Return who follows a class and, if it is marked as the default, all classes that are."""
        marked = self._world.cache.default_classes()
        rivals = {ObjectKey("", one) for one in marked if name in marked}
        return rivals.union(self._world.cache.of_class(name))

    def _environment_changed(self, namespace: str) -> None:
        """Have values read that were not compared, and look again at all that were compared with them."""
        for key in self._in_namespace(namespace):
            self._world.memory(key).checked = None
            self._add_all({key}.union(*self._world.tags.twins(key).values()))

    def _add_all(self, keys: Iterable[Key], priority: Priority = Priority.FRESH) -> None:
        for key in keys:
            self._queue.add(key, priority)

    # Lists of our own

    async def sweep(self) -> None:
        """List everything: take in what is new and drop what is no longer there.

        It fills the mirror before the first decision, and it finds what was deleted while no watch ran.
        """
        cache = self._world.cache
        await self._sweep_one(
            paths.secret_classes(), cache.class_names(), self.secret_class, self.class_gone, name_of
        )
        await self._sweep_stores(CLUSTER_SECRET_STORE, None)
        if cache.sees_namespaces:
            await self._sweep_one(
                paths.namespaces(), cache.namespaces(), self.namespace, self.namespace_gone, namespace_of
            )
        for namespace in self._namespaces or (None,):
            for kind in KINDS:
                await self._sweep_workloads(kind, namespace)
            await self._sweep_stores(SECRET_STORE, namespace)
            await self._sweep_one(
                paths.emergency_rotations(namespace),
                [key for key in cache.emergencies.known() if namespace in (None, key.namespace)],
                self.emergency,
                self.emergency_gone,
                EmergencyKey.of_body,
            )
            await self._sweep_one(
                paths.managed_secrets(namespace),
                [key for key in cache.managed_keys() if namespace in (None, key.namespace)],
                lambda body: self.managed(body, Priority.BACKLOG),
                self.managed_gone,
                object_key,
            )

    async def _sweep_stores(self, kind: str, namespace: str | None) -> None:
        known = self._world.cache.stores.keys(kind)
        await self._sweep_one(
            paths.stores(kind, namespace),
            [key for key in known if namespace in (None, key.namespace)],
            partial(self.store, kind),
            self.store_gone,
            partial(StoreKey.of_body, kind),
        )

    async def _sweep_workloads(self, kind: str, namespace: str | None) -> None:
        await self._sweep_one(
            paths.workloads(kind, namespace),
            [key for key in self._world.cache.workload_keys(kind) if namespace in (None, key.namespace)],
            partial(self.workload, kind),
            self.workload_gone,
            workload_key(kind),
        )

    async def _sweep_one(self, path: str, known: Iterable[Any], put: Put, gone: Gone, key_of: KeyOf) -> None:
        cache = self._world.cache
        suspects, listed, version = set(known), set(), -1
        async for page in self._world.api.pages(path):
            for body in page.items:
                listed.add(key_of(body))
                put(body)
            version = int(page.resource_version)
            page.items.clear()  # what is kept was taken out of them
        for key in suspects - listed:
            if cache.version_of(key) <= version:  # not one that came while we listed
                gone(key)

    def is_news(
        self, key: ObjectKey | WorkloadKey | StoreKey | EmergencyKey | str, body: dict[str, Any]
    ) -> bool:
        """Say whether an object is newer than what we know, which it is not where it is our own status, echoed."""
        return self._world.cache.version_of(key) < int(body["metadata"]["resourceVersion"])

    def is_last_word(
        self, key: ObjectKey | WorkloadKey | StoreKey | EmergencyKey | str, body: dict[str, Any]
    ) -> bool:
        """Say whether a deletion is not already followed by an object of the same name that we know."""
        return self._world.cache.version_of(key) <= int(body["metadata"]["resourceVersion"])


def name_of(body: dict[str, Any]) -> str:
    return str(body["metadata"]["name"])


def namespace_of(body: dict[str, Any]) -> ObjectKey:
    return namespace_key(name_of(body))


def workload_key(kind: str) -> KeyOf:
    return lambda body: WorkloadKey(body["metadata"]["namespace"], kind, body["metadata"]["name"])


def object_key(body: dict[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
