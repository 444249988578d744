from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.namespace import BYSTANDER, CONSUMERS, FIXED, KEPT, ROTATED, workload_namespaces
from tests.support.kept_operator import KeptOperator
from tests.support.soak import TIMES, chance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.namespace import Snapshot, WorkloadNamespace

_ROUNDS, _OBJECTS, _KILLS = (3 if TIMES == 1 else 4 * TIMES), 5, 2
pytestmark = pytest.mark.timeout(300 * TIMES)


def test_rotations_survive_kills_at_any_moment(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    moments = chance()
    stage = workload_namespaces(cluster, _OBJECTS)
    home = stage[0].namespace
    operator = KeptOperator(
        accounts("random"),
        tmp_path / "operator.log",
        *(f"--namespace={space.namespace}" for space in stage),
        env={"POD_NAMESPACE": home},
    )
    for space in stage:
        space.create()
    with operator:
        looks = _looks(stage, 1)
        for number in range(2, _ROUNDS + 2):
            for space in stage:
                space.trigger(f"trigger {number}")
            for _ in range(_KILLS):
                time.sleep(moments.uniform(0, 0.25))  # not a wait for something: the moment is the point
                operator.kill()
                # As if the term of the dead process were over.
                cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases/keyturn")
                operator.start().wait_for_log("leading")
            newer = _looks(stage, number)
            for old, new in zip(looks, newer, strict=True):
                _assert_one_rotation_on(old, new)
            looks = newer


def _looks(stage: list[WorkloadNamespace], number: int) -> list[Snapshot]:
    for space in stage:
        space.wait_for(number)
    return [space.snapshot() for space in stage]


def _assert_one_rotation_on(old: Snapshot, new: Snapshot) -> None:
    assert new.revision == old.revision + 1
    assert {name for name in new.values if new.values[name] != old.values[name]} == {ROTATED}
    assert new.values.keys() == {ROTATED, KEPT, FIXED}
    assert new.recorded[new.revision] == new.values
    assert new.recorded[old.revision] == old.values
    assert new.generations == {
        **{name: old.generations[name] + 1 for name in CONSUMERS},
        BYSTANDER: old.generations[BYSTANDER],
    }
    assert new.history == [new.revision, *old.history]
    assert new.trigger == f"trigger {new.revision}"
