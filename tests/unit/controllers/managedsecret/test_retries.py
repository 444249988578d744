"""When a ManagedSecret is reconciled again after a pass."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keyturn.controllers.managedsecret.generate import GeneratedValues
from keyturn.controllers.managedsecret.pull import PullMemory
from keyturn.controllers.managedsecret.retries import Failures, RestartBackoff, next_time, report_time
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import being_made, being_read
from keyturn.core.rotation.steps import Rest
from keyturn.core.status.status import Outcome
from tests.unit.core.builders import NOW, minutes, observed, seconds, workload

KEY = ObjectKey("shop", "db")
WAIT = Wait("ProviderError", "", seconds(5))


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 5), (1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (2000, 300)]
)
def test_the_pause_doubles_up_to_five_minutes(failures: int, pause: int) -> None:
    count = Failures()
    for _ in range(failures):
        count.record(KEY)
    assert count.backoff(KEY, WAIT.after) == seconds(pause)


def test_a_success_ends_the_back_off() -> None:
    count = Failures()
    count.record(KEY)
    count.record(KEY)
    assert (count.attempts(KEY), count.backoff(KEY, seconds(5))) == (2, seconds(10))
    count.forget(KEY)
    assert (count.attempts(KEY), count.backoff(KEY, seconds(5))) == (0, seconds(5))


@pytest.mark.parametrize(
    ("until", "error", "due"),
    [
        (None, None, None),
        (NOW + minutes(9), None, NOW + minutes(9)),
        (None, WAIT, NOW + seconds(5)),
        (NOW + minutes(9), WAIT, NOW + seconds(5)),
        (NOW + seconds(2), WAIT, NOW + seconds(2)),
        (None, Stalled("InvalidSpec", ""), NOW + minutes(1)),
        (None, Stalled("RolloutFailed", "", NOW + seconds(15)), NOW + seconds(15)),
        (None, Stalled("RolloutFailed", "", NOW + minutes(5)), NOW + minutes(1)),
    ],
    ids=[
        "nothing is due",
        "a schedule",
        "a failure",
        "a failure first",
        "a schedule first",
        "stalled",
        "stalled with a retry before",
        "stalled with a retry later",
    ],
)
def test_the_next_pass_is_due_at_the_first_of_schedule_and_retry(
    until: object, error: Wait | Stalled | None, due: object
) -> None:
    outcome = Outcome(Rest(until), error)  # type: ignore[arg-type]  # a time or None
    assert next_time(KEY, outcome, Failures(), NOW) == due


@pytest.mark.parametrize(
    ("began", "due"),
    [
        (timedelta(0), seconds(1)),
        (seconds(0.9), seconds(0.1)),
        (seconds(1), None),
        (seconds(-1), None),
    ],
    ids=["at once", "within the second", "after it", "a clock that was set back"],
)
def test_an_awaited_read_is_reported_after_a_second(began: timedelta, due: timedelta | None) -> None:
    pulls = PullMemory()
    record = pulls.record(KEY)
    record.reading_since = NOW - began
    awaited = Outcome(None, being_read())
    assert report_time(KEY, awaited, GeneratedValues(), pulls, NOW) is None, "no read is in progress"
    record.reading = object()  # type: ignore[assignment]  # a read in progress
    assert report_time(KEY, awaited, GeneratedValues(), pulls, NOW) == (NOW + due if due else None)
    assert report_time(KEY, Outcome(None, being_made()), GeneratedValues(), pulls, NOW) is None
    assert report_time(KEY, Outcome(None, WAIT), GeneratedValues(), pulls, NOW) is None


def test_a_rejected_restart_is_news_until_its_reason_changes() -> None:
    look, restarts = observed(), RestartBackoff()
    assert look.desired
    given = KEY, Wait("Forbidden", "", seconds(5)), workload(), look, look.desired
    assert restarts.deny(*given)
    assert not restarts.deny(*given)
    assert restarts.deny(KEY, Wait("AdmissionDenied", "", seconds(5)), workload(), look, look.desired)
    assert [one.times for one in restarts.denials(KEY).values()] == [3]
