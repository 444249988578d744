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
from tests.support.cases import case, cases
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


@cases(
    ("before", "since", "pause", "times"),
    case("for the first time", None, NOW, 2, 1),
    case("for the second", denial(times=1), NOW - minutes(1), 4, 2),
    case("for a long time", denial(times=40), NOW - minutes(1), 300, 41),
    case("before that for another revision", denial(number=1), NOW, 2, 1),
)
def test_each_refusal_makes_the_next_try_later(
    before: Denial | None, since: datetime, pause: int, times: int
) -> None:
    at = look(consumer("api"))
    found = denied_again(before, ERROR, workload("api"), at)
    assert found == Denial(2, since, Attempts(ERROR, NOW + seconds(pause), times))


# What is said and done


@cases(
    ("known", "state", "turn"),
    case("refused a moment ago", denial(), PENDING, Turn.HINDERED),
    case("to be tried again", denial(again=NOW), PENDING, Turn.NEXT),
    case("for as long as the deadline", denial(since=NOW - minutes(10)), FAILED, Turn.HINDERED),
    case("a second less than that", denial(since=NOW - minutes(10) + seconds(1)), PENDING, Turn.HINDERED),
    case("late, to be tried again", denial(since=NOW - minutes(10), again=NOW), FAILED, Turn.NEXT),
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


@cases(
    ("known", "until"),
    case("the next try", denial(), NOW + seconds(30)),
    case("the deadline, if it is earlier", denial(since=NOW - minutes(9.9)), NOW + seconds(6)),
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


@cases(
    ("status", "spec", "state"),
    case("it waits", row("Pending"), None, PENDING),
    case("it failed, and nothing follows from that", row("Failed"), HOLD, FAILED),
    case("it failed, and an earlier revision would come back", row("Failed"), None, PENDING),
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


@cases(
    "status",
    case("nothing", {"revision": 2}),
    case("something else", row("Pending", "WaitingForTurn")),
    case("a reason that this version does not know", row("Pending", "OfALaterVersion")),
    case("no reason", row("Pending", None)),
    case("of another workload", row("Pending", name="web")),
    case("of another revision", row("Failed") | {"revision": 1}),
)
def test_what_was_not_reported_of_it_is_not_believed(status: dict[str, Any]) -> None:
    found = of_api(look(consumer("api"), spec=HOLD, status=status))
    assert (found.state, found.reason, found.denied) == (PENDING, "WaitingForTurn", False)


@cases(
    ("published", "since"),
    case("it could have failed by now", PUBLISHED, PUBLISHED),
    case("it could not have", NOW - minutes(9), NOW),
    case("nobody knows when it was published", None, NOW),
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
