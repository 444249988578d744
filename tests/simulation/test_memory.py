"""Memory of the reconciler: no value outlives a pass, and a deleted object leaves nothing."""

import gc
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.core.labels import ROTATE
from keyturn.core.value import Value
from tests.simulation.simulated_cluster import KEY, MANAGED
from tests.simulation.simulated_stores import StoreCluster
from tests.simulation.test_observation import SPEC

_ELSEWHERE = (Context, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


def kept_by(memory: Memory) -> list[Any]:
    """Return all that the owners refer to, without the shared clients and the cache."""
    known: dict[int, Any] = {}
    queue: list[Any] = list(vars(memory).values())
    while queue:
        one = queue.pop()
        if id(one) not in known and not isinstance(one, _ELSEWHERE):
            known[id(one)] = one
            queue += gc.get_referents(one)
    return list(known.values())


async def rotated() -> StoreCluster:
    cluster = StoreCluster({**SPEC, "data": [*SPEC["data"], {"name": "key", "literal": "of-the-spec"}]})
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.doomed.add(2)
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"
    cluster.touch_managed()
    await cluster.settle()
    return cluster


async def test_no_value_outlives_a_pass() -> None:
    cluster = await rotated()
    texts = {value.reveal() for one in cluster.state().revisions.values() for value in one.data().values()}

    kept = kept_by(cluster.memory)

    assert texts
    assert not [type(one) for one in kept if isinstance(one, Value)]
    assert not any(text in one for one in kept if isinstance(one, bytes) for text in texts)


async def test_a_deleted_object_leaves_nothing() -> None:
    cluster = await rotated()
    assert KEY in kept_by(cluster.memory)

    cluster.memory.forget(KEY)

    assert KEY not in kept_by(cluster.memory)


async def test_a_pass_over_an_object_that_is_gone_leaves_nothing() -> None:
    cluster = await rotated()
    del cluster.objects[MANAGED]
    cluster.tell()

    await cluster.look()

    assert KEY not in kept_by(cluster.memory)
