"""A watch that tells of our own write before its answer comes has nobody looked at once more."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from keyturn.controllers.event_handlers import Watches
from keyturn.kube.secret_informer import meta_of
from tests.simulation.simulated_cluster import KEY, TARGET, Cluster

if TYPE_CHECKING:
    from keyturn.core.keys import ObjectKey
    from keyturn.kube.client import Body, Params

SPEC = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}


class Overtaking(Cluster):
    """Has the watch tell of each new Secret before its writer has the answer; by then others may have changed it."""

    edited: str | None = None
    """The Secret that somebody else changes at once."""

    def __init__(self) -> None:
        self.woken: list[ObjectKey] = []
        super().__init__(SPEC)
        self.context.wake = self.woken.append

    async def create(self, path: str, body: Body, params: Params | None = None) -> Body:
        answer = await super().create(path, body, params)
        self._tell_of(answer)
        if answer["metadata"]["name"] == self.edited:
            later = copy.deepcopy(answer)
            later["metadata"]["resourceVersion"] = str(int(answer["metadata"]["resourceVersion"]) + 1)
            self._tell_of(later)
        return answer

    def _tell_of(self, body: Body) -> None:
        queue: Any = SimpleNamespace(add=self.woken.append)
        Watches(self.context, self.memory, queue, None).secret(meta_of(body))


async def test_our_own_write_enqueues_nothing() -> None:
    cluster = Overtaking()
    cluster.tell()
    await cluster.look()
    assert TARGET in cluster.objects
    assert cluster.woken == []


async def test_a_change_by_another_writer_before_the_answer_is_looked_at() -> None:
    cluster = Overtaking()
    cluster.edited = KEY.name
    cluster.tell()
    await cluster.look()
    assert cluster.woken == [KEY]


async def test_what_is_reported_after_the_answer_is_looked_at() -> None:
    cluster = Overtaking()
    cluster.tell()
    await cluster.look()
    later = copy.deepcopy(cluster.objects[TARGET])
    later["metadata"]["resourceVersion"] = str(int(later["metadata"]["resourceVersion"]) + 100)
    cluster._tell_of(later)
    assert cluster.woken == [KEY]
