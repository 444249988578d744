"""Whose restart the API server refuses: it is tried again later, others go on, and in the end it has failed."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import WorkloadKey
from keyturn.core.observation.observed import Consumer, Denial, Managed
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.rollout import Turn, WorkloadProgress, progress_of_workloads
from keyturn.core.rotation.rollout_obstacles import denied_again
from keyturn.core.rotation.steps import Rest, RollOut
from tests.unit.core.builders import (
    NOW,
    PUBLISHED,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    state,
    target,
    workload,
)

NO = "the API server forbids the request to patch Deployment/api"
ERROR = Wait("Forbidden", NO, seconds(15))
API = workload("api").key
PENDING, FAILED = WorkloadState.PENDING, WorkloadState.FAILED
TWO: dict[str, Any] = {"state": state(revision(2, "Triggered"), revision()), "target": target(2)}
HOLD: dict[str, Any] = {"rollout": {"onFailure": "Hold"}}


A_MINUTE_AGO, SOON = NOW - minutes(1), NOW + seconds(30)


def denial(since: datetime = A_MINUTE_AGO, again: datetime = SOON, number: int = 2, times: int = 2) -> Denial:
    return Denial(number, since, Attempts(ERROR, again, times))


def look(
    *consumers: Consumer,
    spec: dict[str, Any] | None = None,
    denials: dict[WorkloadKey, Denial] | None = None,
    **changed: Any,
) -> Managed:
    status = {"revision": 2, "secretName": "db"}
    return observed(spec, *consumers, denials=denials, **{"status": status, **TWO, **changed})


def of_api(at: Managed) -> WorkloadProgress:
    return progress_of_workloads(at)[0]


def row(state: str, reason: str | None = "Forbidden", name: str = "api") -> dict[str, Any]:
    one = {"kind": "Deployment", "name": name, "state": state, "reason": reason, "message": "in other words"}
    return {"revision": 2, "workloads": [one]}


# What is remembered


@pytest.mark.parametrize(
    ("before", "since", "pause", "times"),
    [
        pytest.param(None, NOW, 2, 1, id="for the first time"),
        pytest.param(denial(times=1), NOW - minutes(1), 4, 2, id="for the second"),
        pytest.param(denial(times=40), NOW - minutes(1), 300, 41, id="for a long time"),
        pytest.param(denial(number=1), NOW, 2, 1, id="before that for another revision"),
    ],
)
def test_each_refusal_makes_the_next_try_later(
    before: Denial | None, since: datetime, pause: int, times: int
) -> None:
    at = look(consumer("api"))
    found = denied_again(before, ERROR, workload("api"), at)
    assert found == Denial(2, since, Attempts(ERROR, NOW + seconds(pause), times))


# What is said and done


@pytest.mark.parametrize(
    ("known", "state", "turn"),
    [
        pytest.param(denial(), PENDING, Turn.HINDERED, id="refused a moment ago"),
        pytest.param(denial(again=NOW), PENDING, Turn.NEXT, id="to be tried again"),
        pytest.param(
            denial(since=NOW - minutes(10)), FAILED, Turn.HINDERED, id="for as long as the deadline"
        ),
        pytest.param(
            denial(since=NOW - minutes(10) + seconds(1)), PENDING, Turn.HINDERED, id="a second less than that"
        ),
        pytest.param(
            denial(since=NOW - minutes(10), again=NOW), FAILED, Turn.NEXT, id="late, to be tried again"
        ),
    ],
)
def test_a_refused_restart_counts_as_failed_after_the_deadline(
    known: Denial, state: WorkloadState, turn: Turn
) -> None:
    found = of_api(look(consumer("api"), denials={API: known}))
    assert (found.state, found.turn, found.reason, found.denied) == (state, turn, "Forbidden", True)


def test_a_refusal_of_an_earlier_revision_is_over() -> None:
    found = of_api(look(consumer("api"), denials={API: denial(number=1)}))
    assert (found.turn, found.reason) == (Turn.NEXT, "WaitingForTurn")


def test_the_others_are_restarted_meanwhile() -> None:
    step = next_step(look(consumer("api"), consumer("web"), denials={API: denial()}))
    assert isinstance(step, RollOut)
    assert step.consumer.workload.key.name == "web"


def test_a_later_wave_waits_for_it() -> None:
    waves = {"rollout": {"targets": [{"kind": "Deployment", "name": "web", "wave": 1}]}}
    at = look(consumer("api"), consumer("web"), spec=waves, denials={API: denial()})
    assert next_step(at) == Rest(NOW + seconds(30))


@pytest.mark.parametrize(
    ("known", "until"),
    [
        pytest.param(denial(), NOW + seconds(30), id="the next try"),
        pytest.param(denial(since=NOW - minutes(9.9)), NOW + seconds(6), id="the deadline, if it is earlier"),
    ],
)
def test_it_is_looked_at_when_something_is_due(known: Denial, until: datetime) -> None:
    assert next_step(look(consumer("api"), denials={API: known})) == Rest(until)


def test_what_failed_by_refusals_goes_back_as_the_spec_says() -> None:
    at = look(consumer("api"), denials={API: denial(since=NOW - minutes(10))})
    assert next_step(at) == GoBack(1, 2, failed=True)


def test_what_is_held_is_tried_again_and_no_other_is() -> None:
    late = denial(since=NOW - minutes(10), again=NOW)
    at = look(consumer("api"), consumer("web"), spec=HOLD, denials={API: late})
    step = next_step(at)
    assert isinstance(step, RollOut)
    assert step.consumer.workload.key == API
    waits = look(consumer("api"), consumer("web"), spec=HOLD, denials={API: denial(since=NOW - minutes(10))})
    with pytest.raises(Stalled, match="did not become ready"):
        next_step(waits)


def test_where_another_one_broke_it_is_not_tried_again() -> None:
    broken = consumer("web", marker="db=2", settled=False, failed=True)
    late = denial(since=NOW - minutes(10), again=NOW)
    with pytest.raises(Stalled, match="did not become ready"):
        next_step(look(consumer("api"), broken, spec=HOLD, denials={API: late}))


# What an earlier process has told


@pytest.mark.parametrize(
    ("status", "spec", "state"),
    [
        pytest.param(row("Pending"), None, PENDING, id="it waits"),
        pytest.param(row("Failed"), HOLD, FAILED, id="it failed, and nothing follows from that"),
        pytest.param(row("Failed"), None, PENDING, id="it failed, and an earlier revision would come back"),
    ],
)
def test_a_new_process_says_the_same_until_it_has_tried(
    status: dict[str, Any], spec: dict[str, Any] | None, state: WorkloadState
) -> None:
    found = of_api(look(consumer("api"), spec=spec, status=status))
    assert (found.state, found.turn, found.reason, found.denied) == (state, Turn.NEXT, "Forbidden", True)
    assert found.message == "in other words"


@pytest.mark.parametrize("reason", ["Forbidden", "Refused", "NotFound"])
def test_each_refusal_is_reported_again_with_its_reason(reason: str) -> None:
    found = of_api(look(consumer("api"), status=row("Pending", reason)))
    assert (found.reason, found.denied) == (reason, True)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"revision": 2}, id="nothing"),
        pytest.param(row("Pending", "WaitingForTurn"), id="something else"),
        pytest.param(row("Pending", "OfALaterVersion"), id="a reason that this version does not know"),
        pytest.param(row("Pending", None), id="no reason"),
        pytest.param(row("Pending", name="web"), id="of another workload"),
        pytest.param(row("Failed") | {"revision": 1}, id="of another revision"),
    ],
)
def test_what_was_not_reported_of_it_is_not_believed(status: dict[str, Any]) -> None:
    found = of_api(look(consumer("api"), spec=HOLD, status=status))
    assert (found.state, found.reason, found.denied) == (PENDING, "WaitingForTurn", False)


@pytest.mark.parametrize(
    ("published", "since"),
    [
        pytest.param(PUBLISHED, PUBLISHED, id="it could have failed by now"),
        pytest.param(NOW - minutes(9), NOW, id="it could not have"),
        pytest.param(None, NOW, id="nobody knows when it was published"),
    ],
)
def test_who_was_reported_as_failed_has_failed_if_it_is_refused_once_more(
    published: datetime | None, since: datetime
) -> None:
    at = look(consumer("api"), spec=HOLD, status=row("Failed"), target=target(2, published=published))
    assert denied_again(None, ERROR, workload("api"), at).since == since


def test_a_deadline_of_an_hour_is_an_hour() -> None:
    spec = {"rollout": {"progressDeadline": "1h"}}
    known = denial(since=NOW - timedelta(minutes=59))
    assert of_api(look(consumer("api"), spec=spec, denials={API: known})).state is PENDING
