"""When pods crash again and again by the fault of a revision, and what is said of a pod that does not run."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.status import WorkloadState
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.labels import ROTATE
from keyturn.core.observation.observed import Denial
from keyturn.core.observation.workload import NOT_READY, Trouble
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.rollout import Turn, WorkloadProgress, next_restarts, progress_of_workloads
from keyturn.core.rotation.rollout_obstacles import denied_again, reported_rejection, trouble_of, worst_of
from keyturn.core.rotation.steps import DeletePod, Rest, RollOut
from keyturn.core.state.state import RollbackPause
from tests.unit.core.builders import (
    NOW,
    PUBLISHED,
    consumer,
    minutes,
    observed,
    pod,
    revision,
    seconds,
    state,
    target,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.workload import Pod


ROLLING, FAILED, PENDING = WorkloadState.ROLLING, WorkloadState.FAILED, WorkloadState.PENDING
CRASH = Trouble("CrashLoopBackOff", "main", 1)
MESSAGE = "its new pods crash: pod api-0: container main: CrashLoopBackOff, exit code 1"
OLD = pod("old", marker="db=1")
BAD_OLD = pod("old", marker="db=1", ready=False)
AT_TWO: dict[str, Any] = {"state": state(revision(2, "Triggered"), revision()), "target": target(2)}
HOLD = {"rollout": {"onFailure": "Hold"}}


def crashing(name: str = "api-0", times: int = 3, **more: Any) -> Pod:
    facts: dict[str, Any] = {"ready": False, "restarts": times, "crashes": times, "trouble": CRASH} | more
    return pod(name, **facts)


def rolling(pods: Iterable[Pod] | None, **more: Any) -> Consumer:
    since: dict[str, Any] = {"marker": "db=2", "settled": False, "restarted": NOW - seconds(30)}
    return consumer(pods=pods, **since | more)


def look(one: Consumer, spec: dict[str, Any] | None = None, **changed: Any) -> Observed:
    return observed(spec, one, **AT_TWO | changed)


def standing(one: Consumer, spec: dict[str, Any] | None = None, **changed: Any) -> WorkloadProgress:
    at = look(one, spec, **changed)
    assert at.desired
    (only,) = progress_of_workloads(at)
    return only


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param([crashing(), OLD], FAILED, id="a new one crashes, an old one is ready"),
        pytest.param([crashing()], FAILED, id="there is no old one, as with Recreate"),
        pytest.param([crashing(times=2), OLD], ROLLING, id="it was restarted twice"),
        pytest.param([crashing(), BAD_OLD], ROLLING, id="no old one is ready: it is not the revision"),
        pytest.param([crashing(), BAD_OLD, pod("older", marker="")], FAILED, id="one old one is ready"),
        pytest.param([crashing(), pod("new"), OLD], ROLLING, id="another new one is ready"),
        pytest.param(
            [crashing(), pod("new", restarts=3), OLD], FAILED, id="another one is ready until its next crash"
        ),
        pytest.param([crashing(marker="db=1")], ROLLING, id="it is an old one that crashes"),
        pytest.param([crashing(leaves=NOW), OLD], ROLLING, id="it ends already"),
        pytest.param(
            [crashing(), pod("old", marker="db=1", ready=False, leaves=NOW)], FAILED, id="old ones end"
        ),
        pytest.param([OLD], ROLLING, id="there is no new one"),
        pytest.param([], ROLLING, id="there is none"),
        pytest.param(None, ROLLING, id="they were not read yet"),
    ],
)
def test_a_workload_fails_early_where_new_pods_crash_and_old_ones_do_not(
    pods: list[Pod] | None, expected: WorkloadState
) -> None:
    assert standing(rolling(pods)).state is expected


def test_the_pod_and_its_reason_are_named() -> None:
    one = rolling(
        [crashing("api-1"), crashing(), crashing("api-2", trouble=Trouble("Error", "main", 2)), OLD]
    )
    found = standing(one)
    assert (found.state, found.turn, found.reason, found.message) == (
        FAILED,
        Turn.HINDERED,
        "CrashLoop",
        MESSAGE,
    )


@pytest.mark.parametrize(
    ("fail_fast", "times", "expected"),
    [
        pytest.param({"restarts": 5}, 4, ROLLING, id="fewer than written"),
        pytest.param({"restarts": 5}, 5, FAILED, id="as many as written"),
        pytest.param({"when": "Crashing"}, 3, FAILED, id="three where none are written"),
        pytest.param({"when": "Never"}, 99, ROLLING, id="never"),
    ],
)
def test_the_spec_says_how_often_is_too_often(
    fail_fast: dict[str, Any], times: int, expected: WorkloadState
) -> None:
    one = rolling([crashing(times=times), OLD])
    assert standing(one, {"rollout": {"failFast": fail_fast}}).state is expected


def test_a_rollout_that_waits_for_a_person_fails_early_too() -> None:
    assert standing(rolling([crashing(), OLD], hint="a partition")).state is FAILED


# A failure that is known


def said(reason: str | None = "CrashLoop", state: str = "Failed", number: int = 2) -> dict[str, Any]:
    row = {"kind": "Deployment", "name": "api", "state": state, "revision": number}
    return {
        "revision": 2,
        "secretName": "db",
        "workloads": [row | {"reason": reason, "message": "in other words"}],
    }


BETWEEN_CRASHES = pod(restarts=5)


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        pytest.param(said(), HOLD, FAILED, id="held: it has failed until it is through"),
        pytest.param(said(), None, ROLLING, id="a return would follow from what the status says"),
        pytest.param(said(number=1), HOLD, ROLLING, id="of another revision"),
        pytest.param(said(state="Rolling"), HOLD, ROLLING, id="it had not failed"),
        pytest.param(said("ProgressDeadlineExceeded"), HOLD, ROLLING, id="for another reason"),
        pytest.param(said(None), HOLD, ROLLING, id="for no reason"),
        pytest.param({"revision": 2, "secretName": "db"}, HOLD, ROLLING, id="nothing is known"),
    ],
)
def test_a_pod_that_is_ready_between_two_crashes_has_not_recovered(
    status: dict[str, Any], spec: dict[str, Any] | None, expected: WorkloadState
) -> None:
    found = standing(rolling([BETWEEN_CRASHES, OLD]), spec, status=status)
    assert found.state is expected
    assert found.message == ("in other words" if expected is FAILED else None)


def test_what_was_held_has_recovered_with_a_pod_that_was_never_restarted() -> None:
    found = standing(rolling([pod(), OLD]), HOLD, status=said())
    assert found.state is ROLLING


# Before another restart


def test_pods_that_crash_with_a_revision_are_not_waited_for() -> None:
    three = state(revision(3, "Triggered", fallback=1), revision(2, "Triggered"), revision())
    changed: dict[str, Any] = {"state": three, "target": target(3, published=PUBLISHED)}
    assert standing(rolling([crashing(), OLD]), **changed).turn is Turn.NEXT
    assert standing(rolling([crashing(times=2), OLD]), **changed).turn is Turn.HINDERED


def test_no_workload_follows_pods_that_crash() -> None:
    other = consumer("web", marker="db=1")
    at = observed({"rollout": {"maxConcurrent": 9}}, rolling([crashing(), OLD]), other, **AT_TWO)
    assert at.desired
    assert next_restarts(at, at.desired) == ()


# What is said

NO_IMAGE = Trouble("ImagePullBackOff", "main", None, "example.org/app:1")
MILD = Trouble(NOT_READY, "main")


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        pytest.param(CRASH, "container main: CrashLoopBackOff, exit code 1", id="a crash"),
        pytest.param(NO_IMAGE, "container main: ImagePullBackOff, image example.org/app:1", id="an image"),
        pytest.param(Trouble("Unschedulable"), "Unschedulable", id="a pod without a node"),
        pytest.param(
            Trouble("Error", "init", 0), "container init: Error, exit code 0", id="an exit code of 0"
        ),
    ],
)
def test_a_trouble_is_reported_in_reasons(trouble: Trouble, text: str) -> None:
    assert str(trouble) == text
    one = rolling([pod(ready=False, trouble=trouble)])
    assert standing(one).message == f"pod api-0: {text}"


def test_what_every_pod_passes_through_is_reported_only_when_it_is_too_late() -> None:
    one = rolling([pod(ready=False, trouble=MILD)])
    late = standing(one, now=NOW + seconds(600))

    assert (trouble_of(one), worst_of(one)) == (None, "pod api-0: container main: NotReady")
    assert standing(one).message is None
    assert late.message == ("its pods did not become available in time; pod api-0: container main: NotReady")


def test_everything_that_is_known_is_reported() -> None:
    one = rolling([pod(ready=False, trouble=NO_IMAGE)], hint="a partition", complaint="a quota")
    assert standing(one).message == f"a partition; a quota; pod api-0: {NO_IMAGE}"


def test_a_pod_that_is_ready_or_ends_is_in_no_trouble() -> None:
    assert (
        trouble_of(rolling([pod(trouble=NO_IMAGE), pod("b", ready=False, leaves=NOW, trouble=NO_IMAGE)]))
        is None
    )


def test_an_earlier_rollout_that_hangs_is_reported_with_its_pod() -> None:
    one = rolling([pod(marker="db=1", ready=False, trouble=NO_IMAGE)], marker="db=1")
    found = standing(one)
    assert (found.state, found.message) == (
        PENDING,
        f"waits for its current rollout to complete; pod api-0: {NO_IMAGE}",
    )


def test_no_workload_is_rolled_back_twice() -> None:
    held = RollbackPause(2, 1, NOW, failed=True)
    back = state(revision(2, "Triggered"), revision(), current=1, rollback_pause=held)
    at = look(rolling([crashing(marker="db=1")], marker="db=1"), state=back, target=target(1))
    assert at.desired
    (found,) = progress_of_workloads(at)
    assert found.state is FAILED


# Whose restart the API server refuses: it is tried again later, others go on, and in the end it has failed


NO = "the API server forbids the request to patch Deployment/api"
ERROR = Wait("Forbidden", NO, seconds(15))
API = workload("api").key
WAITS, HAS_FAILED = WorkloadState.PENDING, WorkloadState.FAILED
TWO: dict[str, Any] = {"state": state(revision(2, "Triggered"), revision()), "target": target(2)}
HOLDING: dict[str, Any] = {"rollout": {"onFailure": "Hold"}}


A_MINUTE_AGO, SOON = NOW - minutes(1), NOW + seconds(30)


def denial(since: datetime = A_MINUTE_AGO, again: datetime = SOON, number: int = 2, times: int = 2) -> Denial:
    return Denial(number, since, Attempts(ERROR, again, times))


def rejecting(
    *consumers: Consumer,
    spec: dict[str, Any] | None = None,
    denials: dict[WorkloadKey, Denial] | None = None,
    **changed: Any,
) -> Observed:
    status = {"revision": 2, "secretName": "db"}
    return observed(spec, *consumers, denials=denials, **{"status": status, **TWO, **changed})


def of_api(at: Observed) -> WorkloadProgress:
    assert at.desired
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
    at = rejecting(consumer("api"))
    assert at.desired
    found = denied_again(before, ERROR, workload("api"), at, at.desired)
    assert found == Denial(2, since, Attempts(ERROR, NOW + seconds(pause), times))


# What is said and done


@pytest.mark.parametrize(
    ("known", "state", "turn"),
    [
        pytest.param(denial(), WAITS, Turn.HINDERED, id="refused a moment ago"),
        pytest.param(denial(again=NOW), WAITS, Turn.NEXT, id="to be tried again"),
        pytest.param(
            denial(since=NOW - minutes(10)), HAS_FAILED, Turn.HINDERED, id="for as long as the deadline"
        ),
        pytest.param(
            denial(since=NOW - minutes(10) + seconds(1)), WAITS, Turn.HINDERED, id="a second less than that"
        ),
        pytest.param(
            denial(since=NOW - minutes(10), again=NOW), HAS_FAILED, Turn.NEXT, id="late, to be tried again"
        ),
    ],
)
def test_a_refused_restart_counts_as_failed_after_the_deadline(
    known: Denial, state: WorkloadState, turn: Turn
) -> None:
    found = of_api(rejecting(consumer("api"), denials={API: known}))
    assert (found.state, found.turn, found.reason, found.denied) == (state, turn, "Forbidden", True)


def test_a_refusal_of_an_earlier_revision_is_over() -> None:
    found = of_api(rejecting(consumer("api"), denials={API: denial(number=1)}))
    assert (found.turn, found.reason) == (Turn.NEXT, "WaitingForTurn")


def test_the_others_are_restarted_meanwhile() -> None:
    step = next_step(rejecting(consumer("api"), consumer("web"), denials={API: denial()}))
    assert isinstance(step, RollOut)
    assert step.consumer.workload.key.name == "web"


def test_a_later_wave_waits_for_it() -> None:
    waves = {"rollout": {"targets": [{"kind": "Deployment", "name": "web", "wave": 1}]}}
    at = rejecting(consumer("api"), consumer("web"), spec=waves, denials={API: denial()})
    assert next_step(at) == Rest(NOW + seconds(30))


@pytest.mark.parametrize(
    ("known", "until"),
    [
        pytest.param(denial(), NOW + seconds(30), id="the next try"),
        pytest.param(denial(since=NOW - minutes(9.9)), NOW + seconds(6), id="the deadline, if it is earlier"),
    ],
)
def test_it_is_looked_at_when_something_is_due(known: Denial, until: datetime) -> None:
    assert next_step(rejecting(consumer("api"), denials={API: known})) == Rest(until)


def test_what_failed_by_refusals_goes_back_as_the_spec_says() -> None:
    at = rejecting(consumer("api"), denials={API: denial(since=NOW - minutes(10))})
    assert next_step(at) == GoBack(1, 2, failed=True)


def test_what_is_held_is_tried_again_and_no_other_is() -> None:
    late = denial(since=NOW - minutes(10), again=NOW)
    at = rejecting(consumer("api"), consumer("web"), spec=HOLDING, denials={API: late})
    step = next_step(at)
    assert isinstance(step, RollOut)
    assert step.consumer.workload.key == API
    waits = rejecting(
        consumer("api"), consumer("web"), spec=HOLDING, denials={API: denial(since=NOW - minutes(10))}
    )
    with pytest.raises(Stalled, match="did not become ready"):
        next_step(waits)


def test_where_another_one_broke_it_is_not_tried_again() -> None:
    broken = consumer("web", marker="db=2", settled=False, failed=True)
    late = denial(since=NOW - minutes(10), again=NOW)
    with pytest.raises(Stalled, match="did not become ready"):
        next_step(rejecting(consumer("api"), broken, spec=HOLDING, denials={API: late}))


# What an earlier process has told


@pytest.mark.parametrize(
    ("status", "spec", "state"),
    [
        pytest.param(row("Pending"), None, WAITS, id="it waits"),
        pytest.param(row("Failed"), HOLDING, HAS_FAILED, id="it failed, and nothing follows from that"),
        pytest.param(row("Failed"), None, WAITS, id="it failed, and an earlier revision would come back"),
    ],
)
def test_a_new_process_says_the_same_until_it_has_tried(
    status: dict[str, Any], spec: dict[str, Any] | None, state: WorkloadState
) -> None:
    found = of_api(rejecting(consumer("api"), spec=spec, status=status))
    assert (found.state, found.turn, found.reason, found.denied) == (state, Turn.NEXT, "Forbidden", True)
    assert found.message == "in other words"


@pytest.mark.parametrize("reason", ["Forbidden", "Refused", "NotFound"])
def test_each_refusal_is_reported_again_with_its_reason(reason: str) -> None:
    found = of_api(rejecting(consumer("api"), status=row("Pending", reason)))
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
    found = of_api(rejecting(consumer("api"), spec=HOLDING, status=status))
    assert (found.state, found.reason, found.denied) == (WAITS, "WaitingForTurn", False)


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
    at = rejecting(consumer("api"), spec=HOLDING, status=row("Failed"), target=target(2, published=published))
    assert at.desired
    assert denied_again(None, ERROR, workload("api"), at, at.desired).since == since


def test_without_a_revision_nothing_was_reported() -> None:
    at = rejecting(consumer("api"), state=None, target=None, status=row("Failed"))
    assert at.desired
    assert reported_rejection(workload("api"), at, at.desired) is None
    assert denied_again(None, ERROR, workload("api"), at, at.desired).number == 0


def test_a_deadline_of_an_hour_is_an_hour() -> None:
    spec = {"rollout": {"progressDeadline": "1h"}}
    known = denial(since=NOW - timedelta(minutes=59))
    assert of_api(rejecting(consumer("api"), spec=spec, denials={API: known})).state is WAITS


# Which pod is deleted so that its StatefulSet goes back, which is only named, and which is left alone


HELD = RollbackPause(2, 1, NOW - seconds(30), failed=True)
BACK: dict[str, Any] = {
    "state": state(revision(2, "Triggered"), revision(), current=1, rollback_pause=HELD),
    "target": target(1),
}
STUCK = pod("web-1", owner="uid-of-web", template="withdrawn", ready=False, never_ready=True)
TOLD = (
    "StatefulSet/web does not replace pod web-1, which is not ready and of a template that was rolled back;"
    " run: kubectl delete pod web-1 -n shop"
)


def stateful(*pods: Pod, deletable: bool = True, **more: Any) -> Consumer:
    facts: dict[str, Any] = {
        "kind": "StatefulSet",
        "marker": "db=1",
        "settled": False,
        "restarted": NOW - seconds(20),
        "templates": ("before", "before"),
    }
    return consumer("web", pods=pods, deletable=deletable, **facts | more)


def look_after(one: Consumer, **changed: Any) -> Observed:
    return observed(None, one, **BACK | changed)


def test_a_pod_that_was_never_ready_with_what_was_taken_back_is_deleted() -> None:
    one = stateful(pod("web-0", owner="uid-of-web", template="before", marker="db=1"), STUCK)
    assert next_step(look_after(one)) == DeletePod(one, STUCK, 2)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(stateful(replace(STUCK, template="before")), id="of a template that is current"),
        pytest.param(stateful(replace(STUCK, template="")), id="of no known template"),
        pytest.param(stateful(STUCK, templates=()), id="whose StatefulSet has not seen the template yet"),
        pytest.param(stateful(STUCK, templates=("before", "withdrawn")), id="of the template of the update"),
        pytest.param(stateful(replace(STUCK, controller=None)), id="of another controller"),
        pytest.param(stateful(replace(STUCK, ready=True)), id="that is ready"),
        pytest.param(stateful(replace(STUCK, never_ready=False)), id="that may have been ready"),
        pytest.param(stateful(replace(STUCK, leaves=NOW)), id="that ends already"),
        pytest.param(stateful(replace(STUCK, marker="db=1")), id="with the revision that came back"),
        pytest.param(stateful(replace(STUCK, marker="")), id="with no revision"),
        pytest.param(stateful(replace(STUCK, marker="other=2")), id="with that number of another Secret"),
        pytest.param(stateful(STUCK, marker="db=2"), id="that its template asks for"),
        pytest.param(stateful(STUCK, deletable=False), id="without the right"),
        pytest.param(replace(stateful(STUCK), pods=None), id="that was not read"),
    ],
)
def test_no_other_pod_is_deleted(one: Consumer) -> None:
    assert not isinstance(next_step(look_after(one)), DeletePod)


def test_none_is_deleted_where_nothing_is_taken_back() -> None:
    two: dict[str, Any] = {
        "state": state(revision(3, "Triggered"), revision(2), revision()),
        "target": target(3),
    }
    assert not isinstance(next_step(look_after(stateful(STUCK, marker="db=3"), **two)), DeletePod)


def test_none_is_deleted_once_a_person_asks_for_something_else() -> None:
    assert not isinstance(next_step(look_after(stateful(STUCK), annotations={ROTATE: "again"})), DeletePod)


@pytest.mark.parametrize(("again", "expected"), [(NOW + seconds(1), Rest), (NOW, DeletePod)])
def test_one_whose_deletion_was_refused_is_tried_later(again: Any, expected: type) -> None:
    one = stateful(STUCK)
    denial = Denial(1, NOW, Attempts(Wait("Forbidden", "the API server forbids it", seconds(2)), again))
    assert isinstance(next_step(look_after(one, denials={one.workload.key: denial})), expected)


def test_it_is_deleted_also_after_the_deadline() -> None:
    one = stateful(STUCK)
    assert next_step(look_after(one, now=NOW + minutes(11))) == DeletePod(one, STUCK, 2)


# What is said


def told(at: Observed) -> str | None:
    assert at.desired
    return progress_of_workloads(at)[0].message


def test_a_pod_that_may_not_be_deleted_is_named_with_the_command() -> None:
    at = look_after(stateful(STUCK, deletable=False))
    assert told(at) == TOLD
    assert next_step(at) == Rest(NOW + minutes(1))


def test_when_it_has_failed_the_command_is_the_help() -> None:
    at = look_after(stateful(STUCK, deletable=False), now=NOW + minutes(11))
    assert told(at) == f"its pods did not become available in time; {TOLD}"
    with pytest.raises(Stalled) as stalled:
        next_step(at)
    assert stalled.value.reason == "RolloutFailed"
    assert stalled.value.message.endswith(f"no other workload is restarted; {TOLD}")


def test_it_is_named_as_well_when_another_rotation_waits_for_it() -> None:
    three = state(revision(3, "Triggered", fallback=1), revision(2), revision())
    at = look_after(stateful(STUCK), state=three, target=target(3))
    assert told(at) == f"waits for its current rollout to complete; {TOLD}"
