"""What a step records in the state that generates no values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.rotation.steps import Decline, Expire, GoBack, Overlap
from keyturn.core.rotation.transitions import publication_of, refreshed, with_decision
from keyturn.core.state.revision import Revision
from keyturn.core.state.state import Held, Publication, State, Triggers
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, PUBLISHED, UID, minutes

ROLLBACK = {"keyturn.dev/rollback": "2026-11"}
ROTATE = {"keyturn.dev/rotate": "leaver"}


def state(*numbers: int) -> State:
    revisions = tuple(Revision(make.revision(number), {}) for number in numbers)
    return State(UID, MADE, Triggers(), revisions, numbers[0])


def test_an_overlap_is_recorded_of_the_current_revision() -> None:
    after = with_decision(Overlap(2, NOW + minutes(5)), make.observed(), state(2, 1), NOW)

    assert [revision.facts.valid_until for revision in after.revisions] == [NOW + minutes(5), None]


def test_the_end_of_an_overlap_is_recorded_of_the_current_revision() -> None:
    after = with_decision(Expire(2), make.observed(), state(2, 1), NOW)

    assert [revision.facts.ended for revision in after.revisions] == [True, False]


def test_a_declined_request_is_handled_and_a_hold_ends() -> None:
    held = replace(state(1), held=Held(2, 1, NOW, failed=False), triggers=Triggers(rollback="before"))

    after = with_decision(Decline(), make.observed(annotations=ROTATE | ROLLBACK), held, NOW)

    assert (after.triggers.annotation, after.triggers.rollback, after.held) == ("leaver", "before", None)


def test_a_rollback_makes_an_earlier_revision_current_and_holds_the_other() -> None:
    observed = make.observed(
        annotations=ROLLBACK, state=make.state(make.revision(2), make.revision(1)), target=make.target(2)
    )

    after = with_decision(GoBack(1, given_up=2, failed=True), observed, state(2, 1), NOW)

    assert after.current_number == 1
    assert after.held == Held(2, 1, NOW, failed=True)
    assert after.publications == (Publication(2, PUBLISHED),)
    assert after.triggers.rollback == "2026-11"


def test_a_rollback_to_the_current_revision_only_handles_the_request() -> None:
    before = state(2, 1)

    after = with_decision(
        GoBack(2, given_up=2, failed=False), make.observed(annotations=ROLLBACK), before, NOW
    )

    assert after == replace(before, triggers=Triggers(rollback="2026-11"))


def test_a_rollback_without_a_request_keeps_the_last_request() -> None:
    before = replace(state(2, 1), triggers=Triggers(rollback="before"))

    after = with_decision(GoBack(1, given_up=2, failed=True), make.observed(), before, NOW)

    assert after.triggers.rollback == "before"


def test_a_read_on_request_is_handled_and_has_a_time() -> None:
    observed = make.observed(annotations={"keyturn.dev/refresh": "now"})

    after = refreshed(state(1), observed, NOW)

    assert (after.triggers.refresh, after.refreshed) == ("now", observed.read_for(NOW))


@pytest.mark.parametrize(
    ("changes", "time"),
    [
        pytest.param({"state": None, "target": None}, None, id="no revision"),
        pytest.param({}, PUBLISHED, id="published, with a time"),
        pytest.param({"target": make.target(published=None)}, MADE, id="published, without a time"),
        pytest.param({"target": None}, MADE, id="deleted, and known to the status"),
        pytest.param({"target": None, "status": {}}, None, id="never there"),
        pytest.param({"target": make.target(None)}, MADE, id="a Secret without a revision"),
        pytest.param({"target": make.target(7)}, None, id="a Secret of another revision"),
    ],
)
def test_the_time_of_publication(changes: dict[str, object], time: object) -> None:
    assert publication_of(make.observed(**changes)) == time  # type: ignore[arg-type]
