"""Equal values of environments: a namespace that gets its label during a write, and objects with an equal value."""

from dataclasses import replace
from typing import Any

from keyturn.controllers.event_handlers import EventHandlers
from keyturn.core.keys import ObjectKey
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import KEY, STATE, TARGET, Cluster
from tests.support.work_queue import Recorded

SPEC = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}
NAMESPACE: dict[str, Any] = {
    "metadata": {
        "name": KEY.namespace,
        "uid": "u",
        "resourceVersion": "1000",
        "labels": {"keyturn.dev/environment": "production"},
    }
}


class LateEnvironment(Cluster):
    """Has the watch report the label of the namespace before the answer to the write of the target Secret."""

    def __init__(self) -> None:
        self.woken: list[ObjectKey] = []
        super().__init__(SPEC)
        self.context.queue = Recorded(self.woken.append)

    async def create(self, path: str, body: Body) -> Body:
        answer = await super().create(path, body)
        if path.endswith("/secrets") and answer["metadata"]["name"] == TARGET.rpartition("/")[2]:
            EventHandlers(self.context, self.memory, None).put_namespace(NAMESPACE)
        return answer


async def test_a_value_that_is_written_meanwhile_is_compared() -> None:
    cluster = LateEnvironment()
    cluster.tell()
    await cluster.look()
    assert cluster.woken == [KEY]

    await cluster.look()

    password = state_of(cluster.objects[STATE]).current.values["password"].outputs["value"]
    office = replace(KEY, namespace="office")
    assert cluster.memory.compliance.index.put(office, [("password", password)]) == {KEY}


async def test_an_object_with_an_equal_value_is_reconciled_after_the_pass() -> None:
    cluster, office = Cluster(SPEC), replace(KEY, namespace="office")
    woken: list[ObjectKey] = []
    cluster.context.queue = Recorded(woken.append)
    cluster.tell()
    cluster.memory.compliance.affect({office})

    await cluster.look()

    assert woken == [office]
