"""Event handlers of the informers: put each event into the cache and add affected keys to the work queue.

A handler compares and enqueues. It never writes, and calls the API server only for lists of its own.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import structlog

from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    StoreKey,
    TargetKey,
    WorkloadKey,
)
from keyturn.core.observation.workload_kinds import OPTIONAL_TYPES, REQUIRED_TYPES, WorkloadType
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import namespace_key
from keyturn.kube.secret_informer import SecretMeta
from keyturn.kube.workloads import workload_of
from keyturn.runtime import logs

from .context import Context, Key
from .managedsecret.memory import Memory
from .workqueue import Priority

_NOT_SERVED: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""Answers to a list of a kind whose CRD, or the right on it, is not installed."""
_MOST_OLDER_LISTS: Final = 3
"""Older lists in a row that prove a restore; a storage whose replicas lag behind each other may answer one or two."""

_log = structlog.get_logger()


class WatchedKind(NamedTuple):
    """A kind that is listed and watched, and what becomes of its objects."""

    path: Callable[[str | None], str]
    """Returns the collection of a namespace, or of all namespaces."""
    known: Callable[[], Iterable[Any]]
    """Returns the keys of the cached objects."""
    put: Callable[[dict[str, Any]], None]
    gone: Callable[[Any], None]
    key_of: Callable[[dict[str, Any]], Any]

    @property
    def resource(self) -> tuple[str, ...]:
        """Group, version and plural; version and plural in the core group."""
        return tuple(self.path(None).split("/")[2:])


class EventHandlers:
    """Feeds the cache and the work queue from kopf's events and from lists of its own."""

    def __init__(self, context: Context, memory: Memory, namespaces: Collection[str] | None) -> None:
        """`namespaces` is None for all namespaces."""
        self._context = context
        self._memory = memory
        self._queue = context.queue
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

    def put_managed(self, body: dict[str, Any], priority: Priority = Priority.FRESH) -> None:
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        # An echo of the operator's own status update is known and enqueues nothing.
        if self._context.cache.put_managed(body):
            self._queue.add(key, priority)

    def drop_managed(self, key: ObjectKey) -> None:
        rivals = self._context.cache.drop_managed(key)
        self._memory.forget(key)
        self._queue.forget(key)
        self._add_all(self._memory.compliance.pop_affected())
        self._add_all(self._context.cache.emergencies.followed(key.namespace))
        self._add_all(rivals)

    def put_class(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        concerned = self._users_of_class(name)
        if self._context.cache.put_class(body):
            self._add_all({ObjectKey("", name)} | concerned | self._users_of_class(name))

    def drop_class(self, name: str) -> None:
        concerned = self._users_of_class(name)
        self._context.cache.drop_class(name)
        gone = ObjectKey("", name)
        self._queue.forget(gone)
        self._add_all((concerned | self._users_of_class(name)) - {gone})

    def put_store(self, kind: str, body: dict[str, Any]) -> None:
        cache, key = self._context.cache, StoreKey.of_body(kind, body)
        before = cache.stores.identity(key)
        if not cache.put_external(key, body):
            return
        self._queue.add(key)
        if cache.stores.identity(key) != before:  # not an echo of the operator's own status update
            self._context.stores.forget(key)
            self._try_again(cache.stores.users_of(key))

    def drop_store(self, key: StoreKey) -> None:
        self._context.cache.drop_external(key)
        self._context.stores.forget(key)
        self._queue.add_last(key)
        self._add_all(self._context.cache.stores.users_of(key))

    def put_target(self, kind: str, body: dict[str, Any]) -> None:
        cache, key = self._context.cache, TargetKey.of_body(kind, body)
        before = cache.targets.identity(key)
        if not cache.put_external(key, body):
            return
        self._queue.add(key)
        if cache.targets.identity(key) != before:  # not an echo of the operator's own status update
            self._context.databases.forget(key)
            self._add_all(cache.targets.users_of(key))

    def drop_target(self, key: TargetKey) -> None:
        self._context.cache.drop_external(key)
        self._context.databases.forget(key)
        self._queue.add_last(key)
        self._add_all(self._context.cache.targets.users_of(key))

    def put_emergency(self, body: dict[str, Any]) -> None:
        cache, key = self._context.cache, EmergencyKey.of_body(body)
        is_declared = cache.emergencies.declared(key) is None
        if not cache.put_emergency(key, body):
            return
        self._queue.add(key)
        if is_declared and cache.emergencies.is_followed(
            key
        ):  # a later event is an echo of the status, or an acknowledgement
            self._add_all(self._context.cache.managed_in(key.namespace))

    def drop_emergency(self, key: EmergencyKey) -> None:
        self._context.cache.drop_emergency(key)
        self._queue.add_last(key)  # a reconcile drops the record
        self._add_all(self._context.cache.managed_in(key.namespace))
        self._add_all(
            self._context.cache.emergencies.followed(key.namespace)
        )  # another emergency takes effect

    def put_namespace(self, body: dict[str, Any]) -> None:
        cache, name = self._context.cache, body["metadata"]["name"]
        before = cache.namespace_labels(name)
        if cache.put_namespace(body):
            self._enqueue_environment(name)
        if cache.namespace_labels(name) != before:
            self._try_again(user for user in cache.stores.selected_users() if user.namespace == name)
            for user in [user for user in cache.targets.selected_users() if user.namespace == name]:
                if account := self._memory.accounts.known(user):
                    account.resume(self._context.now())
                self._queue.add(user)

    def drop_namespace(self, key: ObjectKey) -> None:
        self._context.cache.drop_namespace(key)
        self._enqueue_environment(key.namespace)

    def put_workload(self, kind: str, body: dict[str, Any]) -> None:
        key = _workload_key(kind, body)
        if self._context.cache.record_version(key, body):
            # A rollout has many pod events; new values have priority over them.
            self._add_all(self._context.cache.put_workload(workload_of(kind, body)), Priority.BACKLOG)
            workload = self._context.cache.workload(key)
            if workload and workload.settled:
                self._memory.budget.settle(key)

    def drop_workload(self, key: WorkloadKey) -> None:
        self._memory.budget.settle(key)
        self._add_all(self._context.cache.drop_workload(key))

    def put_secret(self, meta: SecretMeta) -> None:
        cache, key = self._context.cache, ObjectKey(meta.namespace, meta.owner)
        before = cache.secret(meta.namespace, meta.name)
        if not cache.put_secret(meta):
            return
        if before and before.owner != meta.owner:
            self._add(replace(key, name=before.owner))  # it does not have its Secret now
        if not self._memory.writes.note_if_writing(key, meta):
            self._add(key)

    def drop_secret(self, namespace: str, name: str, version: int | None = None) -> None:
        """Drop a Secret that was absent at `version`, if that is known."""
        if owner := self._context.cache.drop_secret(ObjectKey(namespace, name), version):
            self._add(ObjectKey(namespace, owner))

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
        for key in self._context.cache.managed_in(namespace):
            self._memory.secrets.doubt(key)
            self._add_all({key}.union(*self._memory.compliance.index.equal_values(key).values()))

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
            key for key in cache.managed_keys() if cache.environment(key.namespace)
        )

    # Kinds

    def kinds(self) -> Iterator[WatchedKind]:
        """Yield the kinds to watch: all that are listed, without database targets that are not installed."""
        yield self._managed()
        yield self._classes()
        if self._context.cache.sees_namespaces:
            yield self._namespaces()
        yield from map(self._stores, (SECRET_STORE, CLUSTER_SECRET_STORE))
        targets = (DATABASE_TARGET, CLUSTER_DATABASE_TARGET)
        yield from (self._targets(kind) for kind in targets if kind not in self.absent_kinds)
        yield self._emergencies()
        yield from (self._workloads(row.kind) for row in self.workload_types)

    def _managed(self, priority: Priority = Priority.FRESH) -> WatchedKind:
        known, put = self._context.cache.managed_keys, partial(self.put_managed, priority=priority)
        return WatchedKind(paths.managed_secrets, known, put, self.drop_managed, _object_key)

    def _classes(self) -> WatchedKind:
        known, put = self._context.cache.class_names, self.put_class
        return WatchedKind(lambda _: paths.secret_classes(), known, put, self.drop_class, _name_of)

    def _namespaces(self) -> WatchedKind:
        known, put = self._context.cache.namespaces, self.put_namespace
        return WatchedKind(lambda _: paths.namespaces(), known, put, self.drop_namespace, _namespace_of)

    def _stores(self, kind: str) -> WatchedKind:
        path, known = partial(paths.externals, kind), partial(self._context.cache.stores.keys, kind)
        put, key_of = partial(self.put_store, kind), partial(StoreKey.of_body, kind)
        return WatchedKind(path, known, put, self.drop_store, key_of)

    def _targets(self, kind: str) -> WatchedKind:
        path, known = partial(paths.externals, kind), partial(self._context.cache.targets.keys, kind)
        put, key_of = partial(self.put_target, kind), partial(TargetKey.of_body, kind)
        return WatchedKind(path, known, put, self.drop_target, key_of)

    def _emergencies(self) -> WatchedKind:
        known, put = self._context.cache.emergencies.known, self.put_emergency
        return WatchedKind(paths.emergency_rotations, known, put, self.drop_emergency, EmergencyKey.of_body)

    def _workloads(self, kind: str) -> WatchedKind:
        path, known = partial(paths.workloads, kind), partial(self._context.cache.workload_keys, kind)
        put, key_of = partial(self.put_workload, kind), partial(_workload_key, kind)
        return WatchedKind(path, known, put, self.drop_workload, key_of)

    # Watches

    def take(self, kind: WatchedKind, event: dict[str, Any]) -> None:
        """Handle an event of a watch; an echo of a write of the operator, each of which has one, is not news."""
        with _logged_failure(kind.resource[-1]):
            body, cache = event["object"], self._context.cache
            key, version = kind.key_of(body), int(body["metadata"]["resourceVersion"])
            if event["type"] == "DELETED":
                if cache.version_of(key) <= version:  # no newer object of the same name is cached
                    cache.note_deletion(key, version)
                    kind.gone(key)
                return
            is_held = self._context.own_writes.hold(key, body, partial(self.take, kind, event))
            if not is_held and cache.version_of(key) < version:
                kind.put(body)

    # Lists

    async def sweep(self) -> None:
        """List all kinds: put new objects into the cache and drop those that are gone.

        Runs before the first reconcile, and later finds objects that were deleted while no watch ran.
        """
        await self._sweep_kind(self._classes())
        await self._sweep_kind(self._stores(CLUSTER_SECRET_STORE))
        await self._sweep_targets(CLUSTER_DATABASE_TARGET, None)
        if self._context.cache.sees_namespaces:
            await self._sweep_kind(self._namespaces())
        if self.namespaces:
            await self._sweep_selected(self.namespaces)
        else:
            await self._sweep_namespace(None)

    async def _sweep_selected(self, namespaces: Collection[str]) -> None:
        """List the objects of selected namespaces; one that is deleted, or whose Role is, does not stop the others.

        kopf asks for the lists of such a namespace repeatedly, and the first answer causes another sweep.

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
                        "namespace not watched", namespace=namespace, error=error, hint="see keyturn check"
                    )
        self._forbidden = set(refusals)
        if len(refusals) == len(namespaces):
            raise next(iter(refusals.values()))

    async def _sweep_namespace(self, namespace: str | None) -> None:
        """List the objects of a namespace, or of all."""
        for row in self.workload_types:
            await self._sweep_workloads(row, namespace)
        await self._sweep_kind(self._stores(SECRET_STORE), namespace)
        await self._sweep_targets(DATABASE_TARGET, namespace)
        await self._sweep_kind(self._emergencies(), namespace)
        kind, path = self._managed(Priority.BACKLOG), paths.managed_secrets(namespace)
        known = _within(namespace, kind.known())
        before = max(self._newest.get(path, -1), max(map(self._context.cache.version_of, known), default=-1))
        await self._sweep_kind(kind, namespace)
        self._check_history(path, before)

    def _check_history(self, path: str, before: int) -> None:
        """Check that a list is not older than `before`, the highest version that was known when it began.

        Without a resourceVersion in the request a list is a consistent read, whichever API server answers. After a
        restore of etcd, events and lists have versions that are no news.

        Raises:
            Unavailable: It is older; it is repeated.
            HistoryLost: It is older repeatedly.
        """
        version = int(self.listed.get(path, before))
        if version >= before:
            self._newest[path] = max(version, self._newest.get(path, -1))
            del self._older[path]
            return
        self._older[path] += 1
        if self._older[path] < _MOST_OLDER_LISTS:
            raise errors.Unavailable("list", path, 0, "OlderThanBefore")
        raise errors.HistoryLost(path, version, before)

    async def _sweep_targets(self, kind: str, namespace: str | None) -> None:
        """List the targets of a kind, if the installed CRDs and roles have it: older ones do not."""
        targets = self._targets(kind)
        known = _within(namespace, targets.known())
        try:
            await self._sweep_kind(targets, namespace)
        except errors.ApiError as error:
            if known or error.status not in _NOT_SERVED:
                raise
            self.collections.discard(targets.path(namespace))
            if kind not in self.absent_kinds:
                _log.warning("kind not watched", kind=kind, reason=error.reason, hint="see keyturn check")
            self.absent_kinds.add(kind)
        else:
            self.absent_kinds.discard(kind)

    async def _sweep_workloads(self, row: WorkloadType, namespace: str | None) -> None:
        workloads = self._workloads(row.kind)
        known = _within(namespace, workloads.known())
        try:
            await self._sweep_kind(workloads, namespace)
        except errors.NotFound:
            if row not in OPTIONAL_TYPES:
                raise
            for key in known:  # with its CRD
                self.drop_workload(key)
        except errors.Forbidden:
            if row not in OPTIONAL_TYPES:
                raise

    async def _sweep_kind(self, kind: WatchedKind, namespace: str | None = None) -> None:
        """List the objects of a kind in a namespace, or in all."""
        cache, path = self._context.cache, kind.path(namespace)
        self.collections.add(path)
        suspects, listed, version = set(_within(namespace, kind.known())), set[Any](), ""
        self.listed.pop(path, None)
        async for page in self._context.api.pages(path):
            if page.first:  # an earlier page, of an older snapshot, is void
                suspects |= listed
                listed.clear()
            version = page.resource_version
            for body in page.items:
                key, listed_as = kind.key_of(body), int(body["metadata"]["resourceVersion"])
                if listed_as < (cached := cache.version_of(key)) <= int(version or -1):
                    raise errors.HistoryLost(path, listed_as, cached)
                listed.add(key)
                with _logged_failure(kind.resource[-1]):
                    kind.put(body)
            page.items.clear()  # the cache has its own copy of what it needs
        for key in suspects - listed:
            if cache.version_of(key) <= int(version or -1):  # not if an event came during the list
                cache.note_deletion(key, int(version or -1))
                kind.gone(key)
        if version:
            self.listed[path] = version


def _within(namespace: str | None, keys: Iterable[Any]) -> list[Any]:
    """Return the keys of a namespace, or all."""
    return [key for key in keys if namespace is None or key.namespace == namespace]


@contextmanager
def _logged_failure(kind: str) -> Iterator[None]:
    """Log an exception about one object; the watch or list continues with the next one."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        _log.error("event not handled", kind=kind, **logs.describe(error))


def _name_of(body: dict[str, Any]) -> str:
    return str(body["metadata"]["name"])


def _namespace_of(body: dict[str, Any]) -> ObjectKey:
    return namespace_key(_name_of(body))


def _workload_key(kind: str, body: dict[str, Any]) -> WorkloadKey:
    return WorkloadKey(body["metadata"]["namespace"], kind, body["metadata"]["name"])


def _object_key(body: dict[str, Any]) -> ObjectKey:
    return ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
