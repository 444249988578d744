"""The status of a store or a database target: written once for each change of its health."""

from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.external_health import reconcile_store, reconcile_target, target_status
from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    ExternalKey,
    StoreKey,
    TargetKey,
)
from keyturn.core.observation.external import Health
from keyturn.kube import errors
from keyturn.kube.cache.externals import AnyStore, AnyTarget
from keyturn.kube.wire import Body
from tests.unit.core import builders as make

STORE, TARGET = StoreKey(SECRET_STORE, "shop", "vault"), TargetKey(DATABASE_TARGET, "shop", "orders")
BOTH = pytest.mark.parametrize("key", [STORE, TARGET], ids=str)
READY = Health(is_ready=True, reason="Valid", message="the last check succeeded", version="18.1")
AWAY = Health(is_ready=False, reason="Unreachable", message="no answer", passes=True)
REFUSED = Health(is_ready=False, reason="AuthenticationFailed", message="refused")
SPECS = {
    StoreKey: {"provider": {"kubernetes": {}}},
    TargetKey: {
        "postgresql": {"host": "db", "database": "orders"},
        "adminCredentials": {"secretRef": {"name": "db-admin"}},
        "allowedUsernames": ["app"],
    },
}


class Server:
    """API server with one object."""

    def __init__(self, key: ExternalKey) -> None:
        metadata = {"name": key.name, "uid": "u", "generation": 1, "resourceVersion": "1"}
        if key.namespace:
            metadata["namespace"] = key.namespace
        self.body: Body = {"metadata": metadata, "spec": SPECS[type(key)]}
        self.paths: list[str] = []
        self.problem: errors.ApiError | None = None

    @property
    def version(self) -> int:
        return int(self.body["metadata"]["resourceVersion"])

    async def replace(self, path: str, body: Body) -> Body:
        self.paths.append(path)
        if self.problem:
            raise self.problem
        assert body["metadata"]["resourceVersion"] == str(self.version)
        metadata = self.body["metadata"] | {"resourceVersion": str(self.version + 1)}
        self.body = self.body | {"metadata": metadata, "status": body["status"]}
        return self.body


class Known:
    """Clients whose health is known."""

    def __init__(self, health: Health | None) -> None:
        self.answer = health
        self.forgotten: list[ExternalKey] = []

    def health(self, _: ExternalKey) -> Health | None:
        return self.answer

    def forget(self, key: ExternalKey) -> None:
        self.forgotten.append(key)


class Recorder:
    """Events that were recorded."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def record(self, about: AnyStore | AnyTarget, reason: str, note: str, type_: object) -> None:
        self.notes.append(f"{type_} {reason} {about.metadata.name}: {note}")


class World:
    def __init__(self, key: StoreKey | TargetKey, health: Health | None) -> None:
        self.key, self.server, self.known, self.events = key, Server(key), Known(health), Recorder()
        self.context = Context(self.server, self.events, lambda: make.NOW)  # type: ignore[arg-type]  # fakes
        self.context.stores = self.context.databases = self.known  # type: ignore[assignment]  # a fake
        self.context.cache.put_external(key, self.server.body)

    async def reconcile(self) -> dict[str, Any]:
        if isinstance(self.key, StoreKey):
            await reconcile_store(self.key, self.context)
        else:
            await reconcile_target(self.key, self.context)
        return dict(self.server.body.get("status") or {})


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


@BOTH
async def test_an_unchanged_health_is_written_once(key: StoreKey | TargetKey) -> None:
    world = World(key, READY)

    for _ in range(3):
        status = await world.reconcile()

    assert (conditions(status), status["observedGeneration"]) == ({"Ready": "True"}, 1)
    assert world.context.cache.version_of(key) == world.server.version == 2
    assert world.events.notes == []


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (STORE, "namespaces/shop/secretstores/vault"),
        (StoreKey(CLUSTER_SECRET_STORE, "", "vault"), "clustersecretstores/vault"),
        (TARGET, "namespaces/shop/databasetargets/orders"),
        (TargetKey(CLUSTER_DATABASE_TARGET, "", "orders"), "clusterdatabasetargets/orders"),
    ],
    ids=str,
)
async def test_the_status_of_each_kind_has_its_path(key: StoreKey | TargetKey, path: str) -> None:
    world = World(key, READY)

    await world.reconcile()

    assert world.server.paths == [f"/apis/keyturn.dev/v1alpha1/{path}/status"]


@pytest.mark.parametrize(
    ("key", "facts"),
    [(STORE, {"provider": "kubernetes"}), (TARGET, {"engine": "postgresql", "version": "18.1"})],
    ids=["store", "target"],
)
async def test_a_status_names_what_an_object_describes(
    key: StoreKey | TargetKey, facts: dict[str, str]
) -> None:
    status = await World(key, READY).reconcile()

    assert {name: status[name] for name in status.keys() - {"conditions", "observedGeneration"}} == facts


@pytest.mark.parametrize(
    ("key", "note"),
    [
        (STORE, "Warning ProviderError vault: AuthenticationFailed: refused"),
        (TARGET, "Warning TargetNotReady orders: AuthenticationFailed: refused"),
    ],
    ids=["store", "target"],
)
async def test_a_problem_that_needs_a_change_is_stalled_and_an_event(
    key: StoreKey | TargetKey, note: str
) -> None:
    world = World(key, REFUSED)

    status = await world.reconcile()

    assert conditions(status) == {"Ready": "False", "Stalled": "True"}
    assert world.events.notes == [note]


async def test_an_object_of_the_cluster_has_no_event_where_no_namespace_is_seen() -> None:
    world = World(TargetKey(CLUSTER_DATABASE_TARGET, "", "orders"), REFUSED)

    await world.reconcile()
    assert world.events.notes == []

    world.context.cache.sees_namespaces = True
    world.known.answer = REFUSED._replace(reason="HostNotFound")
    await world.reconcile()
    assert world.events.notes == ["Warning TargetNotReady orders: HostNotFound: refused"]


async def test_a_problem_that_passes_is_not_stalled_and_keeps_the_version() -> None:
    world = World(TARGET, READY)
    await world.reconcile()
    world.known.answer = AWAY

    status = await world.reconcile()

    assert (conditions(status), status["version"]) == ({"Ready": "False"}, "18.1")


@BOTH
async def test_nothing_is_written_before_the_first_check_ends(key: StoreKey | TargetKey) -> None:
    world = World(key, None)

    assert await world.reconcile() == {}
    assert world.server.paths == []


@BOTH
async def test_the_connections_of_an_object_that_is_gone_are_closed(key: StoreKey | TargetKey) -> None:
    world = World(key, READY)
    world.context.cache.drop_external(key)

    await world.reconcile()

    assert (world.known.forgotten, world.server.paths) == ([key], [])


@BOTH
@pytest.mark.parametrize("problem", [errors.NotFound, errors.Conflict])
async def test_an_object_that_changes_meanwhile_is_no_error(
    key: StoreKey | TargetKey, problem: type[errors.ApiError]
) -> None:
    world = World(key, REFUSED)
    world.server.problem = problem("patch", "/", 409, "Conflict")

    assert await world.reconcile() == {}
    assert world.events.notes == []


def test_the_time_of_a_condition_moves_with_its_status_only() -> None:
    target = World(TARGET, READY).context.cache.targets.get(TARGET)
    assert target is not None

    first = target_status(target, AWAY, make.NOW)
    later = target.model_copy(update={"status": first})

    moved = target_status(later, REFUSED, make.NOW.replace(year=2030)).conditions[0]
    assert moved.last_transition_time == make.NOW
