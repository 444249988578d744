"""When pods crash again and again by the fault of a revision, and what is said of a pod that does not run."""

from collections.abc import Iterable
from typing import Any

from keyturn.api.workloads import WorkloadState
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.observation.workload import NOT_READY, Pod, Trouble
from keyturn.core.rotation.rollout import Turn, WorkloadProgress, next_restarts, progress_of_workloads
from keyturn.core.rotation.rollout_obstacles import trouble_of, worst_of
from keyturn.core.state.state import RollbackPause
from tests.support.cases import case, cases
from tests.unit.core.builders import NOW, PUBLISHED, consumer, observed, pod, revision, seconds, state, target

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


def look(one: Consumer, spec: dict[str, Any] | None = None, **changed: Any) -> Managed:
    return observed(spec, one, **AT_TWO | changed)


def standing(one: Consumer, spec: dict[str, Any] | None = None, **changed: Any) -> WorkloadProgress:
    at = look(one, spec, **changed)
    (only,) = progress_of_workloads(at)
    return only


@cases(
    ("pods", "expected"),
    case("a new one crashes, an old one is ready", [crashing(), OLD], FAILED),
    case("there is no old one, as with Recreate", [crashing()], FAILED),
    case("it was restarted twice", [crashing(times=2), OLD], ROLLING),
    case("no old one is ready: it is not the revision", [crashing(), BAD_OLD], ROLLING),
    case("one old one is ready", [crashing(), BAD_OLD, pod("older", marker="")], FAILED),
    case("another new one is ready", [crashing(), pod("new"), OLD], ROLLING),
    case("another one is ready until its next crash", [crashing(), pod("new", restarts=3), OLD], FAILED),
    case("it is an old one that crashes", [crashing(marker="db=1")], ROLLING),
    case("it ends already", [crashing(leaves=NOW), OLD], ROLLING),
    case("old ones end", [crashing(), pod("old", marker="db=1", ready=False, leaves=NOW)], FAILED),
    case("there is no new one", [OLD], ROLLING),
    case("there is none", [], ROLLING),
    case("they were not read yet", None, ROLLING),
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


@cases(
    ("fail_fast", "times", "expected"),
    case("fewer than written", {"restarts": 5}, 4, ROLLING),
    case("as many as written", {"restarts": 5}, 5, FAILED),
    case("three where none are written", {"when": "Crashing"}, 3, FAILED),
    case("never", {"when": "Never"}, 99, ROLLING),
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


@cases(
    ("status", "spec", "expected"),
    case("held: it has failed until it is through", said(), HOLD, FAILED),
    case("a return would follow from what the status says", said(), None, ROLLING),
    case("of another revision", said(number=1), HOLD, ROLLING),
    case("it had not failed", said(state="Rolling"), HOLD, ROLLING),
    case("for another reason", said("ProgressDeadlineExceeded"), HOLD, ROLLING),
    case("for no reason", said(None), HOLD, ROLLING),
    case("nothing is known", {"revision": 2, "secretName": "db"}, HOLD, ROLLING),
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
    assert next_restarts(at) == ()


# What is said

NO_IMAGE = Trouble("ImagePullBackOff", "main", None, "example.org/app:1")
MILD = Trouble(NOT_READY, "main")


@cases(
    ("trouble", "text"),
    case("a crash", CRASH, "container main: CrashLoopBackOff, exit code 1"),
    case("an image", NO_IMAGE, "container main: ImagePullBackOff, image example.org/app:1"),
    case("a pod without a node", Trouble("Unschedulable"), "Unschedulable"),
    case("an exit code of 0", Trouble("Error", "init", 0), "container init: Error, exit code 0"),
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
    (found,) = progress_of_workloads(at)
    assert found.state is FAILED
