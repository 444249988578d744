"""A step changes only what is as it was when the step was decided: a pod, its StatefulSet, the state."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.execute import execute_step, write_target
from keyturn.controllers.managedsecret.memory import Memory, Pass
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import Consumer
from keyturn.core.rotation.steps import DeletePod, Overlap, Publish, RollOut
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.value import Value
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, consumer, minutes, observed, pod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from keyturn.kube.wire import Body

KEY = ObjectKey("shop", "db")
STUCK = pod("web-1", owner="uid-of-web", template="withdrawn", ready=False, never_ready=True)
STEP = DeletePod(consumer("web", kind="StatefulSet", marker="db=1", settled=False), STUCK, 2)


def stateful_set(uid: str = "uid-of-web", marker: str = "db=1", update: str = "before") -> dict[str, Any]:
    annotations = {"keyturn.dev/secret-versions": marker}
    metadata = {"namespace": "shop", "name": "web", "uid": uid, "generation": 4}
    return {
        "metadata": metadata | {"creationTimestamp": "2026-11-24T12:00:00Z"},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
        "status": {"observedGeneration": 4, "currentRevision": "before", "updateRevision": update},
    }


class Server:
    """Has one StatefulSet, or none, and notes what is deleted."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found
        self.deleted: list[tuple[str, Mapping[str, str]]] = []

    async def get(self, path: str) -> dict[str, Any]:
        assert path == paths.workload("StatefulSet", "shop", "web")
        if self.found is None:
            raise errors.NotFound("get", path, 404, "NotFound")
        return self.found

    async def pages(self, *_: object, **__: object) -> AsyncIterator[Page]:
        yield Page([], "1", first=True)

    async def delete(self, path: str, preconditions: Mapping[str, str]) -> None:
        self.deleted.append((path, preconditions))


async def deleted(found: dict[str, Any] | None) -> list[tuple[str, Mapping[str, str]]]:
    server = Server(found)
    context = Context(api=server, events=None, now=lambda: NOW)  # type: ignore[arg-type]  # fakes
    await execute_step(STEP, Pass(KEY, observed(), Memory(context), context))
    return server.deleted


async def test_it_is_deleted_by_its_uid_and_as_it_was_read() -> None:
    expected = {"uid": "uid-of-web-1", "resourceVersion": "7"}
    assert await deleted(stateful_set()) == [("/api/v1/namespaces/shop/pods/web-1", expected)]


@cases(
    "found",
    case("is gone", None),
    case("is another one", stateful_set(uid="another")),
    case("asks for the revision again", stateful_set(marker="db=2")),
    case("makes pods of that template again", stateful_set(update="withdrawn")),
)
async def test_it_stays_where_the_stateful_set(found: dict[str, Any] | None) -> None:
    assert await deleted(found) == []


async def test_pods_are_read_again_after_a_deletion() -> None:
    context = Context(api=Server(stateful_set()), events=None, now=lambda: NOW)  # type: ignore[arg-type]  # fakes
    workload, began = STEP.consumer.workload, NOW - minutes(1)
    await context.pods.of_workload(workload, began, NOW)
    assert context.pods.last(workload, began, NOW)

    await execute_step(STEP, Pass(KEY, observed(), Memory(context), context))

    assert context.pods.last(workload, began, NOW) is None


async def test_nothing_is_recorded_over_a_state_that_has_changed() -> None:
    context = Context(api=Server(None), events=None, now=lambda: NOW)  # type: ignore[arg-type]  # fakes
    memory, seen = Memory(context), make.observed()
    values = Revision({"password": ItemValues("", {"value": Value(b"x")}, {"value": "password"})})
    memory.secrets.put_state(KEY, make.record((make.revision(2), values)), "9")

    with pytest.raises(errors.Conflict):
        await execute_step(Overlap(1, NOW), Pass(KEY, seen, memory, context))


# A Rollout with the pod template of a Deployment

DEPLOYMENT = WorkloadKey("shop", "Deployment", "web")


class Templates:
    """Restarts a Deployment after a moment, and notes the requests."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def patch(self, path: str, body: dict[str, Any], *_: object) -> dict[str, Any]:
        annotations = body["spec"]["template"]["metadata"]["annotations"]
        self.sent.append((path, annotations["keyturn.dev/secret-versions"]))
        await asyncio.sleep(0)
        metadata = {"namespace": "shop", "name": "web", "uid": "uid-of-web", "generation": 5}
        return {
            "metadata": metadata | {"creationTimestamp": "2026-11-24T12:00:00Z", "resourceVersion": "9"},
            "spec": {"template": {"metadata": {"annotations": annotations}}},
        }


async def test_a_rollout_and_its_deployment_are_restarted_once() -> None:
    server = Templates()
    context = Context(api=server, events=None, now=lambda: NOW)  # type: ignore[arg-type]  # fakes
    rollout = replace(make.workload("canary", kind="Rollout", uses=()), template_of=DEPLOYMENT)
    context.cache.put_workload(make.workload("web"))
    context.cache.put_workload(rollout)
    memory, seen = Memory(context), observed()
    using = context.cache.users_of("shop", "db")

    steps = [RollOut(Consumer(one, one.use_of("db")), "db=1") for one in using]
    await asyncio.gather(*(execute_step(step, Pass(KEY, seen, memory, context)) for step in steps))

    assert [one.kind for one in using] == ["Deployment", "Rollout"]
    assert server.sent == [(paths.workload("Deployment", "shop", "web"), "db=1")]
    known = [context.cache.workload(one.key) for one in using]
    assert [one.marker for one in known if one] == ["db=1", "db=1"]


VALUES = Revision({"password": ItemValues("", {"value": Value.of_text("x")}, {"value": "password"})})


class Occupied:
    """API server with a foreign Secret, which the informer does not see."""

    async def get(self, path: str, *, metadata_only: bool) -> Body:
        assert metadata_only
        assert path == paths.secret("shop", "db")
        return {"metadata": {"namespace": "shop", "name": "db", "uid": "foreign", "resourceVersion": "7"}}

    async def create(self, path: str, _: Body) -> Body:
        raise errors.AlreadyExists("create", path, 409, "AlreadyExists")


async def test_a_foreign_secret_of_the_same_name_is_observed_after_the_write() -> None:
    api: Any = Occupied()
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    memory, state = Memory(context), make.record((make.revision(), VALUES))
    memory.secrets.put_state(KEY, state, "1")
    first = make.observed(state=state.facts, target=None, status={})
    assert await memory.secrets.meta(KEY, "db") is None

    with pytest.raises(errors.Conflict):
        await write_target(Publish(1), Pass(KEY, first, memory, context))

    found = await memory.secrets.meta(KEY, "db")
    assert found is not None
    assert not found.owner


class Mutating:
    """API server with a webhook that changes each new Secret."""

    def __init__(self, change: Callable[[Body], object]) -> None:
        self._change = change

    async def create(self, _: str, body: Body) -> Body:
        stored = copy.deepcopy(body)
        stored["metadata"] |= {
            "uid": "uid",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self._change(stored)
        return stored


async def published(change: Callable[[Body], object]) -> Memory:
    """Publish to an API server that changes the Secret; return what the operator then knows."""
    api: Any = Mutating(change)
    context = Context(api=api, events=None, now=lambda: make.NOW)  # type: ignore[arg-type]  # not called
    memory, state = Memory(context), make.record((make.revision(), VALUES))
    memory.secrets.put_state(KEY, state, "1")
    seen = make.observed(state=state.facts, target=None, status={})
    await write_target(Publish(1), Pass(KEY, seen, memory, context))
    return memory


async def test_a_secret_that_is_stored_as_it_was_sent_has_no_drift() -> None:
    memory = await published(lambda _: None)
    assert KEY not in memory.drift


async def test_what_a_webhook_adds_for_others_is_no_drift() -> None:
    memory = await published(lambda stored: stored["metadata"]["labels"].update(team="shop"))
    assert KEY not in memory.drift


@cases(
    "change",
    case("a key of the data", lambda stored: stored["data"].clear()),
    case("a label", lambda stored: stored["metadata"]["labels"].clear()),
    case("an annotation", lambda stored: stored["metadata"]["annotations"].pop("keyturn.dev/revision")),
)
async def test_a_webhook_that_takes_something_away_is_a_conflict(change: Callable[[Body], object]) -> None:
    with pytest.raises(errors.Conflict):
        await published(change)
