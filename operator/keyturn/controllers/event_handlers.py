"""Event handlers of the informers: put each event into the cache and add affected keys to the work queue.

A handler compares and enqueues. It never writes, and calls the API server only for lists of its own.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    ProbeKey,
    StoreKey,
    TargetKey,
    WorkloadKey,
)
from keyturn.core.observation.workload_kinds import OPTIONAL_TYPES, REQUIRED_TYPES
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import namespace_key
from keyturn.kube.workloads import workload_of
from keyturn.runtime import logs

from .workqueue import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable

    from keyturn.core.observation.workload_kinds import WorkloadType
    from keyturn.kube.secret_informer import SecretMeta

    from .context import Context
    from .managedsecret.memory import Memory
    from .workqueue import WorkQueue

__all__ = [
    "Gone",
    "HistoryLost",
    "Key",
    "KeyOf",
    "Put",
    "Watches",
    "name_of",
    "namespace_of",
    "object_key",
    "workload_key",
]

_NOT_SERVED: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""Answers to a list of a kind whose CRD, or the right on it, is not installed."""
_MOST_OLDER_LISTS: Final = 3
"""Older lists in a row that prove a restore; a storage whose replicas lag behind each other may answer one or two."""

_log = structlog.get_logger()

Put: TypeAlias = "Callable[[dict[str, Any]], None]"
Gone: TypeAlias = "Callable[[Any], None]"
KeyOf: TypeAlias = "Callable[[dict[str, Any]], Any]"
Key: TypeAlias = ObjectKey | StoreKey | TargetKey | EmergencyKey | ProbeKey
"""Key of the work queue: a ManagedSecret, a class (without namespace), a store, a target, an emergency or a probe."""


class HistoryLost(Exception):  # noqa: N818  # an event, not a mistake
    """The API server is at an earlier version than before; the cache is void, so the process should be restarted."""


class Watches:
    """Feeds the cache and the work queue from kopf's events and from lists of its own."""

    def __init__(
        self, context: Context, memory: Memory, queue: WorkQueue[Key], namespaces: Collection[str] | None
    ) -> None:
        """`namespaces` is None for all namespaces."""
        self._context = context
        self._memory = memory
        self._queue = queue
        self.namespaces = namespaces
        self.collections: set[str] = set()
        """Paths of the collections that `sweep` has listed, which kopf watches."""
        self.listed: dict[str, str] = {}
        """Versions of the last whole lists by path."""
        self._newest: dict[str, int] = {}
        """Highest versions of whole lists of ManagedSecrets by path."""
        self._older: Counter[str] = Counter()
        """Older lists in a row by path."""
        self.workload_types = REQUIRED_TYPES
        """The kinds of workload that are listed and watched; `cache_sync` adds optional ones."""
        self.absent_kinds: set[str] = set()
        """Kinds of database target that are not installed."""
        self._forbidden: set[str] = set()
        """Selected namespaces whose objects may not be listed."""
        context.cache.sees_namespaces = namespaces is None

    # Events and listed objects

    def managed(self, body: dict[str, Any], priority: Priority = Priority.FRESH) -> None:
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        # An echo of the operator's own status update is known and enqueues nothing.
        if self._context.cache.put_managed(body):
            self._queue.add(key, priority)

    def managed_gone(self, key: ObjectKey) -> None:
        rivals = self._context.cache.drop_managed(key)
        self._memory.forget(key)
        self._queue.forget(key)
        self._add_all(self._memory.compliance.take_affected())
        self._add_all(self._context.cache.emergencies.followed(key.namespace))
        self._add_all(rivals)

    def secret_class(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        concerned = self._users_of_class(name)
        if self._context.cache.put_class(body):
            self._add_all({ObjectKey("", name)} | concerned | self._users_of_class(name))

    def class_gone(self, name: str) -> None:
        concerned = self._users_of_class(name)
        self._context.cache.drop_class(name)
        gone = ObjectKey("", name)
        self._queue.forget(gone)
        self._add_all((concerned | self._users_of_class(name)) - {gone})

    def store(self, kind: str, body: dict[str, Any]) -> None:
        cache, key = self._context.cache, StoreKey.of_body(kind, body)
        before = cache.stores.identity(key)
        if not cache.put_external(key, body):
            return
        self._queue.add(key)
        if cache.stores.identity(key) != before:  # not an echo of the operator's own status update
            self._try_again(cache.stores.users_of(key))

    def store_gone(self, key: StoreKey) -> None:
        self._context.cache.drop_external(key)
        self._queue.add_last(key)  # a reconcile closes the connections of the store
        self._add_all(self._context.cache.stores.users_of(key))

    def target(self, kind: str, body: dict[str, Any]) -> None:
        cache, key = self._context.cache, TargetKey.of_body(kind, body)
        before = cache.targets.identity(key)
        if not cache.put_external(key, body):
            return
        self._queue.add(key)
        if cache.targets.identity(key) != before:  # not an echo of the operator's own status update
            self._add_all(cache.targets.users_of(key))

    def target_gone(self, key: TargetKey) -> None:
        self._context.cache.drop_external(key)
        self._queue.add_last(key)  # a reconcile closes the engine of the target
        self._add_all(self._context.cache.targets.users_of(key))

    def emergency(self, body: dict[str, Any]) -> None:
        cache, key = self._context.cache, EmergencyKey.of_body(body)
        is_declared = cache.emergencies.declared(key) is None
        if not cache.put_emergency(key, body):
            return
        self._queue.add(key)
        if is_declared and cache.emergencies.is_followed(
            key
        ):  # a later event is an echo of the status, or an acknowledgement
            self._add_all(self._in_namespace(key.namespace))

    def emergency_gone(self, key: EmergencyKey) -> None:
        self._context.cache.drop_emergency(key)
        self._queue.add_last(key)  # a reconcile drops the record
        self._add_all(self._in_namespace(key.namespace))
        self._add_all(
            self._context.cache.emergencies.followed(key.namespace)
        )  # another emergency takes effect

    def namespace(self, body: dict[str, Any]) -> None:
        cache, name = self._context.cache, body["metadata"]["name"]
        before = cache.labels(name)
        if cache.put_namespace(body):
            self._enqueue_environment(name)
        if cache.labels(name) != before:
            self._try_again(user for user in cache.stores.selected_users() if user.namespace == name)
            self._add_all(user for user in cache.targets.selected_users() if user.namespace == name)

    def namespace_gone(self, key: ObjectKey) -> None:
        self._context.cache.drop_namespace(key)
        self._enqueue_environment(key.namespace)

    @property
    def see_namespaces(self) -> bool:
        return self._context.cache.sees_namespaces

    def workload(self, kind: str, body: dict[str, Any]) -> None:
        key = workload_key(kind)(body)
        if self._context.cache.is_news(key, body):
            # A rollout has many pod events; new values have priority over them.
            self._add_all(self._context.cache.put_workload(workload_of(kind, body)), Priority.BACKLOG)
            workload = self._context.cache.workload(key)
            if workload and workload.settled:
                self._memory.budget.settle(key)

    def workload_gone(self, key: WorkloadKey) -> None:
        self._memory.budget.settle(key)
        self._add_all(self._context.cache.drop_workload(key))

    def secret(self, meta: SecretMeta) -> None:
        key = ObjectKey(meta.namespace, meta.owner)
        if self._context.cache.put_secret(meta) and not self._memory.writes.is_writing(key, meta):
            self._add(key)

    def secret_gone(self, namespace: str, name: str, version: int | None = None) -> None:
        """Drop a Secret that was absent at `version`, if that is known."""
        if owner := self._context.cache.drop_secret(ObjectKey(namespace, name), version):
            self._add(ObjectKey(namespace, owner))

    def _in_namespace(self, namespace: str) -> list[ObjectKey]:
        return self._context.cache.managed_in(namespace)

    def _try_again(self, users: Iterable[ObjectKey]) -> None:
        """Make failed store operations of `users` due now and enqueue them."""
        for user in users:
            self._memory.stores.retry(user, self._context.now())
            self._queue.add(user)

    def _users_of_class(self, name: str) -> set[ObjectKey]:
        """Return the users of a class and, if it is the default, of all default classes."""
        marked = self._context.cache.default_classes()
        rivals = {ObjectKey("", one) for one in marked if name in marked}
        return rivals.union(self._context.cache.of_class(name))

    def _enqueue_environment(self, namespace: str) -> None:
        """Enqueue a namespace whose environment label has changed, and all objects that were compared with it."""
        for key in self._in_namespace(namespace):
            self._memory.secrets.doubt(key)
            self._add_all({key}.union(*self._memory.compliance.index.twins(key).values()))

    def _add_all(self, keys: Iterable[Key], priority: Priority = Priority.FRESH) -> None:
        for key in keys:
            self._add(key, priority)

    def _add(self, key: Key, priority: Priority = Priority.FRESH) -> None:
        """Add a key, unless it is that of a ManagedSecret which does not exist, such as by the label of a Secret."""
        if isinstance(key, ObjectKey) and key.namespace and not self._context.cache.has_managed(key):
            return
        self._queue.add(key, priority)

    def expect_values(self) -> None:
        """Expect the values of all objects that may have equal ones, before the first reconcile."""
        cache = self._context.cache
        self._memory.compliance.index.expect(
            key for key in cache.managed_keys() if cache.has_all_values and cache.environment(key.namespace)
        )

    # Lists

    async def sweep(self) -> None:
        """List all kinds: put new objects into the cache and drop those that are gone.

        Runs before the first reconcile, and later finds objects that were deleted while no watch ran.
        """
        cache = self._context.cache
        await self._sweep_one(
            paths.secret_classes(), cache.class_names(), self.secret_class, self.class_gone, name_of
        )
        await self._sweep_stores(CLUSTER_SECRET_STORE, None)
        await self._sweep_targets(CLUSTER_DATABASE_TARGET, None)
        if cache.sees_namespaces:
            await self._sweep_one(
                paths.namespaces(), cache.namespaces(), self.namespace, self.namespace_gone, namespace_of
            )
        if self.namespaces:
            await self._sweep_selected(self.namespaces)
        else:
            await self._sweep_namespace(None)

    async def _sweep_selected(self, namespaces: Collection[str]) -> None:
        """List the objects of selected namespaces; one that is deleted, or whose Role is, does not stop the others.

        kopf asks for the lists of such a namespace again and again, and the first answer causes another sweep.

        Raises:
            ApiError: A list failed; Forbidden only if none of the namespaces may be listed.
        """
        refusals: dict[str, errors.Forbidden] = {}
        for namespace in namespaces:
            try:
                await self._sweep_namespace(namespace)
            except errors.Forbidden as error:
                refusals[namespace] = error
                if namespace not in self._forbidden:
                    _log.warning(
                        "namespace not served", namespace=namespace, error=error, hint="see keyturn check"
                    )
        self._forbidden = set(refusals)
        if len(refusals) == len(namespaces):
            raise next(iter(refusals.values()))

    async def _sweep_namespace(self, namespace: str | None) -> None:
        """List the objects of a namespace, or of all."""
        cache = self._context.cache
        for row in self.workload_types:
            await self._sweep_workloads(row, namespace)
        await self._sweep_stores(SECRET_STORE, namespace)
        await self._sweep_targets(DATABASE_TARGET, namespace)
        await self._sweep_one(
            paths.emergency_rotations(namespace),
            [key for key in cache.emergencies.known() if namespace in (None, key.namespace)],
            self.emergency,
            self.emergency_gone,
            EmergencyKey.of_body,
        )
        path = paths.managed_secrets(namespace)
        known = [key for key in cache.managed_keys() if namespace in (None, key.namespace)]
        before = max(self._newest.get(path, -1), max(map(cache.version_of, known), default=-1))
        await self._sweep_one(
            path,
            known,
            lambda body: self.managed(body, Priority.BACKLOG),
            self.managed_gone,
            object_key,
        )
        self._check_history(path, before)

    def _check_history(self, path: str, before: int) -> None:
        """Check that a list is not older than `before`, the highest version that was known when it began.

        Without a resourceVersion in the request a list is a consistent read, whichever API server answers. After a
        restore of etcd, events and lists have versions that are no news.

        Raises:
            Unavailable: It is older; it is repeated.
            HistoryLost: It is older again and again.
        """
        version = int(self.listed.get(path, before))
        if version >= before:
            self._newest[path] = max(version, self._newest.get(path, -1))
            del self._older[path]
            return
        self._older[path] += 1
        if self._older[path] < _MOST_OLDER_LISTS:
            raise errors.Unavailable("list", path, 0, "OlderThanBefore")
        _log.error("API server state older than before", path=path, version=version, before=before)
        raise HistoryLost(path)

    async def _sweep_stores(self, kind: str, namespace: str | None) -> None:
        known = self._context.cache.stores.keys(kind)
        await self._sweep_one(
            paths.externals(kind, namespace),
            [key for key in known if namespace in (None, key.namespace)],
            partial(self.store, kind),
            self.store_gone,
            partial(StoreKey.of_body, kind),
        )

    async def _sweep_targets(self, kind: str, namespace: str | None) -> None:
        """List the targets of a kind, if the installed CRDs and roles have it: older ones do not."""
        keys = self._context.cache.targets.keys(kind)
        known = [key for key in keys if namespace in (None, key.namespace)]
        path = paths.externals(kind, namespace)
        try:
            await self._sweep_one(
                path, known, partial(self.target, kind), self.target_gone, partial(TargetKey.of_body, kind)
            )
        except errors.ApiError as error:
            if known or error.status not in _NOT_SERVED:
                raise
            self.collections.discard(path)
            if kind not in self.absent_kinds:
                _log.warning("kind not watched", kind=kind, reason=error.reason, hint="see keyturn check")
            self.absent_kinds.add(kind)
        else:
            self.absent_kinds.discard(kind)

    async def _sweep_workloads(self, row: WorkloadType, namespace: str | None) -> None:
        kind = row.kind
        known = [key for key in self._context.cache.workload_keys(kind) if namespace in (None, key.namespace)]
        try:
            await self._sweep_one(
                paths.workloads(kind, namespace),
                known,
                partial(self.workload, kind),
                self.workload_gone,
                workload_key(kind),
            )
        except errors.NotFound:
            if row not in OPTIONAL_TYPES:
                raise
            for key in known:  # with its CRD
                self.workload_gone(key)
        except errors.Forbidden:
            if row not in OPTIONAL_TYPES:
                raise

    async def _sweep_one(self, path: str, known: Iterable[Any], put: Put, gone: Gone, key_of: KeyOf) -> None:
        cache = self._context.cache
        self.collections.add(path)
        suspects, listed, version = set(known), set[Any](), ""
        self.listed.pop(path, None)
        async for page in self._context.api.pages(path):
            if page.first:  # an earlier page, of an older snapshot, is void
                suspects |= listed
                listed.clear()
            for body in page.items:
                listed.add(_take(path, body, put, key_of))
            version = page.resource_version
            page.items.clear()  # the cache has its own copy of what it needs
        for key in suspects - listed:
            if cache.version_of(key) <= int(version or -1):  # not if an event came during the list
                cache.note_deletion(key, int(version or -1))
                gone(key)
        if version:
            self.listed[path] = version

    def note_deletion(
        self, key: ObjectKey | WorkloadKey | StoreKey | TargetKey | EmergencyKey | str, body: dict[str, Any]
    ) -> None:
        """Record that an object was deleted, so that no older answer or page brings it back."""
        self._context.cache.note_deletion(key, int(body["metadata"]["resourceVersion"]))

    def is_held(self, key: Hashable, body: dict[str, Any], deliver: Callable[[], None]) -> bool:
        """Whether an event waits for the answer to a write of the operator; `deliver` is called then."""
        return self._context.own_writes.hold(key, body, deliver)

    def is_news(
        self, key: ObjectKey | WorkloadKey | StoreKey | TargetKey | EmergencyKey | str, body: dict[str, Any]
    ) -> bool:
        """Whether an object is newer than the cached one; an echo of the operator's own status update is not."""
        return self._context.cache.version_of(key) < int(body["metadata"]["resourceVersion"])

    def is_last_word(
        self, key: ObjectKey | WorkloadKey | StoreKey | TargetKey | EmergencyKey | str, body: dict[str, Any]
    ) -> bool:
        """Whether no newer object of the same name is cached than the deleted one."""
        return self._context.cache.version_of(key) <= int(body["metadata"]["resourceVersion"])


def _take(path: str, body: dict[str, Any], put: Put, key_of: KeyOf) -> Any:
    """Put a listed object, and return its key; one that cannot be handled does not end the list."""
    key = key_of(body)
    try:
        put(body)
    except Exception as error:  # noqa: BLE001  # the list continues with the next object
        _log.error("event not handled", kind=paths.resource(path), **logs.describe(error))
    return key


def name_of(body: dict[str, Any]) -> str:
    return str(body["metadata"]["name"])


def namespace_of(body: dict[str, Any]) -> ObjectKey:
    return namespace_key(name_of(body))


def workload_key(kind: str) -> KeyOf:
    return lambda body: WorkloadKey(body["metadata"]["namespace"], kind, body["metadata"]["name"])


def object_key(body: dict[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
