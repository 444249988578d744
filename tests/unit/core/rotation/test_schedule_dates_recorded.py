"""When a rotation is due while the spec cannot be followed, or the state is unknown."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.labels import ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.schedule_dates import recorded_due
from keyturn.core.rotation.steps import Rest
from keyturn.core.rotation.triggers import (
    due_on_request,
    is_due_on_request,
    is_overdue,
    next_time,
    overdue_time,
)
from keyturn.core.state.records import Validity
from keyturn.core.state.state import RollbackPause
from keyturn.core.status.status import Outcome, status_of
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, UID, observed, revision, state

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
QUARTERLY: dict[str, Any] = {"every": "90d", "jitter": "0%", "overlap": "0s"}
DUE = MADE + 90 * DAY
NIGHTLY: dict[str, Any] = {"windows": [{"cron": "0 2 * * *", "duration": "1h"}]}
TONIGHT = (NOW + DAY).replace(hour=2)
ASKED = {ROTATE: "leaver"}
WRONG = Stalled("TemplateInvalid", "it cannot be rendered")
RESTS = Outcome(Rest(None))
LACKS = pytest.mark.parametrize("lack", ["spec", "state"])


def told(look: Any) -> dict[str, Any]:
    return status_of(look, RESTS).model_dump(by_alias=True, exclude_none=True)


def blind(before: dict[str, Any], lack: str, now: datetime = NOW, **facts: Any) -> Any:
    """Look without the spec or the state, with the status before."""
    lacks: dict[str, Any] = {"spec_error": WRONG} if lack == "spec" else {"state": None}
    known: dict[str, Any] = {"status": {"nextRotationTime": None} | before, "now": now}
    return observed(**known | facts | lacks)


def later(look: Any, now: datetime) -> Any:
    """Look again after the status was written."""
    return replace(look, now=now, managed=look.managed.model_copy(update={"status": status_of(look, RESTS)}))


@LACKS
@cases("rotation", case("interval", QUARTERLY), case("cron", {"schedule": {"cron": "0 11 22 2 *"}}))
def test_a_suspended_one_is_looked_at_when_its_rotation_becomes_overdue(
    rotation: dict[str, Any], lack: str
) -> None:
    spec = {"rotation": rotation, "suspend": True}
    before = told(observed(spec))

    look = blind(before, lack, spec=spec)
    then = later(look, DUE)

    assert (next_step(look), is_overdue(look), next_time(look)) == (Rest(DUE), False, DUE)
    assert (next_step(then), is_overdue(then), next_time(then)) == (Rest(None), True, DUE)


@LACKS
def test_a_request_that_waits_for_a_window_makes_no_date_of_the_schedule(lack: str) -> None:
    before = told(observed({"rotation": QUARTERLY | NIGHTLY}, annotations=ASKED))
    assert before["nextRotationTime"] == TONIGHT

    look = blind(before, lack, spec={"rotation": QUARTERLY | NIGHTLY}, annotations=ASKED)

    assert (is_overdue(look), next_time(look)) == (False, DUE)
    assert [is_overdue(later(look, now)) for now in (TONIGHT + DAY, DUE - HOUR, DUE)] == [False, False, True]


@LACKS
def test_a_request_without_a_schedule_makes_nothing_overdue(lack: str) -> None:
    spec = {"rotation": NIGHTLY}
    before = told(observed(spec, annotations=ASKED))
    assert before["nextRotationTime"] == TONIGHT

    look = later(blind(before, lack, spec=spec, annotations=ASKED), TONIGHT + DAY)

    assert (is_overdue(look), next_time(look)) == (False, None)


@LACKS
def test_a_window_that_a_due_rotation_waits_for_is_a_date_of_the_schedule(lack: str) -> None:
    spec, opens = {"rotation": QUARTERLY | NIGHTLY}, (DUE + DAY).replace(hour=2)
    before = told(observed(spec, now=DUE + HOUR, status={}))
    assert (before["nextRotationTime"], before["overdue"]) == (opens, False)

    look = blind(before, lack, DUE + HOUR, spec=spec)

    assert (is_overdue(look), next_time(look)) == (False, opens)
    assert is_overdue(later(look, opens))


@LACKS
def test_a_pause_between_emergencies_makes_no_date_of_the_schedule(lack: str) -> None:
    spec = {"rotation": QUARTERLY}
    facts: dict[str, Any] = {
        "state": state(revision(2, "Emergency"), revision()),
        "target": make.target(2),
        "emergencies": (Emergency("inc-2", "uid-2", MADE + make.minutes(1)),),
    }
    before = told(observed(spec, now=MADE + make.minutes(2), **facts))
    assert before["nextRotationTime"] == MADE + make.minutes(5)

    look = later(blind(before, lack, spec=spec, **facts), NOW)

    assert (is_overdue(look), next_time(look)) == (False, DUE)


@LACKS
def test_a_value_that_expires_is_overdue_after_its_renewal(lack: str) -> None:
    lives = {"password": Validity(renew=MADE + 30 * DAY, end=MADE + 60 * DAY)}
    before = told(observed({"rotation": QUARTERLY}, state=state(lives=lives)))
    assert before["nextRotationTime"] == MADE + 30 * DAY

    look = blind(before, lack, spec={"rotation": QUARTERLY}, state=state(lives=lives))

    assert [is_overdue(later(look, MADE + days * DAY)) for days in (29, 30)] == [False, True]


def test_a_lease_is_no_date() -> None:
    lives = {"password": Validity(renew=MADE + HOUR, end=MADE + 2 * HOUR)}
    leased = state(lives=lives, leases_by_item={"password": "a-lease"})

    assert next_time(blind({"revision": 1, "nextRotationTime": NOW}, "spec", state=leased)) is None


def test_a_rotation_that_a_rollback_holds_is_overdue_after_its_date() -> None:
    held = state(
        revision(2), revision(), current=1, rollback_pause=RollbackPause(2, 1, MADE + HOUR, failed=True)
    )
    before = told(observed({"rotation": QUARTERLY}, state=held))
    assert "nextRotationTime" not in before

    assert overdue_time(blind(before, "spec", state=held)) == DUE


@cases(
    ("lack", "rotated", "expected"),
    case("values as old as before", "spec", MADE, True),
    case("newer values", "spec", MADE + 100 * DAY, False),
    case("unknown values", "state", MADE, True),
)
def test_it_is_overdue_until_values_are_newer(lack: str, rotated: datetime, expected: bool) -> None:
    spec, now = {"rotation": QUARTERLY | NIGHTLY}, MADE + 100 * DAY
    before = told(observed(spec, now=now))
    assert (before["overdue"], before["nextRotationTime"] > now) == (True, True)

    look = blind(before, lack, now + HOUR, spec=spec, state=state(rotated=rotated))

    assert is_overdue(look) is expected


def test_overdue_without_a_recorded_schedule_stays() -> None:
    assert is_overdue(blind({"revision": 1, "overdue": True}, "spec"))


@LACKS
def test_values_that_rotate_on_request_are_due_at_the_date_of_the_schedule(lack: str) -> None:
    spec = {"rotation": QUARTERLY | NIGHTLY | {"appliedBy": "Nobody"}, "suspend": True}
    before = told(observed(spec, annotations=ASKED))
    assert before["nextRotationTime"] == TONIGHT

    look = blind(before, lack, spec=spec, annotations=ASKED)
    then = later(look, DUE)

    assert (next_step(look), due_on_request(look), is_due_on_request(look)) == (Rest(None), DUE, False)
    assert (is_overdue(then), is_due_on_request(then)) == (False, True)


def test_of_a_new_one_no_date_is_known() -> None:
    look = blind({}, "spec", state=None, target=None)

    assert (next_time(look), overdue_time(look), is_overdue(look)) == (None, None, False)


# The schedule of the status


def recorded(text: str, rotated: datetime | None = MADE, now: datetime = NOW) -> datetime | None:
    found = make.managed(status={"schedule": {"text": text, "since": MADE}}, uid=UID)
    return recorded_due(found, rotated, now)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("every 90d, jitter 0%", DUE),
        ("every 1d12h, jitter 0%, on request", MADE + 36 * HOUR),
        ("0 2 * * * (UTC)", TONIGHT),
        ("0 2 * * * (Europe/Berlin), on request", TONIGHT - HOUR),
    ],
)
def test_the_recorded_schedule_has_a_date(text: str, due: datetime) -> None:
    assert recorded(text) == due


@pytest.mark.parametrize(
    "text",
    [
        "",
        "every 90d",
        "every d, jitter 0%",
        "every 99999999d, jitter 0%",
        "every 1s, jitter 0%",
        "61 * * * * (UTC)",
        "0 2 30 2 * (UTC)",
        "0 2 * * * (Nowhere)",
        "whenever (UTC)",
    ],
)
def test_another_text_has_none(text: str) -> None:
    assert recorded(text) is None


def test_values_from_the_future_are_as_old_as_the_next_ones() -> None:
    assert recorded("every 90d, jitter 0%", rotated=datetime.max.replace(tzinfo=NOW.tzinfo)) == NOW + 90 * DAY


def test_without_values_nothing_is_due() -> None:
    assert recorded("every 90d, jitter 0%", rotated=None) is None
