"""What a ManagedSecret becomes by another class, without a cluster."""

from datetime import timedelta
from typing import Any

import pytest

from keyturn.cli.plan.command import Becomes, effects_of
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import Observed
from keyturn.core.policy.rules import Violation
from keyturn.core.reasons import ErrorReason
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW

KEY = ObjectKey("shop", "db")
STATE = make.state(rotated=NOW - timedelta(hours=2))
LONG, SHORT = make.secret_class(rotation={"every": "90d"}), make.secret_class(rotation={"every": "1h"})
TOO_SHORT = Violation("minLength", "password is too short", item="password")


def observed(spec: dict[str, Any] | None = None, **facts: Any) -> Observed:
    return make.observed(spec, **{"state": STATE, "given": LONG, **facts})


def becomes(before: Observed, after: Observed, *, is_held: bool = False) -> list[Becomes]:
    return [one.becomes for one in effects_of(KEY, before, after, is_held=is_held)]


def test_an_object_older_than_the_new_interval_rotates_at_once() -> None:
    (effect,) = effects_of(KEY, observed(), observed(given=SHORT))

    assert (effect.becomes, effect.starts is not None and effect.starts <= NOW) == (Becomes.DUE, True)


def test_an_object_that_was_due_before_is_not_named() -> None:
    assert becomes(observed(given=SHORT), observed(given=SHORT)) == []


def test_an_object_younger_than_the_new_interval_is_not_named() -> None:
    assert becomes(observed(), observed(given=make.secret_class(rotation={"every": "3h"}))) == []


def test_a_rotation_waits_for_the_first_window() -> None:
    window = {"cron": f"{NOW.minute} {(NOW.hour + 2) % 24} 1 1 *", "duration": "1h"}
    given = make.secret_class(rotation={"every": "1h", "windows": [window]})

    (effect,) = effects_of(KEY, observed(), observed(given=given))

    assert effect.becomes is Becomes.DUE
    assert effect.starts
    assert effect.starts > NOW


@pytest.mark.parametrize(
    ("spec", "is_held"), [({"suspend": True}, False), ({}, True)], ids=["suspended", "held"]
)
def test_an_object_that_cannot_rotate_becomes_overdue(spec: dict[str, Any], *, is_held: bool) -> None:
    (effect,) = effects_of(KEY, observed(spec), observed(spec, given=SHORT), is_held=is_held)

    assert (effect.becomes, effect.starts) == (Becomes.OVERDUE, None)


def test_values_that_rotate_on_request_are_due_and_do_not_start() -> None:
    given = make.secret_class(rotation={"every": "1h", "appliedBy": "Nobody"})

    (effect,) = effects_of(KEY, observed(), observed(given=given))

    assert (effect.becomes, effect.starts) == (Becomes.DUE, None)


def test_values_that_no_longer_wait_for_a_request_rotate_at_once() -> None:
    waits = make.secret_class(rotation={"every": "1h", "appliedBy": "Nobody"})

    assert becomes(observed(given=waits), observed(given=SHORT)) == [Becomes.DUE]


def test_a_denied_object_is_violating_and_overdue() -> None:
    after = observed(given=SHORT, violations=(TOO_SHORT,))

    assert becomes(observed(), after) == [Becomes.VIOLATING, Becomes.OVERDUE]


def test_a_violation_that_was_there_before_is_not_named() -> None:
    assert becomes(observed(violations=(TOO_SHORT,)), observed(violations=(TOO_SHORT,))) == []


def test_a_violation_that_only_the_new_class_denies_is_named() -> None:
    warns = make.secret_class(enforcement="Warn")

    assert becomes(observed(given=warns, violations=(TOO_SHORT,)), observed(violations=(TOO_SHORT,))) == [
        Becomes.VIOLATING
    ]


def test_an_object_that_contradicts_the_class_is_stalled() -> None:
    after = observed(spec_error=Stalled(ErrorReason.INVALID_SCHEDULE, "remove jitter"))

    assert becomes(observed(), after) == [Becomes.STALLED]
    assert becomes(after, after) == []


def test_an_object_without_a_revision_has_no_date() -> None:
    assert becomes(observed(state=None), observed(state=None, given=SHORT)) == []
