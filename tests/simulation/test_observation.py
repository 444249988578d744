"""An observation reads only: it writes nothing, starts nothing, and wakes no object."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.observe import observe
from keyturn.controllers.workqueue import WorkQueue
from keyturn.core.labels import ROTATE
from keyturn.kube.client import Page
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import KEY, MANAGED
from tests.simulation.simulated_stores import API, PLACE, StoreCluster

VAULT = {"kind": "SecretStore", "name": "vault"}
SPEC: dict[str, Any] = {
    "data": [
        {"name": "password", "generate": {"password": {"length": 32}}},
        {"name": "api-key", "from": {"storeRef": VAULT, "remoteRef": {"key": API}}},
    ],
    "pushTo": [{"storeRef": VAULT, "remoteRef": {"key": PLACE}}],
}


class ReadOnly:
    """The API server for a client that may read; it has no method that writes."""

    def __init__(self, cluster: StoreCluster) -> None:
        self._cluster = cluster

    async def get(self, path: str, **how: Any) -> Body:
        return await self._cluster.get(path, **how)

    async def pages(self, path: str, *given: Any, **how: Any) -> AsyncIterator[Page]:
        async for page in self._cluster.pages(path, *given, **how):
            yield page


class Refusing(WorkQueue[Any]):
    def add(self, key: object, *_: object) -> None:
        raise AssertionError(f"an observation wakes {key}")


class Observed(StoreCluster):
    """The operator, and an observer with its cache and without its memory before each pass."""

    def __init__(self) -> None:
        self.observations = 0
        super().__init__(SPEC)

    def observer(self) -> Context:
        context = replace(self.context, api=ReadOnly(self), queue=Refusing())  # type: ignore[arg-type]  # a fake
        context.events = context.stores = None  # type: ignore[assignment]  # neither may be used
        return context

    async def look(self) -> datetime | None:
        tasks, context = asyncio.all_tasks(), self.observer()
        assert await observe(KEY, Memory(context), context)
        assert asyncio.all_tasks() == tasks, "an observation starts a task"
        self.observations += 1
        return await super().look()


async def test_each_state_of_a_rotation_is_observed_by_reads_alone() -> None:
    cluster = Observed()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.outside.keep(API, "second")
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"
    cluster.touch_managed()
    await cluster.settle()

    assert cluster.state().facts.current_number >= 2
    assert PLACE in cluster.outside.holds
    assert cluster.observations > 4


async def test_an_equal_value_of_another_environment_wakes_its_object_after_the_observation() -> None:
    cluster = Observed()
    await cluster.settle()
    cluster.context.cache.put_namespace(_namespace("shop", "production"))
    cluster.memory = Memory(cluster.context)
    password = (cluster.state()).current.values["password"].outputs["value"]
    cluster.memory.compliance.index.put(replace(KEY, namespace="office"), [("password", password)])

    context = cluster.observer()
    assert await observe(KEY, cluster.memory, context)

    assert cluster.memory.compliance.pop_affected() == {replace(KEY, namespace="office")}


@pytest.mark.parametrize("writes", ["create", "replace", "patch", "delete"])
def test_the_observers_client_has_no_writes(writes: str) -> None:
    assert not hasattr(ReadOnly(Observed()), writes)


def _namespace(name: str, environment: str) -> Body:
    labels = {"keyturn.dev/environment": environment}
    return {"metadata": {"name": name, "uid": "u", "resourceVersion": "1000", "labels": labels}}
