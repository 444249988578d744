"""Values with a schedule of their own: what rotates together, and which dates a new revision records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.rotation.schedule_dates import recorded_due
from keyturn.core.rotation.triggers import due_on_request, next_time, reason_for_revision
from keyturn.core.state.records import Validity
from keyturn.core.status.status import Outcome, status_of
from tests.unit.core.builders import NOW, observed, state

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed

DAY = timedelta(days=1)


def look(
    dates: dict[str, timedelta], rotations: dict[str, Any], rotation: dict[str, Any], **more: Any
) -> Observed:
    """Return an observation; `dates` are the ages of values with their own rotation, `shared` of the others."""
    data = [
        {"name": name, "generate": {"password": {}}, **({"rotation": own} if own else {})}
        for name, own in rotations.items()
    ]
    shared = NOW - dates.pop("shared", timedelta(0))
    facts = state(rotated=shared, keys={name: {"value": name} for name in rotations})
    own = {name: NOW - age for name, age in dates.items()}
    facts = replace(facts, revisions=(replace(facts.current, dates=own), *facts.revisions[1:]), **more)
    return observed({"data": data, "rotation": {"jitter": "0%", **rotation}}, state=facts)


def fresh(found: Observed) -> set[str]:
    assert found.desired
    reason = reason_for_revision(found, found.desired)
    return set(reason.fresh) if reason else set()


@pytest.mark.parametrize(
    ("ages", "gather", "rotates"),
    [
        pytest.param((89, 179), None, set(), id="none is due"),
        pytest.param((90, 100), None, {"a"}, id="one is due"),
        pytest.param((90, 179), None, {"a", "b"}, id="the other is due within a day"),
        pytest.param((90, 178), None, {"a"}, id="the other is due in two days"),
        pytest.param((90, 178), "2d", {"a", "b"}, id="two days are gathered"),
        pytest.param((90, 180), "0s", {"a", "b"}, id="both are due"),
        pytest.param((90, 179), "0s", {"a"}, id="nothing is gathered"),
    ],
)
def test_what_is_due_soon_rotates_with_what_is_due(
    ages: tuple[int, int], gather: str | None, rotates: set[str]
) -> None:
    dates = {"a": ages[0] * DAY, "b": ages[1] * DAY}
    own = {"a": {"every": "90d"}, "b": {"every": "180d"}}

    assert fresh(look(dates, own, {"gather": gather} if gather else {})) == rotates


def test_those_of_the_object_stay_together() -> None:
    own: dict[str, Any] = {"a": {"every": "30d"}, "b": None, "c": None}

    assert fresh(look({"a": DAY, "shared": 90 * DAY}, own, {"every": "90d"})) == {"b", "c"}


def test_a_certificate_that_ends_takes_along_what_is_due_soon() -> None:
    found = look(
        {"a": 90 * DAY - timedelta(hours=1), "b": DAY}, {"a": {"every": "90d"}, "b": {"every": "180d"}}, {}
    )
    assert fresh(found) == set()
    assert found.state

    ends = replace(found.state, lives={"b": Validity(NOW, NOW + DAY)})
    assert fresh(replace(found, state=ends)) == {"a", "b"}


def test_one_value_waits_for_a_request_and_the_other_rotates() -> None:
    own = {"a": {"every": "90d", "appliedBy": "Nobody"}, "b": {"every": "180d"}}
    found = look({"a": 91 * DAY, "b": 100 * DAY}, own, {})

    assert fresh(found) == set()
    assert due_on_request(found) == next_time(found) == NOW - DAY
    assert status_of(found, Outcome(None)).rotates_on_request
    assert fresh(look({"a": 91 * DAY, "b": 180 * DAY}, own, {})) == {"b"}
    assert not status_of(look({"a": DAY, "b": 100 * DAY}, own, {}), Outcome(None)).rotates_on_request


def test_the_status_has_no_values_with_one_schedule() -> None:
    found = look({}, {"a": None, "b": None}, {"every": "90d"})

    assert status_of(found, Outcome(None)).values is None


def test_the_recorded_schedules_say_what_is_due_without_the_spec() -> None:
    found = look({"a": 40 * DAY, "shared": 80 * DAY}, {"a": {"every": "30d"}, "b": None}, {"every": "90d"})
    status = status_of(found, Outcome(None))
    assert status.schedule
    assert status.schedule.text == "every 90d, jitter 0%; a: every 30d, jitter 0%"

    managed = found.managed.model_copy(update={"status": status})
    assert recorded_due(managed, NOW - 80 * DAY, NOW, {"a": NOW - 40 * DAY}) == NOW - 10 * DAY
    assert recorded_due(managed, NOW - 80 * DAY, NOW, {"a": NOW}) == NOW + 10 * DAY
    unread = replace(found, managed=managed, desired=None)
    assert status_of(unread, Outcome(None)).values == status.values
