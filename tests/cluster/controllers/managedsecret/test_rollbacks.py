"""What happens when a rollout fails, and how an earlier revision comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, password
from tests.cluster.workloads import deployment, env, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

QUICKLY = {"progressDeadline": "2s"}


def _fails_with(marker: str, name: str = "api", pod: Body | None = None) -> Body:
    """Make a Deployment whose pods get ready with every revision but one."""
    annotations = {"sandbox.keyturn.dev/fails-with": marker}
    return deployment(name, pod or env_from("auth"), pod_annotations=annotations)


def _failed(space: Space, **rollout: Any) -> Body:
    """Rotate to a revision with which a Deployment does not get ready, and wait until that is over."""
    space.managed(rollout={**QUICKLY, **rollout})
    space.run(_fails_with("auth=2"))
    space.rotate()
    space.stalled("RolledBack")
    return space.status()


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


def test_it_is_not_reported_that_every_workload_runs_what_failed(space: Space) -> None:
    _failed(space)
    space.looked_at()

    space.until_event("RolledBack")
    assert space.events("Rotated") == []
    assert space.events("Created") == ["revision 1 is in the Secret"]


def test_the_status_reports_it_and_every_workload_is_current(space: Space) -> None:
    status = _failed(space)

    results = [(one["revision"], one["reason"], one["result"]) for one in status["history"]]
    assert results == [
        (1, "RolledBack", "Succeeded"),
        (2, "Triggered", "RolledBack"),
        (1, "Created", "Succeeded"),
    ]
    verdicts = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert verdicts == {
        "Ready": ("True", "Published"),
        "Rotating": ("False", "Held"),
        "WorkloadsCurrent": ("True", "AllCurrent"),
        "PolicyCompliant": ("False", "noSchedule"),
        "Stalled": ("True", "RolledBack"),
    }


def test_a_new_trigger_tries_again_with_other_values(space: Space) -> None:
    _failed(space)
    before = space.values()

    space.rotate()

    space.settled(revision=3)
    assert space.marker("api") == "auth=3"
    assert all(value != before[name] for name, value in space.values().items())
    assert space.condition("Stalled") is None


def test_a_changed_spec_tries_again(space: Space) -> None:
    space.managed(rollout=QUICKLY, rotation={"every": "90d"})
    space.run(_fails_with("auth=2"))
    space.rotate()
    space.stalled("RolledBack")
    space.age(days=400)

    space.respec(lambda spec: spec.update(owner="team"))

    space.settled(revision=3)


def test_no_schedule_tries_again(space: Space) -> None:
    space.managed(rollout=QUICKLY, rotation={"every": "90d"})
    space.run(_fails_with("auth=2"))
    space.rotate()
    space.stalled("RolledBack")

    space.age(days=400)

    eventually(lambda: bool(space.status().get("overdue")), "it is overdue")
    assert (space.revision(), space.status()["revision"]) == ("1", 1)


def test_only_who_uses_what_changed_goes_back(space: Space) -> None:
    space.managed(
        password(), bytes_(), rollout={**QUICKLY, "maxConcurrent": 3}, rotation={"only": ["password"]}
    )
    space.run(_fails_with("auth=2", pod=env("auth", "password")))
    space.run(deployment("token", env("auth", "token")))
    space.run(deployment("web", env("auth", "password")))

    space.rotate()

    space.stalled("RolledBack")
    eventually(lambda: space.marker("api") is None, "api is back")
    assert space.marker("token") is None
    assert space.marker("web") in {"auth=1", None}, "it may have had no pod left from before"


def test_hold_leaves_everything_as_it_is(space: Space) -> None:
    space.managed(rollout={**QUICKLY, "onFailure": "Hold"})
    space.run(_fails_with("auth=2"))

    space.rotate()

    message = space.stalled("RolloutFailed")
    assert "did not become ready with revision 2; no other workload is restarted" in message
    assert (space.revision(), space.marker("api")) == ("2", "auth=2")


def test_what_was_held_continues_with_a_new_trigger(space: Space) -> None:
    space.managed(rollout={**QUICKLY, "onFailure": "Hold"})
    space.run(_fails_with("auth=2"))
    space.rotate()
    space.stalled("RolloutFailed")

    space.rotate()

    space.settled(revision=3)
    assert space.marker("api") == "auth=3"


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


def test_the_same_text_takes_it_back_once(space: Space) -> None:
    space.managed()
    space.rotated()
    space.annotate("ManagedSecret", "auth", rollback="1")
    space.until_condition("Rotating", "False", "Held")

    space.rotate()
    space.settled(revision=3)
    space.looked_at()
    assert space.revision() == "3"

    space.annotate("ManagedSecret", "auth", rollback="1/again")
    space.until_revision("1")


@pytest.mark.parametrize("asked", ["7", "latest", "-1"])
def test_what_is_not_kept_is_refused_with_what_is(asked: str, space: Space) -> None:
    space.managed()
    space.rotated()

    space.annotate("ManagedSecret", "auth", rollback=asked)

    assert space.stalled("NoSuchRevision").endswith("; write one of 1")
    space.rotate()
    space.settled(revision=3)


def test_as_many_revisions_are_kept_as_the_spec_says(space: Space) -> None:
    space.managed(rotation={"revisionHistoryLimit": 1})
    space.rotated()
    space.rotated()

    space.annotate("ManagedSecret", "auth", rollback="1")

    assert space.stalled("NoSuchRevision").endswith("; write one of 2")
