"""Values that nothing applies outside of the Secret: the schedule reports them, and only a request rotates them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.core.labels import ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.triggers import (
    breakage_by_change,
    breakage_of,
    due_on_request,
    due_time,
    is_due_on_request,
    is_overdue,
    next_time,
    reason_for_revision,
    start_time,
)
from keyturn.core.state.records import Validity
from tests.unit.core.builders import MADE, NOW, PASSWORD, desired, observed, secret_class, state

_HOURLY: dict[str, Any] = {"every": "1h", "jitter": "0%"}
_DUE = MADE + timedelta(hours=1)
_LATE = _DUE + timedelta(days=3)


def waiting(**facts: Any) -> Any:
    return observed({"rotation": _HOURLY | {"appliedBy": "Nobody"}}, **facts)


def begun(look: Any) -> str | None:
    reason = reason_for_revision(look, look.desired)
    return reason.name if reason else None


@pytest.mark.parametrize(
    ("applied_by", "reason"),
    [
        pytest.param("Nobody", None, id="applied by nothing"),
        pytest.param("Application", "RotationDue", id="applied by the application"),
        pytest.param(None, "RotationDue", id="used inside of the cluster only"),
    ],
)
def test_the_schedule_rotates_what_is_applied(applied_by: str | None, reason: str | None) -> None:
    look = observed({"rotation": _HOURLY | ({"appliedBy": applied_by} if applied_by else {})}, now=_LATE)

    assert begun(look) == reason
    assert is_overdue(look) == (reason is not None)
    assert is_due_on_request(look) == (reason is None)


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        pytest.param({}, None, id="the class says so"),
        pytest.param({"every": "1h"}, None, id="another interval changes nothing"),
        pytest.param({"appliedBy": "Application"}, "RotationDue", id="the spec has the last word"),
    ],
)
def test_a_class_says_what_its_values_need(own: dict[str, Any], reason: str | None) -> None:
    given = secret_class(rotation=_HOURLY | {"appliedBy": "Nobody"})

    assert begun(observed({"rotation": own}, given=given, now=_LATE)) == reason


def test_a_request_rotates() -> None:
    assert begun(waiting(now=_LATE, annotations={ROTATE: "now"})) == "Triggered"


def test_an_emergency_rotates() -> None:
    declared = Emergency("leak", "uid-1", NOW)

    assert begun(waiting(now=_LATE, emergencies=(declared,))) == "Emergency"


@pytest.mark.parametrize(
    ("now", "is_due"),
    [
        pytest.param(_DUE - timedelta(seconds=1), False, id="one second before"),
        pytest.param(_DUE, True, id="at that second"),
    ],
)
def test_values_are_due_when_the_interval_is_over(now: datetime, is_due: bool) -> None:  # noqa: FBT001
    look = waiting(now=now)

    assert (is_due_on_request(look), due_on_request(look)) == (is_due, _DUE)
    assert (start_time(look), due_time(look), next_time(look)) == (None, None, _DUE)


def test_the_reconcile_wakes_at_the_date_once() -> None:
    before, after = waiting(now=_DUE - timedelta(minutes=1)), waiting(now=_LATE)

    assert next_step(before) == steps.Rest(_DUE)
    assert next_step(after) == steps.Rest(None)


def test_a_value_that_expires_is_renewed_before() -> None:
    ends = Validity(renew=_DUE - timedelta(minutes=5), end=_DUE)

    assert next_time(waiting(state=state(lives={"password": ends}))) == ends.renew


def test_a_requested_rotation_starts_at_the_opening_of_its_window() -> None:
    windowed = _HOURLY | {"appliedBy": "Nobody", "windows": [{"cron": "0 3 * * *", "duration": "1h"}]}
    look = observed({"rotation": windowed}, now=_LATE, annotations={ROTATE: "now"})

    assert next_time(look) == start_time(look)
    assert next_time(look) > _LATE  # type: ignore[operator]  # it is known


def test_without_a_schedule_nothing_is_due() -> None:
    assert next_time(observed({"rotation": {"appliedBy": "Nobody"}})) is None


@pytest.mark.parametrize(
    ("count", "shown"),
    [pytest.param(5, "key4", id="all of five"), pytest.param(6, "and 1 more", id="of six")],
)
def test_what_breaks_is_named(count: int, shown: str) -> None:
    items = [{**PASSWORD, "name": f"key{place}"} for place in range(count)]

    assert shown in breakage_of(desired({"data": items, "rotation": {"appliedBy": "Nobody"}}))


def test_what_a_change_of_the_spec_breaks_is_named() -> None:
    assert breakage_by_change({"b", "a"}) == (
        "this change gives a, b another value in the Secret alone (appliedBy: Nobody): until you apply the new value"
        " where it is used, servers refuse it, and data that the old one encrypted is unreadable"
    )
