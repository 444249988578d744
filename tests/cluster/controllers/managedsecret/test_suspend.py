"""What suspend stops, and what happens when it ends."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space


def suspend(space: Space) -> None:
    space.respec(lambda spec: spec.update(suspend=True))
    space.until_condition("Ready", "True", "Suspended")


def resume(space: Space) -> None:
    space.respec(lambda spec: spec.update(suspend=False))


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


def test_drift_of_the_meantime_is_repaired_afterwards(space: Space) -> None:
    space.managed()
    before = space.values()
    suspend(space)
    space.edit("Secret", "auth", lambda secret: secret["data"].pop("token"))
    space.looked_at()

    resume(space)

    eventually(lambda: space.values() == before, "the values as they were")
