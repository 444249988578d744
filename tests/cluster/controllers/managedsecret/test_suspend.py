"""What suspend stops, and what happens when it ends."""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body


def suspend(space: Space) -> None:
    space.respec(lambda spec: spec.update(suspend=True))
    space.until_condition("Ready", "True", "Suspended")


def resume(space: Space) -> None:
    space.respec(lambda spec: spec.update(suspend=False))


def test_a_suspended_managed_secret_says_so(space: Space) -> None:
    space.managed()

    suspend(space)

    condition = space.condition("Ready")
    assert condition
    assert condition["message"] == "nothing is written while spec.suspend is true"


def test_nothing_is_created_while_it_is_suspended(space: Space) -> None:
    space.manage(suspend=True)

    space.until_condition("Ready", "False", "Suspended")
    assert [space.find("Secret", name) for name in ("auth", "auth-keyturn")] == [None, None]


def test_a_suspended_one_is_neither_stalled_nor_reconciling(space: Space) -> None:
    space.manage(suspend=True)

    space.until_condition("Ready", "False", "Suspended")

    assert (space.condition("Stalled"), space.condition("Reconciling")) == (None, None)


def test_what_was_suspended_from_the_start_is_created_afterwards(space: Space) -> None:
    space.manage(suspend=True)
    space.until_condition("Ready", "False", "Suspended")

    resume(space)

    space.settled(revision=1)


def test_no_secret_and_no_workload_is_written_while_it_is_suspended(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    written = (("Secret", "auth"), ("Secret", "auth-keyturn"), ("Deployment", "api"))
    suspend(space)
    other = base64.b64encode(b"something else").decode()
    space.edit("Secret", "auth", lambda secret: secret["data"].update(token=other))
    before = [space.version(kind, name) for kind, name in written]

    space.rotate()
    space.respec(lambda spec: spec.update(rotation={"trigger": "leaver"}))
    space.looked_at()

    assert [space.version(kind, name) for kind, name in written] == before


def test_a_trigger_that_was_set_meanwhile_rotates_once_afterwards(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    suspend(space)
    for text in ("leaver", "another"):
        space.respec(partial(_set_trigger, text))
        space.looked_at()

    resume(space)

    status = space.settled(revision=2)
    assert status["lastTrigger"] == "another"
    assert space.marker("api") == "auth=2"


def _set_trigger(text: str, spec: Body) -> None:
    spec["rotation"] = {"trigger": text}


def test_drift_of_the_meantime_is_repaired_afterwards(space: Space) -> None:
    space.managed()
    before = space.values()
    suspend(space)
    space.edit("Secret", "auth", lambda secret: secret["data"].pop("token"))
    space.looked_at()

    resume(space)

    eventually(lambda: space.values() == before, "the values as they were")


def test_a_rollout_that_was_suspended_continues_afterwards(space: Space) -> None:
    space.managed(rollout={"debounce": "1h"})
    space.run(deployment("api", env_from("auth")))
    space.rotate()
    space.until_workload("api", state="Pending")
    suspend(space)
    space.respec(lambda spec: spec["rollout"].update(debounce="0s"))
    space.looked_at()
    unmarked = space.marker("api")

    resume(space)

    space.settled(revision=2)
    assert (unmarked, space.marker("api")) == (None, "auth=2")
