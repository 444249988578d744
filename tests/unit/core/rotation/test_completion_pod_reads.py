"""Whose pods are read now and then, while a rollout is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.api.status import WorkloadState
from keyturn.core.rotation.completion import Need, need_of
from tests.unit.core.builders import NOW, consumer, minutes
from tests.unit.core.rotation.test_rollout_obstacles_pod_failures import crashing, look, rolling, standing

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Consumer


@pytest.mark.parametrize(
    ("one", "need"),
    [
        pytest.param(rolling(None), Need.LATER, id="it rolls"),
        pytest.param(consumer(marker="db=1", settled=False), Need.LATER, id="an earlier rollout is not over"),
        pytest.param(rolling([crashing()]), Need.SOON, id="it has failed"),
        pytest.param(consumer(marker="db=1"), None, id="it is to be restarted"),
        pytest.param(consumer(marker="db=1", settled=False, paused=True), None, id="it is paused"),
        pytest.param(consumer(marker="db=1", settled=False, restart="never"), None, id="it refuses"),
    ],
)
def test_pods_are_read_now_and_then_while_a_rollout_is_waited_for(one: Consumer, need: Need | None) -> None:
    at = look(one)
    assert at.desired
    assert need_of(standing(one), at, at.desired) is need


@pytest.mark.parametrize(
    ("now", "need"),
    [pytest.param(NOW, Need.LATER, id="in time"), pytest.param(NOW + minutes(11), Need.NOW, id="late")],
)
def test_whether_old_pods_hold_the_places_of_new_ones_is_read_when_it_is_late(
    now: datetime, need: Need
) -> None:
    one = rolling(None, in_place=True)
    at = look(one, now=now)
    assert at.desired
    assert need_of(standing(one, now=now), at, at.desired) is need


DONE = {"revision": 2, "reason": "Triggered", "startedAt": NOW, "finishedAt": NOW, "result": "Succeeded"}


def test_a_workload_that_breaks_after_its_rollout_is_not_looked_at() -> None:
    row = {"kind": "Deployment", "name": "api", "state": "Current", "revision": 2}
    status = {"revision": 2, "secretName": "db", "workloads": [row], "history": [DONE]}
    one = rolling([crashing()])
    at = look(one, status=status)
    found = standing(one, status=status)
    assert at.desired
    assert found.state is WorkloadState.CURRENT
    assert need_of(found, at, at.desired) is None
