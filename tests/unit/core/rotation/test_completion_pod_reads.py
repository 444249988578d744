"""Which pods are read: of a workload during its rollout, and all others if something is asserted about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.api.workloads import WorkloadState
from keyturn.core.observation.emergency import Emergency
from keyturn.core.rotation.completion import depends_on_pods, needs_holders, restarts_in_question
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, consumer, minutes
from tests.unit.core.rotation.test_rollout_obstacles import crashing, look, rolling, standing
from tests.unit.core.rotation.test_store_steps_leases import OLD, at_rest

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Consumer, Managed

DONE: dict[str, Any] = {"revision": 2, "secretName": "db"}
ROTATED = make.state(make.revision(2, "Scheduled"), make.revision(1, made=make.BEFORE))
ENTRY = {
    "revision": 2,
    "reason": "Scheduled",
    "startedAt": make.MADE,
    "finishedAt": make.NOW,
    "result": "Succeeded",
}
LEAK = Emergency("leak", make.UID, make.NOW)
ROLLING = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW - make.minutes(1))


@cases(
    ("one", "reads"),
    case("it rolls", rolling(None), True),
    case("an earlier rollout is not over", consumer(marker="db=1", settled=False), True),
    case("it has failed", rolling([crashing()]), True),
    case("it is to be restarted", consumer(marker="db=1"), False),
    case("it is paused", consumer(marker="db=1", settled=False, paused=True), False),
    case("it refuses", consumer(marker="db=1", settled=False, restart="never"), False),
)
def test_pods_are_read_at_intervals_while_a_rollout_is_waited_for(one: Consumer, *, reads: bool) -> None:
    found = standing(one)
    assert (found.is_read_at_intervals, depends_on_pods(found, look(one))) == (reads, False)


@cases(("now", "depends"), case("in time", NOW, False), case("late", NOW + minutes(11), True))
def test_whether_old_pods_hold_the_places_of_new_ones_is_read_when_it_is_late(
    now: datetime, *, depends: bool
) -> None:
    one = rolling(None, in_place=True)
    assert depends_on_pods(standing(one, now=now), look(one, now=now)) is depends


@cases(
    ("one", "asked"),
    case("to be restarted now", consumer(marker="db=1"), True),
    case("that refuses", consumer(marker="db=1", restart="never"), True),
    case("with an earlier rollout", consumer(marker="db=1", settled=False), True),
    case("that rolls", rolling(None), False),
    case("that is current", consumer(marker="db=2"), False),
)
def test_others_may_have_restarted_a_workload(one: Consumer, *, asked: bool) -> None:
    assert restarts_in_question(look(one)) == (one,) * asked


def test_a_workload_that_breaks_after_its_rollout_is_not_looked_at() -> None:
    row = {"kind": "Deployment", "name": "api", "state": "Current", "revision": 2}
    status = {"revision": 2, "secretName": "db", "workloads": [row], "history": [ENTRY]}
    one = rolling([crashing()])
    at = look(one, status=status)
    found = standing(one, status=status)
    assert found.state is WorkloadState.CURRENT
    assert (found.is_read_at_intervals, depends_on_pods(found, at)) == (False, False)


@cases(
    ("observed", "expected"),
    case("a first revision has no earlier values", make.observed(), False),
    case(
        "an unpublished revision asserts nothing", make.observed(state=ROTATED, target=make.target(1)), False
    ),
    case(
        "a rollout is waited for first",
        make.observed(None, ROLLING, state=ROTATED, target=make.target(2), status=DONE),
        False,
    ),
    case(
        "an emergency names their owners before",
        make.observed(None, ROLLING, state=ROTATED, target=make.target(2), status=DONE, emergencies=(LEAK,)),
        True,
    ),
    case(
        "an emergency at rest",
        make.observed(
            None,
            ROLLING,
            state=ROTATED,
            target=make.target(2),
            status={**DONE, "history": [ENTRY]},
            emergencies=(LEAK,),
        ),
        False,
    ),
    case("the end of a rotation", make.observed(state=ROTATED, target=make.target(2), status=DONE), True),
    case(
        "at rest",
        make.observed(state=ROTATED, target=make.target(2), status={**DONE, "history": [ENTRY]}),
        False,
    ),
    case(
        "a lease that is to be revoked",
        at_rest(OLD, status={**DONE, "history": [{**ENTRY, "reason": "Refreshed"}]}),
        True,
    ),
)
def test_pods_are_needed_when_something_is_asserted(observed: Managed, expected: bool) -> None:
    assert needs_holders(observed) is expected
