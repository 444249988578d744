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
from tests.support.cases import case, cases
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


@cases(
    ("look", "expected"),
    case(
        "nothing is there and never was",
        observed(MIXED, state=None, target=None, status={}),
        reason("Created", "the Secret is written for the first time", "password", "username", rotates=True),
    ),
    case(
        "nothing is there any more",
        observed(MIXED, state=None, target=None, status={"revision": 4}),
        reason(
            "Lost",
            "the Secret and its state are gone; new values are generated",
            "password",
            "username",
            rotates=True,
        ),
    ),
    case(
        "an item was added",
        observed(TWO),
        reason("SpecChanged", "data has new items: token", "token", rotates=False),
    ),
    case(
        "items were removed",
        observed(state=state(names=("password", "token", "key"))),
        reason("SpecChanged", "data no longer has: key, token", rotates=False),
    ),
    case(
        "what was adopted beside the items is to go",
        observed({"target": {"otherKeys": "Remove"}}, state=FOUND),
        reason("SpecChanged", "data no longer has: other (found)", rotates=False),
    ),
    case(
        "a template writes what was adopted",
        observed(
            {"target": {"template": {"data": {"other": "x"}}}},
            state=replace(FOUND, templates={"other": "x"}),
        ),
        reason("SpecChanged", "data no longer has: other (found)", rotates=False),
    ),
    case(
        "today's recipe cannot have made the value",
        observed(mismatched_items=("password",)),
        reason("SpecChanged", "the spec asks for other values: password", "password", rotates=False),
    ),
    case("a trigger in the spec", observed({"rotation": {"trigger": "a"}}), TRIGGERED),
    case("a trigger by annotation", observed(annotations={ROTATE: "a"}), TRIGGERED),
    case(
        "the interval is over",
        observed(HOURLY, now=MADE + timedelta(hours=1)),
        reason("RotationDue", "was due at 2026-11-24 12:00 UTC", "password", rotates=True),
    ),
)
def test_each_reason_names_itself_and_what_is_generated_again(look: Managed, expected: Reason) -> None:
    assert reason_of(look) == expected


@cases(
    ("look", "expected"),
    case(
        "an added item and a trigger",
        observed(TWO, annotations={ROTATE: "a"}),
        joined(
            reason("Triggered", "a new trigger asks for it", "password", "token", rotates=True),
            "SpecChanged",
        ),
    ),
    case(
        "a renamed item and another recipe",
        observed(TWO, state=state(names=("password", "old")), mismatched_items=("password",)),
        joined(
            reason("SpecChanged", "data has new items: token", "password", "token", rotates=False),
            "SpecChanged",
        ),
    ),
    case(
        "a trigger when due",
        observed(HOURLY, annotations={ROTATE: "a"}, now=MADE + timedelta(days=9)),
        joined(TRIGGERED, "RotationDue"),
    ),
)
def test_several_reasons_make_one_revision_named_after_the_first_rotation(
    look: Managed, expected: Reason
) -> None:
    assert reason_of(look) == expected


# Triggers


@cases(
    ("spec", "annotation", "handled"),
    case("the same text again", "a", None, Triggers("a", None, "a")),
    case("the same annotation again", None, "a", Triggers(None, "a", "a")),
    case("both were taken back", None, None, Triggers("a", "b", "b")),
    case("both stand and were handled", "a", "b", Triggers("a", "b", "a")),
)
def test_a_handled_trigger_does_nothing(spec: str | None, annotation: str | None, handled: Triggers) -> None:
    assert reason_of(asked(spec, annotation, handled)) is None


@cases(
    ("spec", "annotation", "handled"),
    case("another text", "b", None, Triggers("a", None, "a")),
    case("a text that only the annotation had", "a", None, Triggers(None, "a", "a")),
    case("an annotation that only the spec had", None, "a", Triggers("a", None, "a")),
    case("one of two is new", "a", "c", Triggers("a", "b", "b")),
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


@cases(
    ("look", "waits"),
    case("what is due, a closed window", observed(within(BY_NIGHT)), True),
    case("what is due, as it opens", observed(within(BY_NIGHT), now=NIGHT), False),
    case("what is due, an open window", observed(within(AT_NOON)), False),
    case("what is due, one of two is open", observed(within(BY_NIGHT, AT_NOON)), False),
    case("a trigger, closed", observed(within(BY_NIGHT, every="90d", trigger="a")), True),
    case("a trigger, open", observed(within(AT_NOON, every="90d", trigger="a")), False),
    case("an annotation, closed", observed(within(BY_NIGHT, every="90d"), annotations={ROTATE: "a"}), True),
    case(
        "an annotation, open",
        observed(within(BY_NIGHT, every="90d"), annotations={ROTATE: "a"}, now=NIGHT),
        False,
    ),
)
def test_a_rotation_waits_for_a_window(look: Managed, waits: bool) -> None:
    assert (reason_of(look) is None) == waits
    assert (waits_until(look) is not None) == waits


@cases(
    ("look", "name"),
    case("the first", observed(within(BY_NIGHT), state=None, target=None, status={}), "Created"),
    case("what is lost", observed(within(BY_NIGHT), state=None, target=None), "Lost"),
    case("a change of the spec", observed(TWO | within(BY_NIGHT, every="90d", trigger="a")), "SpecChanged"),
)
def test_what_is_no_rotation_waits_for_no_window(look: Managed, name: str) -> None:
    found = reason_of(look)
    assert found
    assert found.name == name
    assert found.rotates == (name != "SpecChanged"), "the trigger still waits"


@cases(
    ("look", "start"),
    case("nothing is planned", observed(), None),
    case("due now", observed(HOURLY), NOW),
    case("moved", observed(within(BY_NIGHT, every="90d")), MADE + timedelta(days=90, hours=14)),
    case("a trigger before that", observed(within(BY_NIGHT, every="90d", trigger="a")), NIGHT),
    case(
        "a trigger that need not wait",
        observed(within(AT_NOON, every="90d", trigger="a")),
        MADE + timedelta(days=90, hours=1),
    ),
    case(
        "held after a failed rollout",
        observed(within(BY_NIGHT), state=state(rollback_pause=RollbackPause(2, 1, NOW, failed=True))),
        None,
    ),
)
def test_the_next_rotation_starts_when_it_may(look: Managed, start: datetime | None) -> None:
    assert start_time(look) == start


# What ends by itself


def ending(in_hours: float, **spec: Any) -> Managed:
    """Look at a value that should have been renewed an hour ago."""
    life = Validity(NOW - timedelta(hours=1), NOW + timedelta(hours=in_hours))
    return observed(spec, state=state(lives={"password": life}))


@cases(
    ("look", "start"),
    case("without windows", ending(24), NOW - timedelta(hours=1)),
    case("in an open window", ending(24, rotation={"windows": [AT_NOON]}), NOW),
    case("in the next window", ending(14, rotation={"windows": [BY_NIGHT]}), NIGHT),
    case("before it would end", ending(13, rotation={"windows": [BY_NIGHT]}), NOW - timedelta(hours=1)),
)
def test_a_value_that_ends_waits_for_a_window_only_as_long_as_it_lives(
    look: Managed, start: datetime
) -> None:
    assert start_time(look) == start
    assert (reason_of(look) is not None) == (start <= NOW)


@cases(
    ("look", "overdue"),
    case("nothing is planned", observed(), False),
    case("there are no values yet", observed(HOURLY, state=None, status={}), False),
    case("not due", observed(HOURLY, now=NOW - seconds(1)), False),
    case("due", observed(HOURLY), True),
    case("due, and no window was open since", observed(within(BY_NIGHT)), False),
    case("due, and a window is open", observed(within(BY_NIGHT), now=NIGHT), True),
    case("due, and one was", observed(within(BY_NIGHT), now=NIGHT + timedelta(hours=9)), True),
    case("about to end", ending(24), True),
    case("about to end, and waits", ending(24, rotation={"windows": [BY_NIGHT]}), False),
)
def test_a_rotation_is_overdue_when_it_could_have_started(look: Managed, overdue: bool) -> None:
    assert is_overdue(look) == overdue


HELD_BACK = replace(
    state(revision(2), revision(), current=1), rollback_pause=RollbackPause(2, 1, MADE, failed=False)
)


@pytest.mark.parametrize("now", [NOW - seconds(1), NOW, NOW + seconds(1)], ids=["before", "at", "after"])
@cases(("spec", "known"), case("held", {}, {"state": HELD_BACK}), case("suspended", {"suspend": True}, {}))
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


@cases(
    ("spec", "known", "end"),
    case("at the next date", HOURLY, SKIPPED, NOW),
    case("at the date after, if one was over", HOURLY, LATE_BACK, NOW + timedelta(minutes=90)),
    case("when a window opens", IN_A_WINDOW, SKIPPED, NOW + timedelta(minutes=5)),
    case("before expiry", HOURLY, replace(SKIPPED, lives={"password": CERTIFICATE}), CERTIFICATE.renew),
    case("not without a schedule", {}, SKIPPED, None),
    case("not of values that rotate on request", NOBODY, SKIPPED, None),
    case("not if it was to hold", HOURLY, HELD_BACK, None),
    case(
        "after half of the time that is left, if its renewal was due",
        {},
        replace(LATE_BACK, lives={"password": CERTIFICATE}),
        LATE + (CERTIFICATE.end - LATE) / 2,
    ),
    case(
        "not for what expired before the rollback",
        {},
        replace(LATE_BACK, lives={"password": Validity(MADE, LATE)}),
        None,
    ),
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


@cases(
    ("now", "is_due"),
    case("one second before", MADE + timedelta(minutes=59, seconds=59), False),
    case("at that second", MADE + timedelta(hours=1), True),
    case("after many due dates that nobody saw", MADE + timedelta(days=400), True),
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


@cases(
    "look",
    case("no cadence", observed()),
    case("only literals", observed(HOURLY | {"data": [USERNAME]}, state=state(names=("username",)))),
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


@cases(
    ("ages", "gather", "rotates"),
    case("none is due", (89, 179), None, set()),
    case("one is due", (90, 100), None, {"a"}),
    case("the other is due within a day", (90, 179), None, {"a", "b"}),
    case("the other is due in two days", (90, 178), None, {"a"}),
    case("two days are gathered", (90, 178), "2d", {"a", "b"}),
    case("both are due", (90, 180), "0s", {"a", "b"}),
    case("nothing is gathered", (90, 179), "0s", {"a"}),
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


@cases(
    ("applied_by", "reason"),
    case("applied by nothing", "Nobody", None),
    case("applied by the application", "Application", "RotationDue"),
    case("used inside of the cluster only", None, "RotationDue"),
)
def test_the_schedule_rotates_what_is_applied(applied_by: str | None, reason: str | None) -> None:
    look = observed({"rotation": _HOURLY | ({"appliedBy": applied_by} if applied_by else {})}, now=_LATE)

    assert begun(look) == reason
    assert is_overdue(look) == (reason is not None)
    assert is_due_on_request(look) == (reason is None)


@cases(
    ("own", "reason"),
    case("the class says so", {}, None),
    case("another interval changes nothing", {"every": "1h"}, None),
    case("the spec has the last word", {"appliedBy": "Application"}, "RotationDue"),
)
def test_a_class_says_what_its_values_need(own: dict[str, Any], reason: str | None) -> None:
    given = secret_class(rotation=_HOURLY | {"appliedBy": "Nobody"})

    assert begun(observed({"rotation": own}, given=given, now=_LATE)) == reason


def test_a_request_rotates() -> None:
    assert begun(waiting(now=_LATE, annotations={ROTATE: "now"})) == "Triggered"


def test_an_emergency_rotates() -> None:
    declared = Emergency("leak", "uid-1", NOW)

    assert begun(waiting(now=_LATE, emergencies=(declared,))) == "Emergency"


@cases(
    ("now", "is_due"),
    case("one second before", _DUE - timedelta(seconds=1), False),
    case("at that second", _DUE, True),
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


@cases(("count", "shown"), case("all of five", 5, "key4"), case("of six", 6, "and 1 more"))
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


@cases(
    ("spec", "nothing"),
    case("pulled", PULLED, True),
    case("pulled whole", {"data": [], "dataFrom": [EVERYTHING]}, True),
    case("given", {"data": [USERNAME]}, True),
    case("pulled and given", {"data": [API_KEY, USERNAME]}, True),
    case("pulled and made", {"data": [API_KEY, PASSWORD]}, False),
    case("pulled, and that in another form", {"data": [API_KEY, REGISTRY]}, True),
    case("immutable says so itself", {"data": [API_KEY], "target": {"immutable": True}}, False),
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


@cases(
    ("spec", "instead"),
    case("pulled", PULLED, "write a new text to keyturn.dev/refresh to read stores"),
    case("given", {"data": [USERNAME]}, "change the literals, or write generate"),
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
