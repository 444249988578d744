"""Whom an event of a store, or of a namespace, concerns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.event_handlers import Key, Watches
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.workqueue import WorkQueue
from keyturn.core.errors import Wait
from keyturn.core.keys import (
    CLUSTER_SECRET_STORE,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    StoreKey,
    WorkloadKey,
)
from keyturn.core.observation.workload_kinds import WORKLOAD_TYPES
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AUTH, OTHER = ObjectKey("shop", "auth"), ObjectKey("office", "auth")
OURS = StoreKey(SECRET_STORE, "shop", "vault")
ALL = StoreKey(CLUSTER_SECRET_STORE, "", "vault")

_versions = count(1)


class Seen:
    """The watches of one process, and what they have enqueued."""

    def __init__(self) -> None:
        self.queue: WorkQueue[Key] = WorkQueue()
        self.context = Context(None, None, lambda: datetime.now(UTC))  # type: ignore[arg-type]  # nobody is called
        self.memory = Memory(self.context)
        self.watches = Watches(self.context, self.memory, self.queue, None)

    def enqueued(self) -> set[Key]:
        """Return what is waiting, and let it wait no more."""
        waiting = set(self.queue._waiting)
        for key in waiting:
            self.queue.forget(key)
        return waiting

    def user(self, key: ObjectKey, kind: str) -> None:
        ref = {"storeRef": {"kind": kind, "name": "vault"}, "remoteRef": {"key": "x"}}
        self.watches.managed({"metadata": metadata(key.name, key.namespace), "spec": {"dataFrom": [ref]}})


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
    observed.watches.store(SECRET_STORE, store(OURS))
    assert observed.enqueued() == {OURS, AUTH}


def test_a_store_for_all_concerns_its_users_everywhere(observed: Seen) -> None:
    observed.watches.store(CLUSTER_SECRET_STORE, store(ALL))
    assert observed.enqueued() == {ALL, OTHER}


def test_a_changed_spec_concerns_the_users_and_a_changed_status_does_not(observed: Seen) -> None:
    observed.watches.store(SECRET_STORE, store(OURS))
    observed.enqueued()
    observed.watches.store(SECRET_STORE, store(OURS))
    assert observed.enqueued() == {OURS}
    observed.watches.store(SECRET_STORE, store(OURS, generation=2))
    assert observed.enqueued() == {OURS, AUTH}


def test_a_changed_spec_of_a_store_ends_the_back_off_of_its_users(observed: Seen) -> None:
    observed.watches.store(SECRET_STORE, store(OURS))
    failed = observed.memory.stores.pulls.record(AUTH)
    failed.problem = Wait("ProviderError", "", timedelta(minutes=5))
    failed.due = datetime.max.replace(tzinfo=UTC)

    observed.watches.store(SECRET_STORE, store(OURS, generation=2))

    assert failed.due <= datetime.now(UTC)


def test_what_is_known_is_no_news(observed: Seen) -> None:
    before, now, later = (store(OURS) for _ in range(3))
    assert observed.watches.is_news(OURS, now)
    observed.watches.store(SECRET_STORE, now)
    assert [observed.watches.is_news(OURS, body) for body in (before, now, later)] == [False, False, True]
    observed.watches.store_gone(OURS)
    assert observed.watches.is_news(OURS, now)


def test_a_store_that_is_gone_is_closed_and_missed(observed: Seen) -> None:
    observed.watches.store(SECRET_STORE, store(OURS))
    observed.enqueued()
    observed.watches.store_gone(OURS)
    assert observed.enqueued() == {OURS, AUTH}
    assert observed.context.cache.stores.identity(OURS) is None


def test_labels_of_a_namespace_concern_who_there_uses_a_store_that_selects(observed: Seen) -> None:
    observed.user(ObjectKey("shop", "pulls"), CLUSTER_SECRET_STORE)
    observed.watches.store(CLUSTER_SECRET_STORE, store(ALL, allowedNamespaces={"selector": {}}))
    observed.enqueued()

    observed.watches.namespace({"metadata": metadata("office", labels={"team": "auth"})})
    assert observed.enqueued() == {OTHER}
    observed.watches.namespace(
        {"metadata": metadata("office", labels={"team": "auth"}, annotations={"a": "b"})}
    )
    assert observed.enqueued() == set()


def test_a_deleted_emergency_gives_way_to_the_others_of_its_namespace(observed: Seen) -> None:
    gone, other = EmergencyKey("shop", "inc-1"), EmergencyKey("shop", "inc-2")
    for key in (gone, other):
        about = metadata(key.name, key.namespace, creationTimestamp="2026-11-24T12:00:00Z")
        observed.watches.emergency({"metadata": about, "spec": {"reason": "stolen", "names": ["auth"]}})
    observed.enqueued()

    observed.watches.emergency_gone(gone)

    assert observed.enqueued() == {gone, other, AUTH}


class Lists:
    """API server whose lists are empty, at a resource version."""

    def __init__(self, version: int) -> None:
        self._version = version

    async def pages(self, _: str) -> AsyncIterator[Page]:
        yield Page([], str(self._version), first=True)


async def test_a_list_drops_only_objects_that_are_older_than_it(observed: Seen) -> None:
    observed.context.api = Lists(observed.context.cache.version_of(AUTH))  # type: ignore[assignment]  # a fake

    await observed.watches.sweep()

    assert list(observed.context.cache.managed_keys()) == [OTHER]


# Optional kinds of workload

CANARY = WorkloadKey("shop", "Rollout", "canary")


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


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param(errors.NotFound, False, id="are gone with their CRD"),
        pytest.param(errors.Forbidden, True, id="stay as they were without the permission"),
    ],
)
async def test_rollouts_that_cannot_be_listed(
    observed: Seen,
    error: type[errors.ApiError],
    kept: bool,  # noqa: FBT001
) -> None:
    observed.context.cache.put_workload(make.workload("canary", kind="Rollout"))
    observed.watches.workload_types = WORKLOAD_TYPES
    observed.context.api = WithoutList(paths.workloads("Rollout"), error)  # type: ignore[assignment]  # a fake

    await observed.watches.sweep()

    assert (observed.context.cache.workload(CANARY) is not None) is kept
    assert list(observed.context.cache.managed_keys()) == [], "the kinds after it are listed"


@pytest.mark.parametrize("error", [errors.NotFound, errors.Forbidden])
async def test_a_kind_that_every_cluster_has_must_be_listed(
    observed: Seen, error: type[errors.ApiError]
) -> None:
    observed.context.api = WithoutList(paths.workloads("DaemonSet"), error)  # type: ignore[assignment]  # a fake

    with pytest.raises(error):
        await observed.watches.sweep()


async def test_rollouts_are_not_listed_without_their_kind(observed: Seen) -> None:
    observed.context.api = WithoutList(paths.workloads("Rollout"), errors.Unavailable)  # type: ignore[assignment]  # a fake

    await observed.watches.sweep()

    assert paths.workloads("Rollout") not in observed.watches.collections
