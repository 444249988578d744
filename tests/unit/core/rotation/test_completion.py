"""When the pods of a namespace are read: when something is asserted about all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.holders import Holders
from keyturn.core.rotation.completion import is_complete, needs_holders
from keyturn.core.rotation.rollout import standings
from tests.unit.core import builders as make
from tests.unit.core.rotation.test_leases import OLD, at_rest

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed

DONE: dict[str, Any] = {"revision": 2, "secretName": "db"}
ROTATED = make.state(make.revision(2, "Scheduled"), make.revision(1, made=make.BEFORE))
ENTRY = {
    "revision": 2,
    "reason": "Scheduled",
    "startedAt": make.MADE,
    "finishedAt": make.NOW,
    "result": "Succeeded",
}
LEAK = Emergency("leak", make.UID, make.NOW, evict=True)
ROLLING = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW - make.minutes(1))


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
            id="an emergency evicts before",
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
def test_pods_are_needed_when_something_is_asserted(observed: Observed, expected: bool) -> None:  # noqa: FBT001
    assert needs_holders(observed, make.wanted(observed)) is expected


def test_a_rollout_is_complete_when_no_workload_and_no_other_pod_is_behind() -> None:
    done = make.observed(state=ROTATED, target=make.target(2), status=DONE)
    held = replace(done, holders=Holders((make.holding(),)))
    rolling = replace(done, consumers=(ROLLING,))

    complete = [
        is_complete(one, make.wanted(one), standings(one, make.wanted(one))) for one in (done, held, rolling)
    ]

    assert complete == [True, False, False]
