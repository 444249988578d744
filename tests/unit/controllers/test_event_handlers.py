"""Whom an event of a store, or of a namespace, concerns."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import structlog

from keyturn.controllers.context import Context, Key
from keyturn.controllers.event_handlers import EventHandlers
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.push import set_finalizer
from keyturn.core.errors import Attempts, Stalled, Wait
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
from keyturn.core.labels import DEFAULT_CLASS
from keyturn.core.observation.workload_kinds import WORKLOAD_TYPES
from keyturn.core.rotation.steps import Finalize
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.secret_informer import SecretMeta
from keyturn.kube.wire import Patch
from tests.support.cases import case, cases
from tests.unit.core import builders as make

AUTH, OTHER = ObjectKey("shop", "auth"), ObjectKey("office", "auth")
OURS = StoreKey(SECRET_STORE, "shop", "vault")
ALL = StoreKey(CLUSTER_SECRET_STORE, "", "vault")

_versions = count(1)


class Seen:
    """The event handlers of one process, and what they have enqueued."""

    def __init__(self, *, leads: bool = True) -> None:
        self.context = Context(None, None, lambda: datetime.now(UTC))  # type: ignore[arg-type]  # nobody is called
        self.memory, self.queue = Memory(self.context), self.context.queue
        self.queue._runs = leads  # as if it had begun, but nothing is taken
        self.handlers = EventHandlers(self.context, self.memory, None)

    def enqueued(self) -> set[Key]:
        """Return what is waiting, and let it wait no more."""
        waiting = set(self.queue._waiting)
        for key in waiting:
            self.queue.forget(key)
        return waiting

    def user(self, key: ObjectKey, kind: str) -> None:
        ref = {"storeRef": {"kind": kind, "name": "vault"}, "remoteRef": {"key": "x"}}
        self.handlers.put_managed(
            {"metadata": metadata(key.name, key.namespace), "spec": {"dataFrom": [ref]}}
        )


def metadata(name: str, namespace: str = "", generation: int = 1, **more: Any) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    version = str(next(_versions))
    return {"name": name, "uid": "u", "generation": generation, "resourceVersion": version, **place, **more}


def store(key: StoreKey, generation: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": metadata(key.name, key.namespace, generation),
        "spec": {"provider": {"kubernetes": {}}, **spec},
    }


@pytest.fixture
def observed() -> Seen:
    observed = Seen()
    observed.user(AUTH, SECRET_STORE)
    observed.user(OTHER, CLUSTER_SECRET_STORE)
    observed.enqueued()
    return observed


def test_a_new_store_is_looked_at_with_those_who_wait_for_it(observed: Seen) -> None:
    observed.handlers.put_store(SECRET_STORE, store(OURS))
    assert observed.enqueued() == {OURS, AUTH}


def test_a_store_for_all_concerns_its_users_everywhere(observed: Seen) -> None:
    observed.handlers.put_store(CLUSTER_SECRET_STORE, store(ALL))
    assert observed.enqueued() == {ALL, OTHER}


def test_a_changed_spec_concerns_the_users_and_a_changed_status_does_not(observed: Seen) -> None:
    observed.handlers.put_store(SECRET_STORE, store(OURS))
    observed.enqueued()
    observed.handlers.put_store(SECRET_STORE, store(OURS))
    assert observed.enqueued() == {OURS}
    observed.handlers.put_store(SECRET_STORE, store(OURS, generation=2))
    assert observed.enqueued() == {OURS, AUTH}


def test_a_changed_spec_of_a_store_ends_the_back_off_of_its_users(observed: Seen) -> None:
    observed.handlers.put_store(SECRET_STORE, store(OURS))
    failed = observed.memory.stores.pulls.record(AUTH)
    failed.due = datetime.max.replace(tzinfo=UTC)
    failed.failed = Attempts(Wait("ProviderError", "", timedelta(minutes=5)), failed.due)

    observed.handlers.put_store(SECRET_STORE, store(OURS, generation=2))

    assert failed.due <= datetime.now(UTC)


def test_what_is_known_is_no_news(observed: Seen) -> None:
    before, now, later = (store(OURS) for _ in range(3))
    kind = next(one for one in observed.handlers.kinds() if one.resource[-1] == "secretstores")
    taken: list[Any] = []
    watched = kind._replace(put=taken.append)

    def take(*bodies: dict[str, Any]) -> list[Any]:
        taken.clear()
        for body in bodies:
            observed.handlers.take(watched, {"type": "MODIFIED", "object": body})
        return list(taken)

    assert take(now) == [now]
    kind.put(now)
    assert take(before, now, later) == [later]
    kind.gone(OURS)
    assert take(now) == [now]


def test_a_store_that_is_gone_is_closed_and_missed(observed: Seen) -> None:
    observed.handlers.put_store(SECRET_STORE, store(OURS))
    observed.enqueued()
    observed.handlers.drop_store(OURS)
    assert observed.enqueued() == {OURS, AUTH}
    assert observed.context.cache.stores.identity(OURS) is None


def test_labels_of_a_namespace_concern_who_there_uses_a_store_that_selects(observed: Seen) -> None:
    observed.user(ObjectKey("shop", "pulls"), CLUSTER_SECRET_STORE)
    observed.handlers.put_store(CLUSTER_SECRET_STORE, store(ALL, allowedNamespaces={"selector": {}}))
    observed.enqueued()

    observed.handlers.put_namespace({"metadata": metadata("office", labels={"team": "auth"})})
    assert observed.enqueued() == {OTHER}
    observed.handlers.put_namespace(
        {"metadata": metadata("office", labels={"team": "auth"}, annotations={"a": "b"})}
    )
    assert observed.enqueued() == set()


def test_a_deleted_emergency_gives_way_to_the_others_of_its_namespace(observed: Seen) -> None:
    gone, other = EmergencyKey("shop", "inc-1"), EmergencyKey("shop", "inc-2")
    for key in (gone, other):
        declare(observed.handlers, key)
    observed.enqueued()

    observed.handlers.drop_emergency(gone)

    assert observed.enqueued() == {gone, other, AUTH}


def declare(handlers: EventHandlers, key: EmergencyKey) -> None:
    about = metadata(key.name, key.namespace, creationTimestamp="2026-11-24T12:00:00Z")
    handlers.put_emergency({"metadata": about, "spec": {"reason": "stolen", "names": ["auth"]}})


def test_of_objects_that_are_gone_a_standby_keeps_no_key() -> None:
    standby, emergency = Seen(leads=False), EmergencyKey("shop", "inc-1")
    handlers = standby.handlers
    default = {"metadata": metadata("strict", annotations={DEFAULT_CLASS: "true"}, creationTimestamp="2026")}
    standby.user(AUTH, SECRET_STORE)
    handlers.put_class(default | {"spec": {}})
    handlers.put_store(SECRET_STORE, store(OURS))
    handlers.put_target(DATABASE_TARGET, target())
    declare(handlers, emergency)
    handlers.put_secret(secret_of("auth"))
    assert set(standby.queue.ready()) == {AUTH, ObjectKey("", "strict"), OURS, TARGET, emergency}

    handlers.drop_class("strict")
    handlers.drop_store(OURS)
    handlers.drop_target(TARGET)
    handlers.drop_emergency(emergency)
    assert standby.queue.ready() == [AUTH]
    handlers.drop_managed(AUTH)
    handlers.drop_secret("shop", "auth")

    assert standby.queue.ready() == []


def secret_of(owner: str) -> SecretMeta:
    return SecretMeta("shop", owner, str(next(_versions)), "u", owner, 1, None)


def test_a_secret_with_the_label_of_an_object_that_does_not_exist_enqueues_nothing() -> None:
    seen = Seen()

    seen.handlers.put_secret(secret_of("auth"))
    seen.handlers.drop_secret("shop", "auth")

    assert seen.enqueued() == set()


def test_a_secret_enqueues_its_object_when_it_changes_and_when_it_is_gone(observed: Seen) -> None:
    observed.handlers.put_secret(secret_of("auth"))
    assert observed.enqueued() == {AUTH}
    observed.handlers.drop_secret("shop", "auth")
    assert observed.enqueued() == {AUTH}


@cases(
    ("owner", "enqueued"),
    case("another one", "younger", {AUTH, ObjectKey("shop", "younger")}),
    case("one that does not exist", "absent", {AUTH}),
)
def test_a_changed_label_of_a_secret_concerns_the_former_owner(
    observed: Seen, owner: str, enqueued: set[ObjectKey]
) -> None:
    observed.user(ObjectKey("shop", "younger"), SECRET_STORE)
    observed.handlers.put_secret(secret_of("auth"))
    observed.enqueued()

    observed.handlers.put_secret(replace(secret_of("auth"), owner=owner))

    assert observed.enqueued() == enqueued


class Lists:
    """API server whose lists are empty, at a resource version."""

    def __init__(self, version: int) -> None:
        self._version = version

    async def pages(self, _: str) -> AsyncIterator[Page]:
        yield Page([], str(self._version), first=True)


async def test_a_list_drops_only_objects_that_are_older_than_it(observed: Seen) -> None:
    class Interrupted(Lists):
        """Lists; during that of ManagedSecrets an event of one comes."""

        async def pages(self, path: str) -> AsyncIterator[Page]:
            if path == paths.managed_secrets():
                observed.user(OTHER, CLUSTER_SECRET_STORE)
            async for page in super().pages(path):
                yield page

    observed.context.api = Interrupted(next(_versions))  # type: ignore[assignment]  # a fake

    await observed.handlers.sweep()

    assert list(observed.context.cache.managed_keys()) == [OTHER]


async def test_the_version_of_each_whole_list_is_kept(observed: Seen) -> None:
    version = next(_versions)
    observed.context.api = Lists(version)  # type: ignore[assignment]  # a fake
    await observed.handlers.sweep()
    assert observed.handlers.listed[paths.managed_secrets()] == str(version)

    path = paths.secret_classes()
    observed.context.api = WithoutList(path, errors.Unavailable)  # type: ignore[assignment]  # a fake
    with pytest.raises(errors.Unavailable):
        await observed.handlers.sweep()
    assert path not in observed.handlers.listed


async def _sweep_at(observed: Seen, version: int) -> None:
    observed.context.api = Lists(version)  # type: ignore[assignment]  # a fake
    await observed.handlers.sweep()


async def test_lists_that_stay_older_than_before_end_the_process(observed: Seen) -> None:
    newest = next(_versions) + 10
    for version in (newest - 5, newest, newest):
        await _sweep_at(observed, version)

    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            await _sweep_at(observed, newest - 1)
    with pytest.raises(errors.HistoryLost, match=f"has version {newest - 1}, and had {newest} before"):
        await _sweep_at(observed, newest - 1)


async def test_lists_that_stay_older_than_a_cached_object_end_the_process(observed: Seen) -> None:
    older = observed.context.cache.version_of(OTHER) - 1
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            await _sweep_at(observed, older)
    with pytest.raises(errors.HistoryLost):
        await _sweep_at(observed, older)


class Restored(Lists):
    """API server whose list of ManagedSecrets is newer than all that is known, and has an earlier version of one."""

    def __init__(self, version: int, body: dict[str, Any]) -> None:
        super().__init__(version)
        self._body = body

    async def pages(self, path: str) -> AsyncIterator[Page]:
        async for page in super().pages(path):
            yield replace(page, items=[self._body] if path == paths.managed_secrets() else [])


async def test_a_list_with_an_earlier_version_of_a_cached_object_ends_the_process(observed: Seen) -> None:
    body = {"metadata": metadata(AUTH.name, AUTH.namespace)}
    later = {"metadata": metadata(AUTH.name, AUTH.namespace)}
    observed.handlers.put_managed(later)
    observed.context.api = Restored(next(_versions), body)  # type: ignore[assignment]  # a fake

    with pytest.raises(errors.HistoryLost):
        await observed.handlers.sweep()


async def test_an_object_that_changed_since_the_list_was_read_ends_no_process(observed: Seen) -> None:
    body, version = {"metadata": metadata(AUTH.name, AUTH.namespace)}, next(_versions)
    later = {"metadata": metadata(AUTH.name, AUTH.namespace)}

    class Interrupted(Restored):
        async def pages(self, path: str) -> AsyncIterator[Page]:
            async for page in super().pages(path):
                if page.items:
                    observed.handlers.put_managed(later)
                yield page

    observed.context.api = Interrupted(version, body)  # type: ignore[assignment]  # a fake
    await observed.handlers.sweep()
    assert observed.context.cache.version_of(AUTH) == int(later["metadata"]["resourceVersion"])


async def test_lists_that_are_older_for_a_moment_are_repeated(observed: Seen) -> None:
    newest = next(_versions) + 10
    for behind in (0, 1, 1, 0, 1, 1, 0):
        with contextlib.suppress(errors.Unavailable):
            await _sweep_at(observed, newest - behind)

    assert observed.handlers.listed[paths.managed_secrets()] == str(newest)


# Optional kinds of workload

CANARY = WorkloadKey("shop", "Rollout", "canary")


def rollout(replicas: int) -> dict[str, Any]:
    """Make a Rollout that is complete, with so many pods of which two have the current template."""
    template = {"spec": {"containers": [{"envFrom": [{"secretRef": {"name": "auth"}}]}]}}
    status = {"observedGeneration": "1", "phase": "Healthy", "availableReplicas": 2, "updatedReplicas": 2}
    about = metadata("canary", "shop", creationTimestamp="2026-11-24T12:00:00Z")
    spec = {"replicas": 2, "template": template}
    return {"metadata": about, "spec": spec, "status": status | {"replicas": replicas}}


def test_the_users_of_a_rollout_are_looked_at_when_it_ends_the_pods_that_it_kept(observed: Seen) -> None:
    observed.handlers.put_secret(SecretMeta("shop", "auth", str(next(_versions)), "u", "auth", 1, None))
    enqueued = []
    for replicas in (4, 4, 2):
        observed.enqueued()
        observed.handlers.put_workload("Rollout", rollout(replicas))
        enqueued.append(observed.enqueued())

    assert enqueued == [{AUTH}, set(), {AUTH}]


class WithoutList(Lists):
    """API server that answers the list of one collection with an error."""

    def __init__(self, path: str, error: type[errors.ApiError]) -> None:
        super().__init__(next(_versions))
        self._path = path
        self._error = error

    async def pages(self, path: str) -> AsyncIterator[Page]:
        if path == self._path:
            raise self._error("list", path, 0, "")
        async for page in super().pages(path):
            yield page


@cases(
    ("error", "kept"),
    case("are gone with their CRD", errors.NotFound, False),
    case("stay as they were without the permission", errors.Forbidden, True),
)
async def test_rollouts_that_cannot_be_listed(
    observed: Seen, error: type[errors.ApiError], kept: bool
) -> None:
    observed.context.cache.put_workload(make.workload("canary", kind="Rollout"))
    observed.handlers.workload_types = WORKLOAD_TYPES
    observed.context.api = WithoutList(paths.workloads("Rollout"), error)  # type: ignore[assignment]  # a fake

    await observed.handlers.sweep()

    assert (observed.context.cache.workload(CANARY) is not None) is kept
    assert list(observed.context.cache.managed_keys()) == [], "the kinds after it are listed"


@pytest.mark.parametrize("error", [errors.NotFound, errors.Forbidden])
async def test_a_kind_that_every_cluster_has_must_be_listed(
    observed: Seen, error: type[errors.ApiError]
) -> None:
    observed.context.api = WithoutList(paths.workloads("DaemonSet"), error)  # type: ignore[assignment]  # a fake

    with pytest.raises(error):
        await observed.handlers.sweep()


async def test_rollouts_are_not_listed_without_their_kind(observed: Seen) -> None:
    observed.context.api = WithoutList(paths.workloads("Rollout"), errors.Unavailable)  # type: ignore[assignment]  # a fake

    await observed.handlers.sweep()

    assert paths.workloads("Rollout") not in observed.handlers.collections


# Database targets.

TARGET = TargetKey(DATABASE_TARGET, "shop", "orders")


def target(generation: int = 1, key: TargetKey = TARGET, **spec: Any) -> dict[str, Any]:
    body = {
        "postgresql": {"host": "db", "database": "orders"},
        "adminCredentials": {"secretRef": {"name": "db-admin"}},
        **spec,
    }
    return {"metadata": metadata(key.name, key.namespace, generation), "spec": body}


def account(handlers: EventHandlers, key: ObjectKey, created: str = "2026-01-01T00:00:00Z") -> None:
    database = {"targetRef": {"name": "orders"}, "username": "orders_app"}
    body = {"metadata": metadata(key.name, key.namespace, creationTimestamp=created)}
    handlers.put_managed({**body, "spec": {"account": database}})


def test_a_changed_target_concerns_the_users_and_a_changed_status_does_not() -> None:
    seen = Seen()
    account(seen.handlers, AUTH)
    seen.enqueued()

    enqueued = []
    for generation in (1, 1, 2):
        seen.handlers.put_target(DATABASE_TARGET, target(generation))
        enqueued.append(seen.enqueued())

    assert enqueued == [{TARGET, AUTH}, {TARGET}, {TARGET, AUTH}]


def test_a_target_that_is_gone_is_closed_and_missed() -> None:
    seen = Seen()
    account(seen.handlers, AUTH)
    seen.handlers.put_target(DATABASE_TARGET, target())
    seen.enqueued()

    seen.handlers.drop_target(TARGET)

    assert seen.enqueued() == {TARGET, AUTH}
    assert seen.context.cache.targets.get(TARGET) is None


def test_the_deletion_of_an_object_frees_its_account() -> None:
    seen, other = Seen(), ObjectKey("shop", "younger")
    account(seen.handlers, AUTH)
    account(seen.handlers, other, "2026-01-02T00:00:00Z")
    seen.enqueued()

    seen.handlers.drop_managed(AUTH)

    assert seen.enqueued() == {other}


class EndedObject:
    """API server at which an object ends with its last finalizer."""

    async def patch(self, _: str, body: dict[str, Any], __: Patch) -> dict[str, Any]:
        version = str(next(_versions))
        return {"metadata": {**body["metadata"], "resourceVersion": version}}


async def test_the_end_of_an_object_with_its_finalizer_frees_its_account() -> None:
    seen, other = Seen(), ObjectKey("shop", "younger")
    account(seen.handlers, AUTH)
    account(seen.handlers, other, "2026-01-02T00:00:00Z")
    seen.enqueued()
    seen.context.api = EndedObject()  # type: ignore[assignment]  # a fake
    leaving = replace(make.observed(), managed=make.managed(name="auth", finalized=True, deleted=True))

    await set_finalizer(Finalize(present=False), AUTH, leaving, seen.context)

    assert seen.enqueued() == {other}


def test_labels_of_a_namespace_concern_the_users_of_a_target_that_selects() -> None:
    seen = Seen()
    key = TargetKey(CLUSTER_DATABASE_TARGET, "", "orders")
    database = {"targetRef": {"kind": key.kind, "name": "orders"}, "username": "orders_app"}
    seen.handlers.put_managed({"metadata": metadata("auth", "office"), "spec": {"account": database}})
    body = target(key=key, allowedNamespaces={"selector": {}}, allowedUsernames=["orders_app"])
    seen.handlers.put_target(key.kind, body)
    seen.enqueued()

    seen.memory.accounts.of(OTHER).fail(Stalled("NotPermitted", ""), datetime.now(UTC))

    seen.handlers.put_namespace({"metadata": metadata("office", labels={"team": "auth"})})

    assert seen.enqueued() == {OTHER}
    again = seen.memory.accounts.of(OTHER).facts(datetime.now(UTC)).again
    assert again is not None
    assert again <= datetime.now(UTC), "the account is tried at once"


class OlderCluster:
    """An API server without the kinds of database targets, or without the rights on them."""

    def __init__(self, refusal: errors.ApiError) -> None:
        self.refusal: errors.ApiError | None = refusal

    async def pages(self, path: str) -> AsyncIterator[Page]:
        if "databasetargets" in path and self.refusal:
            raise self.refusal
        yield Page([], "1", first=True)


@pytest.mark.parametrize(
    "refusal",
    [
        errors.NotFound("list", "x", 404, "NotFound"),
        errors.Unavailable("list", "x", 404, "Unknown"),
        errors.Forbidden("list", "x", 403, "Forbidden"),
    ],
    ids=["no CRD", "no path", "no right"],
)
async def test_a_cluster_without_database_targets_is_listed(refusal: errors.ApiError) -> None:
    seen = Seen()
    seen.context.api = cluster = OlderCluster(refusal)  # type: ignore[assignment]  # a fake

    await seen.handlers.sweep()
    assert seen.handlers.absent_kinds == {DATABASE_TARGET, CLUSTER_DATABASE_TARGET}
    assert not any("databasetargets" in path for path in seen.handlers.collections)

    cluster.refusal = None
    await seen.handlers.sweep()
    assert seen.handlers.absent_kinds == set()
    assert sum("databasetargets" in path for path in seen.handlers.collections) == 2


async def test_targets_that_are_known_do_not_vanish_with_an_answer_that_may_pass() -> None:
    seen = Seen()
    seen.handlers.put_target(DATABASE_TARGET, target())
    refusal = errors.Unavailable("list", "x", 404, "Unknown")
    seen.context.api = OlderCluster(refusal)  # type: ignore[assignment]  # a fake

    with pytest.raises(errors.Unavailable):
        await seen.handlers.sweep()

    assert seen.context.cache.targets.get(TARGET) is not None


# Selected namespaces


class Forbidding(Lists):
    """API server that forbids the lists of some namespaces."""

    def __init__(self, *namespaces: str) -> None:
        super().__init__(next(_versions))
        self.namespaces = frozenset(namespaces)

    async def pages(self, path: str) -> AsyncIterator[Page]:
        if self.namespaces.intersection(path.split("/")):
            raise errors.Forbidden("list", path, 403, "Forbidden")
        async for page in super().pages(path):
            yield page


async def test_a_namespace_that_may_not_be_listed_keeps_its_objects_and_stops_no_other(
    observed: Seen,
) -> None:
    observed.handlers.namespaces = [OTHER.namespace, AUTH.namespace]
    observed.context.api = Forbidding(OTHER.namespace)  # type: ignore[assignment]  # a fake
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await observed.handlers.sweep()

    assert list(observed.context.cache.managed_keys()) == [OTHER]
    assert [(line["event"], line["namespace"]) for line in logs] == [
        ("namespace not watched", OTHER.namespace)
    ]


async def test_at_least_one_namespace_must_be_listed(observed: Seen) -> None:
    observed.handlers.namespaces = [OTHER.namespace, AUTH.namespace]
    observed.context.api = Forbidding(OTHER.namespace, AUTH.namespace)  # type: ignore[assignment]  # a fake
    with pytest.raises(errors.Forbidden):
        await observed.handlers.sweep()
