"""Reasons for new values: these and no others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Managed, with_facts
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.schedule_dates import recorded_due
from keyturn.core.rotation.steps import Decline, Reason, Rest, Stage
from keyturn.core.rotation.triggers import (
    breakage_by_change,
    breakage_of,
    due_on_request,
    due_time,
    first_reason,
    is_due_on_request,
    is_overdue,
    is_paused,
    next_time,
    reason_for_revision,
    resume_time,
    start_time,
    waits_until,
)
from keyturn.core.state.records import Validity
from keyturn.core.state.state import RollbackPause, StateFacts, Triggers
from keyturn.core.status.status import Outcome, status_of
from tests.unit.core.builders import (
    API_KEY,
    EVERYTHING,
    MADE,
    NOW,
    PASSWORD,
    USERNAME,
    desired,
    observed,
    revision,
    seconds,
    secret_class,
    state,
)

TOKEN = {"name": "token", "generate": {"bytes": {}}}
TWO = {"data": [PASSWORD, TOKEN]}
MIXED = {"data": [PASSWORD, USERNAME]}
HOURLY: dict[str, Any] = {"rotation": {"every": "1h", "jitter": "0%"}}


def reason_of(look: Managed) -> Reason | None:
    return reason_for_revision(look) if look.state else first_reason(look)


def reason(name: str, message: str, *fresh: str, rotates: bool) -> Reason:
    return Reason(name, message, frozenset(fresh), rotates)


def joined(one: Reason, *others: str) -> Reason:
    return replace(one, others=frozenset(others))


FOUND = state(names=("password", "other (found)"))
FOUND = replace(FOUND, keys={"password": {"value": "password"}, "other (found)": {"value": "other"}})
TRIGGERED = reason("Triggered", "a new trigger asks for it", "password", rotates=True)


def test_what_is_as_the_spec_says_is_not_renewed() -> None:
    assert reason_of(observed()) is None


def test_what_was_adopted_beside_the_items_is_no_reason() -> None:
    assert reason_of(observed(state=FOUND)) is None


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        pytest.param(
            observed(MIXED, state=None, target=None, status={}),
            reason(
                "Created", "the Secret is written for the first time", "password", "username", rotates=True
            ),
            id="nothing is there and never was",
        ),
        pytest.param(
            observed(MIXED, state=None, target=None, status={"revision": 4}),
            reason(
                "Lost",
                "the Secret and its state are gone; new values are generated",
                "password",
                "username",
                rotates=True,
            ),
            id="nothing is there any more",
        ),
        pytest.param(
            observed(TWO),
            reason("SpecChanged", "data has new items: token", "token", rotates=False),
            id="an item was added",
        ),
        pytest.param(
            observed(state=state(names=("password", "token", "key"))),
            reason("SpecChanged", "data no longer has: key, token", rotates=False),
            id="items were removed",
        ),
        pytest.param(
            observed({"target": {"otherKeys": "Remove"}}, state=FOUND),
            reason("SpecChanged", "data no longer has: other (found)", rotates=False),
            id="what was adopted beside the items is to go",
        ),
        pytest.param(
            observed(
                {"target": {"template": {"data": {"other": "x"}}}},
                state=replace(FOUND, templates={"other": "x"}),
            ),
            reason("SpecChanged", "data no longer has: other (found)", rotates=False),
            id="a template writes what was adopted",
        ),
        pytest.param(
            observed(mismatched_items=("password",)),
            reason("SpecChanged", "the spec asks for other values: password", "password", rotates=False),
            id="today's recipe cannot have made the value",
        ),
        pytest.param(observed({"rotation": {"trigger": "a"}}), TRIGGERED, id="a trigger in the spec"),
        pytest.param(observed(annotations={ROTATE: "a"}), TRIGGERED, id="a trigger by annotation"),
        pytest.param(
            observed(HOURLY, now=MADE + timedelta(hours=1)),
            reason("RotationDue", "was due at 2026-11-24 12:00 UTC", "password", rotates=True),
            id="the interval is over",
        ),
    ],
)
def test_each_reason_names_itself_and_what_is_generated_again(look: Managed, expected: Reason) -> None:
    assert reason_of(look) == expected


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        pytest.param(
            observed(TWO, annotations={ROTATE: "a"}),
            joined(
                reason("Triggered", "a new trigger asks for it", "password", "token", rotates=True),
                "SpecChanged",
            ),
            id="an added item and a trigger",
        ),
        pytest.param(
            observed(TWO, state=state(names=("password", "old")), mismatched_items=("password",)),
            joined(
                reason("SpecChanged", "data has new items: token", "password", "token", rotates=False),
                "SpecChanged",
            ),
            id="a renamed item and another recipe",
        ),
        pytest.param(
            observed(HOURLY, annotations={ROTATE: "a"}, now=MADE + timedelta(days=9)),
            joined(TRIGGERED, "RotationDue"),
            id="a trigger when due",
        ),
    ],
)
def test_several_reasons_make_one_revision_named_after_the_first_rotation(
    look: Managed, expected: Reason
) -> None:
    assert reason_of(look) == expected


# Triggers


@pytest.mark.parametrize(
    ("spec", "annotation", "handled"),
    [
        pytest.param("a", None, Triggers("a", None, "a"), id="the same text again"),
        pytest.param(None, "a", Triggers(None, "a", "a"), id="the same annotation again"),
        pytest.param(None, None, Triggers("a", "b", "b"), id="both were taken back"),
        pytest.param("a", "b", Triggers("a", "b", "a"), id="both stand and were handled"),
    ],
)
def test_a_handled_trigger_does_nothing(spec: str | None, annotation: str | None, handled: Triggers) -> None:
    assert reason_of(asked(spec, annotation, handled)) is None


@pytest.mark.parametrize(
    ("spec", "annotation", "handled"),
    [
        pytest.param("b", None, Triggers("a", None, "a"), id="another text"),
        pytest.param("a", None, Triggers(None, "a", "a"), id="a text that only the annotation had"),
        pytest.param(None, "a", Triggers("a", None, "a"), id="an annotation that only the spec had"),
        pytest.param("a", "c", Triggers("a", "b", "b"), id="one of two is new"),
    ],
)
def test_a_new_trigger_rotates(spec: str | None, annotation: str | None, handled: Triggers) -> None:
    assert reason_of(asked(spec, annotation, handled)) == TRIGGERED


def asked(spec: str | None, annotation: str | None, handled: Triggers) -> Managed:
    return observed(
        {"rotation": {"trigger": spec}} if spec else {},
        annotations={ROTATE: annotation} if annotation else {},
        state=state(triggers=handled),
    )


def test_a_trigger_that_was_removed_and_comes_again_was_handled_already() -> None:
    first = Triggers().with_handled(Triggers("a", None))
    removed = first.with_handled(Triggers(None, None))
    assert removed == Triggers("a", None, "a")
    assert removed.unhandled(Triggers("a", None)) == ()


def test_the_last_trigger_is_the_new_one_of_two() -> None:
    assert Triggers("a", "b", "a").with_handled(Triggers("a", "c")) == Triggers("a", "c", "c")


@pytest.mark.parametrize("only", [["password"], ["password", "username"]], ids=",".join)
def test_a_trigger_renews_what_rotation_only_names_and_no_literal(only: list[str]) -> None:
    look = observed(
        {"data": [PASSWORD, TOKEN, USERNAME], "rotation": {"trigger": "a", "only": only}},
        state=state(names=("password", "token", "username")),
    )
    assert reason_of(look) == TRIGGERED


# Windows

BY_NIGHT = {"cron": "0 1 * * *", "duration": "2h"}
AT_NOON = {"cron": "0 12 * * *", "duration": "2h"}
NIGHT = datetime(2026, 11, 25, 1, tzinfo=UTC)


def within(*windows: dict[str, str], **rotation: Any) -> dict[str, Any]:
    return {"rotation": {"every": "1h", "jitter": "0%", "windows": list(windows), **rotation}}


@pytest.mark.parametrize(
    ("look", "waits"),
    [
        pytest.param(observed(within(BY_NIGHT)), True, id="what is due, a closed window"),
        pytest.param(observed(within(BY_NIGHT), now=NIGHT), False, id="what is due, as it opens"),
        pytest.param(observed(within(AT_NOON)), False, id="what is due, an open window"),
        pytest.param(observed(within(BY_NIGHT, AT_NOON)), False, id="what is due, one of two is open"),
        pytest.param(observed(within(BY_NIGHT, every="90d", trigger="a")), True, id="a trigger, closed"),
        pytest.param(observed(within(AT_NOON, every="90d", trigger="a")), False, id="a trigger, open"),
        pytest.param(
            observed(within(BY_NIGHT, every="90d"), annotations={ROTATE: "a"}),
            True,
            id="an annotation, closed",
        ),
        pytest.param(
            observed(within(BY_NIGHT, every="90d"), annotations={ROTATE: "a"}, now=NIGHT),
            False,
            id="an annotation, open",
        ),
    ],
)
def test_a_rotation_waits_for_a_window(look: Managed, waits: bool) -> None:
    assert (reason_of(look) is None) == waits
    assert (waits_until(look) is not None) == waits


@pytest.mark.parametrize(
    ("look", "name"),
    [
        pytest.param(
            observed(within(BY_NIGHT), state=None, target=None, status={}), "Created", id="the first"
        ),
        pytest.param(observed(within(BY_NIGHT), state=None, target=None), "Lost", id="what is lost"),
        pytest.param(
            observed(TWO | within(BY_NIGHT, every="90d", trigger="a")),
            "SpecChanged",
            id="a change of the spec",
        ),
    ],
)
def test_what_is_no_rotation_waits_for_no_window(look: Managed, name: str) -> None:
    found = reason_of(look)
    assert found
    assert found.name == name
    assert found.rotates == (name != "SpecChanged"), "the trigger still waits"


@pytest.mark.parametrize(
    ("look", "start"),
    [
        pytest.param(observed(), None, id="nothing is planned"),
        pytest.param(observed(HOURLY), NOW, id="due now"),
        pytest.param(
            observed(within(BY_NIGHT, every="90d")), MADE + timedelta(days=90, hours=14), id="moved"
        ),
        pytest.param(observed(within(BY_NIGHT, every="90d", trigger="a")), NIGHT, id="a trigger before that"),
        pytest.param(
            observed(within(AT_NOON, every="90d", trigger="a")),
            MADE + timedelta(days=90, hours=1),
            id="a trigger that need not wait",
        ),
        pytest.param(
            observed(within(BY_NIGHT), state=state(rollback_pause=RollbackPause(2, 1, NOW, failed=True))),
            None,
            id="held after a failed rollout",
        ),
    ],
)
def test_the_next_rotation_starts_when_it_may(look: Managed, start: datetime | None) -> None:
    assert start_time(look) == start


# What ends by itself


def ending(in_hours: float, **spec: Any) -> Managed:
    """Look at a value that should have been renewed an hour ago."""
    life = Validity(NOW - timedelta(hours=1), NOW + timedelta(hours=in_hours))
    return observed(spec, state=state(lives={"password": life}))


@pytest.mark.parametrize(
    ("look", "start"),
    [
        pytest.param(ending(24), NOW - timedelta(hours=1), id="without windows"),
        pytest.param(ending(24, rotation={"windows": [AT_NOON]}), NOW, id="in an open window"),
        pytest.param(ending(14, rotation={"windows": [BY_NIGHT]}), NIGHT, id="in the next window"),
        pytest.param(
            ending(13, rotation={"windows": [BY_NIGHT]}), NOW - timedelta(hours=1), id="before it would end"
        ),
    ],
)
def test_a_value_that_ends_waits_for_a_window_only_as_long_as_it_lives(
    look: Managed, start: datetime
) -> None:
    assert start_time(look) == start
    assert (reason_of(look) is not None) == (start <= NOW)


@pytest.mark.parametrize(
    ("look", "overdue"),
    [
        pytest.param(observed(), False, id="nothing is planned"),
        pytest.param(observed(HOURLY, state=None, status={}), False, id="there are no values yet"),
        pytest.param(observed(HOURLY, now=NOW - seconds(1)), False, id="not due"),
        pytest.param(observed(HOURLY), True, id="due"),
        pytest.param(observed(within(BY_NIGHT)), False, id="due, and no window was open since"),
        pytest.param(observed(within(BY_NIGHT), now=NIGHT), True, id="due, and a window is open"),
        pytest.param(observed(within(BY_NIGHT), now=NIGHT + timedelta(hours=9)), True, id="due, and one was"),
        pytest.param(ending(24), True, id="about to end"),
        pytest.param(ending(24, rotation={"windows": [BY_NIGHT]}), False, id="about to end, and waits"),
    ],
)
def test_a_rotation_is_overdue_when_it_could_have_started(look: Managed, overdue: bool) -> None:
    assert is_overdue(look) == overdue


HELD_BACK = replace(
    state(revision(2), revision(), current=1), rollback_pause=RollbackPause(2, 1, MADE, failed=False)
)


@pytest.mark.parametrize("now", [NOW - seconds(1), NOW, NOW + seconds(1)], ids=["before", "at", "after"])
@pytest.mark.parametrize(
    ("spec", "known"),
    [pytest.param({}, {"state": HELD_BACK}, id="held"), pytest.param({"suspend": True}, {}, id="suspended")],
)
def test_what_holds_a_rotation_does_not_hold_the_news_that_it_is_overdue(
    spec: dict[str, Any], known: dict[str, Any], now: datetime
) -> None:
    assert next_step(observed({**HOURLY, **spec}, now=now, **known)) == Rest(NOW if now < NOW else None)


# The end of the pause after a rollback

SKIPPED = replace(
    HELD_BACK, rollback_pause=RollbackPause(2, 1, MADE + timedelta(minutes=30), failed=False, lasts=False)
)
LATE = MADE + timedelta(minutes=90)
LATE_BACK = replace(HELD_BACK, rollback_pause=RollbackPause(2, 1, LATE, failed=False, lasts=False))
FIVE_PAST = {"windows": [{"cron": "5 * * * *", "duration": "10m"}]}
IN_A_WINDOW = {"rotation": HOURLY["rotation"] | FIVE_PAST}
NOBODY = {"rotation": HOURLY["rotation"] | {"appliedBy": "Nobody"}}
CERTIFICATE = Validity(NOW - timedelta(minutes=10), NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("spec", "known", "end"),
    [
        pytest.param(HOURLY, SKIPPED, NOW, id="at the next date"),
        pytest.param(HOURLY, LATE_BACK, NOW + timedelta(minutes=90), id="at the date after, if one was over"),
        pytest.param(IN_A_WINDOW, SKIPPED, NOW + timedelta(minutes=5), id="when a window opens"),
        pytest.param(
            HOURLY, replace(SKIPPED, lives={"password": CERTIFICATE}), CERTIFICATE.renew, id="before expiry"
        ),
        pytest.param({}, SKIPPED, None, id="not without a schedule"),
        pytest.param(NOBODY, SKIPPED, None, id="not of values that rotate on request"),
        pytest.param(HOURLY, HELD_BACK, None, id="not if it was to hold"),
        pytest.param(
            {},
            replace(LATE_BACK, lives={"password": CERTIFICATE}),
            LATE + (CERTIFICATE.end - LATE) / 2,
            id="after half of the time that is left, if its renewal was due",
        ),
        pytest.param(
            {},
            replace(LATE_BACK, lives={"password": Validity(MADE, LATE)}),
            None,
            id="not for what expired before the rollback",
        ),
    ],
)
def test_a_rollback_on_request_pauses_rotation_until_the_next_date(
    spec: dict[str, Any], known: StateFacts, end: datetime | None
) -> None:
    def at(now: datetime) -> Managed:
        return observed(spec, now=now, state=known)

    before = (end or NOW + timedelta(days=9)) - seconds(1)
    assert (resume_time(at(before)), start_time(at(before))) == (end, end)
    assert (is_paused(at(before)), reason_of(at(before))) == (True, None)
    if end:
        assert not is_paused(at(end))
        assert reason_of(at(end)) is not None


def test_a_date_before_the_rollback_is_not_overdue_during_the_pause() -> None:
    end = NOW + timedelta(minutes=90)
    assert not is_overdue(observed(HOURLY, now=end - seconds(1), state=LATE_BACK))
    assert is_overdue(observed(HOURLY, now=end, state=LATE_BACK))


# Due times


@pytest.mark.parametrize(
    ("now", "is_due"),
    [
        pytest.param(MADE + timedelta(minutes=59, seconds=59), False, id="one second before"),
        pytest.param(MADE + timedelta(hours=1), True, id="at that second"),
        pytest.param(MADE + timedelta(days=400), True, id="after many due dates that nobody saw"),
    ],
)
def test_a_rotation_is_due_when_the_interval_is_over(now: datetime, is_due: bool) -> None:
    assert (reason_of(observed(HOURLY, now=now)) is not None) == is_due


def test_down_past_several_due_dates_is_one_rotation() -> None:
    late = MADE + timedelta(days=400)
    done = observed(HOURLY, now=late + seconds(5), state=state(revision(2, made=late), rotated=late))
    assert reason_of(done) is None
    assert due_time(done) == late + timedelta(hours=1)


def test_a_change_of_the_spec_does_not_put_the_next_rotation_off() -> None:
    changed = revision(2, "SpecChanged", made=NOW)
    assert due_time(observed(HOURLY, state=state(changed, revision(), rotated=MADE))) == MADE + timedelta(
        hours=1
    )


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(observed(), id="no cadence"),
        pytest.param(
            observed(HOURLY | {"data": [USERNAME]}, state=state(names=("username",))), id="only literals"
        ),
    ],
)
def test_what_never_rotates_is_never_due(look: Managed) -> None:
    assert due_time(look) is None


def test_the_class_says_when_where_the_spec_does_not() -> None:
    yearly = secret_class(rotation={"every": "365d", "jitter": "0%"})
    assert due_time(observed(given=yearly)) == MADE + timedelta(days=365)
    assert due_time(observed(HOURLY, given=yearly)) == MADE + timedelta(hours=1)


# Values with a schedule of their own: what rotates together, and which dates a new revision records


DAY = timedelta(days=1)


def look(
    dates: dict[str, timedelta], rotations: dict[str, Any], rotation: dict[str, Any], **more: Any
) -> Managed:
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


def fresh(found: Managed) -> set[str]:
    reason = reason_for_revision(found)
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
    unread = with_facts(found, managed=managed, desired=None)
    assert status_of(unread, Outcome(None)).values == status.values


# Values that nothing applies outside of the Secret: the schedule reports them, and only a request rotates them


_HOURLY: dict[str, Any] = {"every": "1h", "jitter": "0%"}
_DUE = MADE + timedelta(hours=1)
_LATE = _DUE + timedelta(days=3)


def waiting(**facts: Any) -> Any:
    return observed({"rotation": _HOURLY | {"appliedBy": "Nobody"}}, **facts)


def begun(look: Any) -> str | None:
    reason = reason_for_revision(look)
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
def test_values_are_due_when_the_interval_is_over(now: datetime, is_due: bool) -> None:
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


# A rotation that is asked for where no value is made: recorded, told, and no revision of it


PULLED: dict[str, Any] = {"data": [API_KEY]}
REGISTRY = {"name": "docker", "generate": {"dockerConfig": {"passwordFrom": {"name": "api-key"}}}}
ASKED = {ROTATE: "now"}
HANDLED = state(triggers=Triggers(annotation="now", last="now"), names=("api-key",))


def looked(spec: dict[str, Any], **others: Any) -> Managed:
    names = [item["name"] for item in spec.get("data", ())]
    return observed(spec, **{"annotations": ASKED, "state": state(names=names), **others})


@pytest.mark.parametrize(
    ("spec", "nothing"),
    [
        pytest.param(PULLED, True, id="pulled"),
        pytest.param({"data": [], "dataFrom": [EVERYTHING]}, True, id="pulled whole"),
        pytest.param({"data": [USERNAME]}, True, id="given"),
        pytest.param({"data": [API_KEY, USERNAME]}, True, id="pulled and given"),
        pytest.param({"data": [API_KEY, PASSWORD]}, False, id="pulled and made"),
        pytest.param({"data": [API_KEY, REGISTRY]}, True, id="pulled, and that in another form"),
        pytest.param(
            {"data": [API_KEY], "target": {"immutable": True}}, False, id="immutable says so itself"
        ),
    ],
)
def test_what_turns_nothing(spec: dict[str, Any], nothing: bool) -> None:
    assert desired(spec).rotates_nothing is nothing


def test_where_nothing_is_made_a_request_is_declined() -> None:
    assert next_step(looked(PULLED)) == Decline()
    assert isinstance(next_step(looked(PULLED, state=HANDLED)), Rest)


def test_where_something_is_made_it_is_followed() -> None:
    assert isinstance(next_step(looked({"data": [API_KEY, PASSWORD]})), Stage)


def test_it_gives_up_what_came_back_and_a_return_goes_first() -> None:
    held = replace(
        state(revision(2), revision(), names=("api-key",), current=1),
        rollback_pause=RollbackPause(2, 1, NOW, failed=False),
    )
    assert next_step(looked(PULLED, state=held)) == Decline()
    both = looked(PULLED, state=replace(held, rollback_pause=None), annotations={**ASKED, ROLLBACK: "2"})
    assert next_step(both) == GoBack(2, 1, failed=False, lasts=False)


@pytest.mark.parametrize(
    ("spec", "instead"),
    [
        pytest.param(PULLED, "write a new text to keyturn.dev/refresh to read stores", id="pulled"),
        pytest.param({"data": [USERNAME]}, "change the literals, or write generate", id="given"),
    ],
)
def test_the_message_has_the_remedy(spec: dict[str, Any], instead: str) -> None:
    names = [item["name"] for item in spec["data"]]
    look = looked(spec, state=replace(HANDLED, keys={name: {"value": name} for name in names}))
    (rotating,) = [one for one in status_of(look, Outcome(Rest(None))).conditions if one.type == "Rotating"]
    assert (rotating.status, rotating.reason) == ("False", "NothingToRotate")
    assert rotating.message == f"no value is generated, so a trigger has no effect; {instead}"


def test_who_asks_for_nothing_gets_no_message() -> None:
    look = looked(PULLED, annotations={})
    (rotating,) = [one for one in status_of(look, Outcome(Rest(None))).conditions if one.type == "Rotating"]
    assert rotating.reason == "Idle"
