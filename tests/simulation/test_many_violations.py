"""A class that 128 values violate in two ways each: the status tells of it, and rotations and emergencies go on."""

import pytest

from keyturn.api import ManagedSecret
from keyturn.core.labels import ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE
from tests.simulation.test_class_plan import Classed

ITEMS = [
    {"name": f"password-of-a-service-with-a-long-name-{number:03}", "generate": {"password": {"length": 32}}}
    for number in range(128)
]


async def violating(enforcement: str) -> Classed:
    cluster = Classed({"data": ITEMS, "className": "web", "rotation": {"overlap": "0s"}})
    cluster.give_class({})
    await cluster.settle()
    cluster.give_class({"minLength": 64, "minEntropyBits": 256, "enforcement": enforcement})
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    return cluster


async def test_values_that_violate_a_class_which_warns_are_rotated() -> None:
    cluster = await violating("Warn")
    await cluster.settle()

    assert state_of(cluster.objects[STATE]).facts.current_number == 2
    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    assert status.policy
    assert len(status.policy.violations) == 257
    told = {one.type: one for one in status.conditions}["PolicyCompliant"]
    assert told.status == "False"
    assert told.message.endswith(" and 247 more")


async def test_a_class_that_denies_is_the_reason_why_nothing_is_written() -> None:
    cluster = await violating("Deny")
    cluster.tell()
    await cluster.look()

    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    told = {one.type: one for one in status.conditions}["Stalled"]
    assert told.reason == "PolicyViolation"
    assert told.message.endswith(" and 246 more")


@pytest.mark.parametrize("length", [20, 240])
async def test_many_missing_targets_are_counted(length: int) -> None:
    targets = [{"kind": "Deployment", "name": f"{'x' * length}-{number:03}"} for number in range(256)]
    cluster = Classed({"data": ITEMS[:1], "rollout": {"targets": targets}})
    await cluster.settle()

    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    told = {one.type: one for one in status.conditions}["WorkloadsCurrent"]
    assert (told.status, told.reason) == ("False", "TargetNotFound")
    assert told.message.endswith("-009 and 246 more")
