"""A workload that reads changed files without a restart: what it counts as, and from when on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.emergency import AffectedState
from keyturn.api.workloads import Via, WorkloadState
from keyturn.core.emergency.progress import affected
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollout import progress_of_workloads
from keyturn.core.rotation.steps import Rest, RollOut
from keyturn.core.status.status import Outcome, status_of
from tests.support.cases import case, cases
from tests.unit.core import builders as make

SYNC = make.minutes(2)
FILES = (make.use("db", via=(Via.VOLUME, Via.PROJECTED)),)


def consumer(**facts: Any) -> Consumer:
    """Make a consumer of files that reads them again."""
    found = make.consumer("api", **{"uses": FILES, **facts})
    return replace(found, workload=replace(found.workload, reload="wait"))


def rotated(*consumers: Consumer, ago: timedelta = SYNC, spec: dict[str, Any] | None = None) -> Managed:
    published = make.NOW - ago
    made = make.state(make.revision(2, "Scheduled", made=published), make.revision(1, made=make.BEFORE))
    return make.observed(
        spec,
        *consumers,
        state=made,
        target=make.target(2, published=published),
        status={"revision": 2, "secretName": "db"},
        holders=PodsSeen(),
    )


def state_of(observed: Managed) -> tuple[WorkloadState, str | None]:
    (found,) = progress_of_workloads(observed)
    return found.state, found.reason


@pytest.mark.parametrize("text", ["wait", "Wait"])
def test_the_annotation_counts_in_any_case(text: str) -> None:
    found = consumer()
    one = replace(found, workload=replace(found.workload, reload=text))
    assert state_of(rotated(one)) == (WorkloadState.RELOADED, "Reloaded")


@cases(
    ("ago", "expected"),
    case("within the sync", SYNC - make.seconds(1), (WorkloadState.PENDING, "Reloading")),
    case("after the sync", SYNC, (WorkloadState.RELOADED, "Reloaded")),
)
def test_it_counts_as_reloaded_after_the_sync_of_the_kubelet(
    ago: timedelta, expected: tuple[WorkloadState, str]
) -> None:
    assert state_of(rotated(consumer(), ago=ago)) == expected


def test_before_the_publication_no_time_is_promised() -> None:
    observed = rotated(consumer())
    unpublished = replace(observed, target=make.target(1))
    (standing,) = progress_of_workloads(unpublished)
    assert (standing.state, standing.reason) == (WorkloadState.PENDING, "Reloading")
    assert standing.message == "waits until the Secret has the revision"


def test_the_reconcile_wakes_at_the_end_of_the_sync() -> None:
    assert next_step(rotated(consumer(), ago=make.minutes(1))) == Rest(make.NOW + make.minutes(1))


@cases(
    "spec",
    case("by default", {"rollout": {"debounce": "0s"}}),
    case("without restarts", {"rollout": {"restart": "None"}}),
)
def test_it_is_not_restarted_and_nothing_waits_for_it(spec: dict[str, Any]) -> None:
    observed = rotated(consumer(), spec=spec)
    status = status_of(observed, Outcome(Rest(None)))

    assert isinstance(next_step(observed), Rest)
    assert state_of(observed) == (WorkloadState.RELOADED, "Reloaded")
    assert {one.type: one.status for one in status.conditions}["WorkloadsCurrent"] == "True"
    assert [entry.revision for entry in status.history] == [2]


@cases(
    "uses",
    case("the environment", (make.use("db", via=(Via.ENV_FROM,)),)),
    case("files and the environment", (make.use("db", via=(Via.VOLUME, Via.ENV)),)),
)
def test_an_environment_needs_a_restart(uses: Any) -> None:
    step = next_step(rotated(consumer(uses=uses), spec={"rollout": {"debounce": "0s"}}))

    assert isinstance(step, RollOut)


def test_another_word_of_the_annotation_has_no_effect() -> None:
    found = consumer()
    other = replace(found, workload=replace(found.workload, reload="soon"))

    assert isinstance(next_step(rotated(other, spec={"rollout": {"debounce": "0s"}})), RollOut)


def test_a_listed_workload_that_does_not_use_the_secret_does_not_reload_it() -> None:
    found = replace(consumer(), use=None)

    assert state_of(rotated(found, spec={"rollout": {"restart": "None"}}))[1] == "RestartDisabled"


def test_an_emergency_says_that_a_reload_is_not_proven() -> None:
    emergency = Emergency("leak", make.UID, make.NOW - make.minutes(10))
    served = make.state(
        make.revision(2, "Emergency", made=make.NOW - SYNC), make.revision(1, made=make.BEFORE)
    )
    found = affected(emergency, replace(rotated(consumer()), state=served, emergencies=(emergency,)), None)

    assert found.state is AffectedState.RELOAD_UNPROVEN
    assert not found.state.is_done
    assert found.message == (
        "Deployment/api is reloaded: reads its files again by keyturn.dev/reload: wait; whether it has done so is not"
        " proven; remove that annotation, and Keyturn restarts it"
    )
