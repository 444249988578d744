"""Which pods are read: of a workload during its rollout, and all others if something is asserted about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.workloads import WorkloadState
from keyturn.core.observation.emergency import Emergency
from keyturn.core.rotation.completion import depends_on_pods, needs_holders, restarts_in_question
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


@pytest.mark.parametrize(
    ("one", "reads"),
    [
        pytest.param(rolling(None), True, id="it rolls"),
        pytest.param(consumer(marker="db=1", settled=False), True, id="an earlier rollout is not over"),
        pytest.param(rolling([crashing()]), True, id="it has failed"),
        pytest.param(consumer(marker="db=1"), False, id="it is to be restarted"),
        pytest.param(consumer(marker="db=1", settled=False, paused=True), False, id="it is paused"),
        pytest.param(consumer(marker="db=1", settled=False, restart="never"), False, id="it refuses"),
    ],
)
def test_pods_are_read_at_intervals_while_a_rollout_is_waited_for(one: Consumer, *, reads: bool) -> None:
    found = standing(one)
    assert (found.is_read_at_intervals, depends_on_pods(found, look(one))) == (reads, False)


@pytest.mark.parametrize(
    ("now", "depends"),
    [pytest.param(NOW, False, id="in time"), pytest.param(NOW + minutes(11), True, id="late")],
)
def test_whether_old_pods_hold_the_places_of_new_ones_is_read_when_it_is_late(
    now: datetime, *, depends: bool
) -> None:
    one = rolling(None, in_place=True)
    assert depends_on_pods(standing(one, now=now), look(one, now=now)) is depends


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        pytest.param(consumer(marker="db=1"), True, id="to be restarted now"),
        pytest.param(consumer(marker="db=1", restart="never"), True, id="that refuses"),
        pytest.param(consumer(marker="db=1", settled=False), True, id="with an earlier rollout"),
        pytest.param(rolling(None), False, id="that rolls"),
        pytest.param(consumer(marker="db=2"), False, id="that is current"),
    ],
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


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(make.observed(), False, id="a first revision has no earlier values"),
        pytest.param(
            make.observed(state=ROTATED, target=make.target(1)),
            False,
            id="an unpublished revision asserts nothing",
        ),
        pytest.param(
            make.observed(None, ROLLING, state=ROTATED, target=make.target(2), status=DONE),
            False,
            id="a rollout is waited for first",
        ),
        pytest.param(
            make.observed(
                None, ROLLING, state=ROTATED, target=make.target(2), status=DONE, emergencies=(LEAK,)
            ),
            True,
            id="an emergency names their owners before",
        ),
        pytest.param(
            make.observed(
                None,
                ROLLING,
                state=ROTATED,
                target=make.target(2),
                status={**DONE, "history": [ENTRY]},
                emergencies=(LEAK,),
            ),
            False,
            id="an emergency at rest",
        ),
        pytest.param(
            make.observed(state=ROTATED, target=make.target(2), status=DONE), True, id="the end of a rotation"
        ),
        pytest.param(
            make.observed(state=ROTATED, target=make.target(2), status={**DONE, "history": [ENTRY]}),
            False,
            id="at rest",
        ),
        pytest.param(
            at_rest(OLD, status={**DONE, "history": [{**ENTRY, "reason": "Refreshed"}]}),
            True,
            id="a lease that is to be revoked",
        ),
    ],
)
def test_pods_are_needed_when_something_is_asserted(observed: Managed, expected: bool) -> None:
    assert needs_holders(observed) is expected
