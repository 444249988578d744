"""Which pod is deleted so that its StatefulSet goes back, which is only named, and which is left alone."""

from dataclasses import replace
from typing import Any

import pytest

from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.labels import ROTATE
from keyturn.core.observation.observed import Consumer, Denial, Managed
from keyturn.core.observation.workload import Pod
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollout import progress_of_workloads
from keyturn.core.rotation.steps import DeletePod, Rest
from keyturn.core.state.state import RollbackPause
from tests.support.cases import case, cases
from tests.unit.core.builders import NOW, consumer, minutes, observed, pod, revision, seconds, state, target

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


def look(one: Consumer, **changed: Any) -> Managed:
    return observed(None, one, **BACK | changed)


def test_a_pod_that_was_never_ready_with_what_was_taken_back_is_deleted() -> None:
    one = stateful(pod("web-0", owner="uid-of-web", template="before", marker="db=1"), STUCK)
    assert next_step(look(one)) == DeletePod(one, STUCK, 2)


@cases(
    "one",
    case("of a template that is current", stateful(replace(STUCK, template="before"))),
    case("of no known template", stateful(replace(STUCK, template=""))),
    case("whose StatefulSet has not seen the template yet", stateful(STUCK, templates=())),
    case("of the template of the update", stateful(STUCK, templates=("before", "withdrawn"))),
    case("of another controller", stateful(replace(STUCK, controller=None))),
    case("that is ready", stateful(replace(STUCK, ready=True))),
    case("that may have been ready", stateful(replace(STUCK, never_ready=False))),
    case("that ends already", stateful(replace(STUCK, leaves=NOW))),
    case("with the revision that came back", stateful(replace(STUCK, marker="db=1"))),
    case("with no revision", stateful(replace(STUCK, marker=""))),
    case("with that number of another Secret", stateful(replace(STUCK, marker="other=2"))),
    case("that its template asks for", stateful(STUCK, marker="db=2")),
    case("without the right", stateful(STUCK, deletable=False)),
    case("that was not read", replace(stateful(STUCK), pods=None)),
)
def test_no_other_pod_is_deleted(one: Consumer) -> None:
    assert not isinstance(next_step(look(one)), DeletePod)


def test_none_is_deleted_where_nothing_is_taken_back() -> None:
    two: dict[str, Any] = {
        "state": state(revision(3, "Triggered"), revision(2), revision()),
        "target": target(3),
    }
    assert not isinstance(next_step(look(stateful(STUCK, marker="db=3"), **two)), DeletePod)


def test_none_is_deleted_once_a_person_asks_for_something_else() -> None:
    assert not isinstance(next_step(look(stateful(STUCK), annotations={ROTATE: "again"})), DeletePod)


@pytest.mark.parametrize(("again", "expected"), [(NOW + seconds(1), Rest), (NOW, DeletePod)])
def test_one_whose_deletion_was_refused_is_tried_later(again: Any, expected: type) -> None:
    one = stateful(STUCK)
    denial = Denial(1, NOW, Attempts(Wait("Forbidden", "the API server forbids it", seconds(2)), again))
    assert isinstance(next_step(look(one, denials={one.workload.key: denial})), expected)


def test_it_is_deleted_also_after_the_deadline() -> None:
    one = stateful(STUCK)
    assert next_step(look(one, now=NOW + minutes(11))) == DeletePod(one, STUCK, 2)


# What is said


def told(at: Managed) -> str | None:
    return progress_of_workloads(at)[0].message


def test_a_pod_that_may_not_be_deleted_is_named_with_the_command() -> None:
    at = look(stateful(STUCK, deletable=False))
    assert told(at) == TOLD
    assert next_step(at) == Rest(NOW + minutes(1))


def test_when_it_has_failed_the_command_is_the_help() -> None:
    at = look(stateful(STUCK, deletable=False), now=NOW + minutes(11))
    assert told(at) == f"its pods did not become available in time; {TOLD}"
    with pytest.raises(Stalled) as stalled:
        next_step(at)
    assert stalled.value.reason == "RolloutFailed"
    assert stalled.value.message.endswith(f"no other workload is restarted; {TOLD}")


def test_it_is_named_as_well_when_another_rotation_waits_for_it() -> None:
    three = state(revision(3, "Triggered", fallback=1), revision(2), revision())
    at = look(stateful(STUCK), state=three, target=target(3))
    assert told(at) == f"waits for its current rollout to complete; {TOLD}"
