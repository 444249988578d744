"""Secrets under earlier names: when an emergency looks at them, and which revision a pod of one may have read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.emergency import AffectedState
from keyturn.core.emergency.progress import affected
from keyturn.core.observation.emergency import Emergency
from keyturn.core.rotation.old_pods import followed_secrets, has_exposed, pending_check, revision_held
from keyturn.core.state.state import LeftSecret, Publication
from tests.unit.core import builders as make
from tests.unit.core.builders import BEFORE, NOW, PUBLISHED, minutes

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed

LEAK = Emergency("leak", make.UID, PUBLISHED - minutes(20))
OLD, NEW = LeftSecret("db-old", "uid-1", 1), LeftSecret("db-2", "uid-2", 2)
AGAIN = LeftSecret("db", "uid-3", 1)
LONG_AGO = BEFORE - minutes(60)
SECOND = Emergency("second", "uid-of-second", NOW - minutes(1))
AFTER_ROTATION = (
    "the Secrets under its earlier names are looked at after the rotation for the emergency second"
)


def rotated(*left: LeftSecret, **facts: Any) -> Observed:
    """Observe a Secret whose second revision is that of an emergency."""
    second = make.revision(2, "Emergency", made=PUBLISHED, changed=["password"])
    first = make.revision(1, made=LONG_AGO)
    known = make.state(second, first, publications=(Publication(1, LONG_AGO),), left=left)
    target = make.target(2, published=PUBLISHED)
    return make.observed(**{"state": known, "target": target, "status": {"revision": 2}, **facts})


def test_each_secret_under_another_name_is_followed_in_an_open_emergency() -> None:
    observed = replace(rotated(OLD, AGAIN, emergencies=(LEAK,)), unreleased_secrets=(NEW,))

    assert followed_secrets(observed) == (OLD, NEW)
    assert followed_secrets(replace(observed, emergencies=(replace(LEAK, is_open=False),))) == ()
    assert followed_secrets(replace(observed, emergencies=())) == ()
    assert followed_secrets(replace(observed, state=None)) == ()
    assert followed_secrets(replace(observed, desired=None)) == ()


def test_none_is_followed_before_the_values_are_rotated() -> None:
    later = replace(LEAK, started=NOW - minutes(1))

    assert followed_secrets(rotated(OLD, emergencies=(later,))) == ()


def test_a_look_waits_for_the_rotation_and_the_reads_of_another_emergency() -> None:
    waiting = rotated(OLD, emergencies=(LEAK, SECOND))
    pulling = make.observed({"data": [make.PASSWORD, make.API_KEY]}).desired
    reading = replace(rotated(OLD, emergencies=(SECOND,)), desired=pulling)

    assert pending_check(waiting) == AFTER_ROTATION
    assert pending_check(reading) == (
        "the Secrets under its earlier names are looked at after its stores are read for the emergency second"
    )
    assert pending_check(rotated(emergencies=(LEAK, SECOND))) is None, "there is no such Secret"
    assert pending_check(rotated(OLD, emergencies=(LEAK,))) is None, "nothing precedes it"
    assert pending_check(replace(waiting, desired=None)) is None


def test_an_emergency_is_not_done_before_that_look_unless_it_was_done_before() -> None:
    complete = replace(LEAK, is_complete=True)
    waiting = rotated(OLD, emergencies=(LEAK, SECOND))
    found = affected(LEAK, waiting, None)

    assert (found.state, found.message) == (AffectedState.ROTATED, AFTER_ROTATION)
    assert affected(complete, waiting, None).state is AffectedState.ROLLED_OUT
    assert affected(LEAK, rotated(emergencies=(LEAK, SECOND)), None).state is AffectedState.ROLLED_OUT


@pytest.mark.parametrize(
    ("began", "left", "until", "number"),
    [
        pytest.param(BEFORE, OLD, NOW, 1, id="before the values were changed"),
        pytest.param(NOW, OLD, BEFORE, None, id="after the values were changed"),
        pytest.param(BEFORE, OLD, None, None, id="the values are current"),
        pytest.param(BEFORE, NEW, None, 1, id="before the revision that was left"),
        pytest.param(BEFORE, NEW, NOW, 1, id="before the revision that was left, which is not current"),
        pytest.param(NOW, NEW, NOW, 2, id="the revision that was left"),
        pytest.param(NOW, NEW, None, None, id="the revision that was left, which is current"),
        pytest.param(NOW, replace(OLD, number=0), NOW, 0, id="an unknown revision was left"),
    ],
)
def test_a_pod_may_have_the_oldest_revision_since_its_start(
    began: datetime, left: LeftSecret, until: datetime | None, number: int | None
) -> None:
    assert revision_held(began, make.use(), left, until, rotated()) == number


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, True), (2, False), (0, True), (9, True)],
    ids=["old", "new", "unknown", "forgotten"],
)
def test_a_revision_that_is_not_recorded_may_have_exposed_values(number: int, expected: bool) -> None:  # noqa: FBT001
    assert has_exposed(number, rotated(emergencies=(LEAK,))) is expected
    assert has_exposed(number, rotated(state=None, emergencies=(LEAK,)))
