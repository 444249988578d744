"""The status of a database target: written once for each change of its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.controllers.context import Context
from keyturn.controllers.databasetarget import reconcile_target, status_of
from keyturn.core.keys import DATABASE_TARGET, TargetKey
from keyturn.databases import TargetHealth
from keyturn.kube import errors
from tests.unit.core import builders as make

if TYPE_CHECKING:
    from keyturn.kube.cache.targets import AnyTarget
    from keyturn.kube.client import Body

KEY = TargetKey(DATABASE_TARGET, "shop", "orders")
READY = TargetHealth(
    is_ready=True, reason="Valid", message="the last check of the server succeeded", version="18.1"
)
AWAY = TargetHealth(is_ready=False, reason="Unreachable", message="no answer from db", passes=True)
REFUSED = TargetHealth(is_ready=False, reason="AuthenticationFailed", message="refused")


class TargetServer:
    """API server with one DatabaseTarget."""

    def __init__(self) -> None:
        metadata = {
            "name": "orders",
            "namespace": "shop",
            "uid": "u",
            "generation": 1,
            "resourceVersion": "1",
        }
        spec = {
            "postgresql": {"host": "db", "database": "orders"},
            "adminCredentials": {"secretRef": {"name": "db-admin"}},
        }
        self.body: Body = {"metadata": metadata, "spec": spec}
        self.paths: list[str] = []
        self.is_gone = False

    async def patch(self, path: str, body: Body, *_: object) -> Body:
        self.paths.append(path)
        if self.is_gone:
            raise errors.NotFound("patch", path, 404, "NotFound")
        version = int(self.body["metadata"]["resourceVersion"]) + 1
        metadata = self.body["metadata"] | {"resourceVersion": str(version)}
        status = (self.body.get("status") or {}) | body["status"]
        self.body = self.body | {"metadata": metadata, "status": status}
        return self.body


class Known:
    """Databases whose health is known."""

    def __init__(self, health: TargetHealth | None) -> None:
        self.answer = health
        self.forgotten: list[TargetKey] = []

    def health(self, _: TargetKey) -> TargetHealth | None:
        return self.answer

    def forget(self, key: TargetKey) -> None:
        self.forgotten.append(key)


class Recorder:
    """Events that were recorded."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def record(self, about: AnyTarget, reason: str, note: str, type_: object) -> None:
        self.notes.append(f"{type_} {reason} {about.metadata.name}: {note}")


class World:
    def __init__(self, health: TargetHealth | None) -> None:
        self.server, self.known, self.events = TargetServer(), Known(health), Recorder()
        self.context = Context(self.server, self.events, lambda: make.NOW)  # type: ignore[arg-type]  # fakes
        self.context.databases = self.known  # type: ignore[assignment]  # a fake
        self.context.cache.put_target(KEY, self.server.body)

    async def reconcile(self) -> dict[str, Any]:
        await reconcile_target(KEY, self.context)
        return dict(self.server.body.get("status") or {})


async def test_an_unchanged_health_is_written_once() -> None:
    world = World(READY)

    for _ in range(3):
        status = await world.reconcile()

    assert world.server.paths == ["/apis/keyturn.dev/v1alpha1/namespaces/shop/databasetargets/orders/status"]
    assert (status["engine"], status["version"], status["observedGeneration"]) == ("postgresql", "18.1", 1)
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Ready", "True", "Valid")
    ]
    assert world.events.notes == []


async def test_a_problem_that_needs_a_change_is_stalled_and_an_event() -> None:
    world = World(REFUSED)

    status = await world.reconcile()

    assert [(one["type"], one["status"]) for one in status["conditions"]] == [
        ("Ready", "False"),
        ("Stalled", "True"),
    ]
    assert world.events.notes == ["Warning TargetNotReady orders: AuthenticationFailed: refused"]


async def test_a_problem_that_passes_is_not_stalled_and_keeps_the_version() -> None:
    world = World(READY)
    await world.reconcile()
    world.known.answer = AWAY

    status = await world.reconcile()

    assert [(one["type"], one["status"]) for one in status["conditions"]] == [("Ready", "False")]
    assert status["version"] == "18.1"


async def test_nothing_is_written_before_the_first_check_ends() -> None:
    world = World(None)

    assert await world.reconcile() == {}
    assert world.server.paths == []


async def test_a_target_that_is_gone_is_closed() -> None:
    world = World(READY)
    world.context.cache.drop_target(KEY)

    await world.reconcile()

    assert (world.known.forgotten, world.server.paths) == ([KEY], [])


async def test_a_target_that_is_deleted_meanwhile_is_no_error() -> None:
    world = World(REFUSED)
    world.server.is_gone = True

    assert await world.reconcile() == {}
    assert world.events.notes == []


def test_the_time_of_a_condition_moves_with_its_status_only() -> None:
    world = World(READY)
    target = world.context.cache.targets.target(KEY)
    assert target is not None

    first = status_of(target, AWAY, make.NOW)
    later = target.model_copy(update={"status": first})

    assert status_of(later, REFUSED, make.NOW.replace(year=2030)).conditions[0].last_transition_time == (
        make.NOW
    )
