"""Reasons for new values: these and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.labels import ROTATE
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Reason, Rest
from keyturn.core.rotation.triggers import (
    due_time,
    is_overdue,
    is_paused,
    reason_for_revision,
    resume_time,
    start_time,
    waits_until,
)
from keyturn.core.state.records import Validity
from keyturn.core.state.state import RollbackPause, Triggers
from tests.unit.core.builders import (
    MADE,
    NOW,
    PASSWORD,
    USERNAME,
    observed,
    revision,
    seconds,
    secret_class,
    state,
)

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.state import StateFacts

TOKEN = {"name": "token", "generate": {"bytes": {}}}
TWO = {"data": [PASSWORD, TOKEN]}
MIXED = {"data": [PASSWORD, USERNAME]}
HOURLY: dict[str, Any] = {"rotation": {"every": "1h", "jitter": "0%"}}


def reason_of(look: Observed) -> Reason | None:
    assert look.desired
    return reason_for_revision(look, look.desired)


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
def test_each_reason_names_itself_and_what_is_generated_again(look: Observed, expected: Reason) -> None:
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
    look: Observed, expected: Reason
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


def asked(spec: str | None, annotation: str | None, handled: Triggers) -> Observed:
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
def test_a_rotation_waits_for_a_window(look: Observed, waits: bool) -> None:  # noqa: FBT001
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
def test_what_is_no_rotation_waits_for_no_window(look: Observed, name: str) -> None:
    found = reason_of(look)
    assert found
    assert found.name == name
    assert found.rotates == (name != "SpecChanged"), "the trigger still waits"


@pytest.mark.parametrize(
    ("look", "start"),
    [
        pytest.param(observed(), None, id="nothing is planned"),
        pytest.param(observed(spec_error=Stalled("No", "no")), None, id="nobody knows"),
        pytest.param(observed(HOURLY, state=None), None, id="there are no values yet"),
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
def test_the_next_rotation_starts_when_it_may(look: Observed, start: datetime | None) -> None:
    assert start_time(look) == start


# What ends by itself


def ending(in_hours: float, **spec: Any) -> Observed:
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
    look: Observed, start: datetime
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
def test_a_rotation_is_overdue_when_it_could_have_started(look: Observed, overdue: bool) -> None:  # noqa: FBT001
    assert is_overdue(look) == overdue


HELD_BACK = replace(
    state(revision(2), revision(), current=1), rollback_pause=RollbackPause(2, 1, MADE, failed=False)
)


@pytest.mark.parametrize("now", [NOW - seconds(1), NOW, NOW + seconds(1)], ids=["before", "at", "after"])
@pytest.mark.parametrize(
    ("spec", "known"),
    [
        pytest.param({}, {"state": HELD_BACK}, id="held"),
        pytest.param({"suspend": True}, {}, id="suspended"),
    ],
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
    def at(now: datetime) -> Observed:
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


def test_a_pause_ends_as_planned_while_the_spec_cannot_be_read() -> None:
    unread = observed(spec_error=Stalled(ErrorReason.INVALID_SPEC, "no"), state=SKIPPED)
    assert resume_time(unread) is None


# Due times


@pytest.mark.parametrize(
    ("now", "is_due"),
    [
        pytest.param(MADE + timedelta(minutes=59, seconds=59), False, id="one second before"),
        pytest.param(MADE + timedelta(hours=1), True, id="at that second"),
        pytest.param(MADE + timedelta(days=400), True, id="after many due dates that nobody saw"),
    ],
)
def test_a_rotation_is_due_when_the_interval_is_over(now: datetime, is_due: bool) -> None:  # noqa: FBT001
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
        pytest.param(observed(HOURLY, state=None), id="no values yet"),
        pytest.param(
            observed(HOURLY | {"data": [USERNAME]}, state=state(names=("username",))), id="only literals"
        ),
    ],
)
def test_what_never_rotates_is_never_due(look: Observed) -> None:
    assert due_time(look) is None


def test_the_class_says_when_where_the_spec_does_not() -> None:
    yearly = secret_class(rotation={"every": "365d", "jitter": "0%"})
    assert due_time(observed(given=yearly)) == MADE + timedelta(days=365)
    assert due_time(observed(HOURLY, given=yearly)) == MADE + timedelta(hours=1)
