"""What happens when a rollout fails, and how an earlier revision comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

QUICKLY = {"progressDeadline": "2s"}


def _fails_with(marker: str, name: str = "api", pod: Body | None = None) -> Body:
    """Make a Deployment whose pods get ready with every revision but one."""
    annotations = {"sandbox.keyturn.dev/fails-with": marker}
    return deployment(name, pod or env_from("auth"), pod_annotations=annotations)


def test_a_revision_with_which_pods_do_not_get_ready_is_taken_back(space: Space) -> None:
    space.managed(rollout=QUICKLY)
    before = space.values()
    space.run(_fails_with("auth=2"))
    space.run(deployment("web", env_from("auth")))

    space.rotate()

    message = space.stalled("RolledBack")
    assert message.startswith("workloads did not become ready with revision 2; rolled back to revision 1")
    assert (space.values(), space.revision()) == (before, "1")
    space.until_rolled("Deployment", "api")
    assert space.marker("api") is None, "as it was before revision 2"
    assert space.marker("web") is None, "nobody else was sent after it"
    assert space.generation("Deployment", "web") == 1
    assert space.until_event("RolledBack").startswith(
        "rolled back from revision 2 to 1: workloads did not become ready;"
        " Deployment/api: its pods did not become available in time; pod api-"
    )


def test_hold_leaves_everything_as_it_is(space: Space) -> None:
    space.managed(rollout={**QUICKLY, "onFailure": "Hold"})
    space.run(_fails_with("auth=2"))

    space.rotate()

    message = space.stalled("RolloutFailed")
    assert "did not become ready with revision 2; no other workload is restarted" in message
    assert (space.revision(), space.marker("api")) == ("2", "auth=2")


# By request


def test_a_person_takes_an_earlier_revision_back(space: Space) -> None:
    space.managed()
    first = space.values()
    space.run(deployment("api", env_from("auth")))
    space.rotated()
    space.rotated()

    space.annotate("ManagedSecret", "auth", rollback="1")

    space.until_condition("Rotating", "False", "Held")
    assert (space.values(), space.revision(), space.marker("api")) == (first, "1", "auth=1")
    assert space.status()["history"][0]["reason"] == "RolledBack"
    assert space.condition("Stalled") is None
