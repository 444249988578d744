"""What replaces no value: a restart, a resync, a ManagedSecret that was deleted and made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.operator import Operator

WRITTEN = (
    ("ManagedSecret", "auth"),
    ("Secret", "auth"),
    ("Secret", "auth-keyturn"),
    ("Deployment", "api"),
)


def versions(space: Space) -> list[str]:
    return [space.version(kind, name) for kind, name in WRITTEN]


def has_looked_at_all(space: Space, operator: Operator) -> bool:
    return operator.looks() >= len(space.objects.all("ManagedSecret", ""))


@pytest.fixture
def rotated(space: Space) -> Space:
    """A namespace with a ManagedSecret at revision 2 and a Deployment that runs it."""
    space.managed(rotation={"every": "90d", "trigger": "first"})
    space.run(deployment("api", env_from("auth")))
    space.rotated()
    for reason in ("Created", "Published", "RolledOut", "Rotated"):
        space.until_event(reason)  # what is told is not told at once
    return space


def test_a_restart_of_the_operator_writes_nothing(rotated: Space, operator: Operator) -> None:
    before = versions(rotated)
    events = len(
        rotated.objects.all("Event", rotated.namespace, fieldSelector="regarding.kind=ManagedSecret")
    )

    with operator.away():
        pass
    eventually(lambda: has_looked_at_all(rotated, operator), "a look at every object")

    assert versions(rotated) == before
    after = rotated.objects.all("Event", rotated.namespace, fieldSelector="regarding.kind=ManagedSecret")
    assert len(after) == events


def test_another_look_writes_nothing_but_that_it_looked(rotated: Space) -> None:
    before = versions(rotated)

    rotated.looked_at()

    assert versions(rotated)[1:] == before[1:]


def test_the_secret_and_its_state_outlive_the_managed_secret(rotated: Space) -> None:
    before = versions(rotated)

    rotated.delete("ManagedSecret", "auth")
    rotated.managed(name="other")  # whatever was to be done about the deletion is done before this

    assert [rotated.version(kind, name) for kind, name in WRITTEN[1:]] == before[1:]


def test_a_lost_status_is_written_again_without_a_new_value(rotated: Space) -> None:
    before = versions(rotated)
    status = rotated.status()

    # The subresource only takes what kubectl calls --subresource=status.
    rotated.objects.edit_status("ManagedSecret", rotated.namespace, "auth", lambda body: body.pop("status"))
    rotated.settled(revision=2)

    after = rotated.status()
    assert versions(rotated)[1:] == before[1:]
    assert {name: after[name] for name in ("revision", "lastRotationTime", "lastTrigger")} == {
        name: status[name] for name in ("revision", "lastRotationTime", "lastTrigger")
    }
