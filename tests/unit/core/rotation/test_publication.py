"""When a revision was published, and which time a write of the Secret sets."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.observation.observed import DriftHistory, Managed, TargetFacts
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.ownership import with_change, with_repair, with_unchanged_write
from keyturn.core.rotation.publication import publication_of, publication_time
from keyturn.core.rotation.steps import Publish, Repair, Rest, Settle, Step
from keyturn.core.state.state import RollbackPause
from tests.unit.core import accounts
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, PUBLISHED, minutes, observed, revision, seconds, state, target

BACK: dict[str, Any] = {"current": 1, "rollback_pause": RollbackPause(2, 1, PUBLISHED, failed=False)}
PROVEN_LATE = accounts.state(replace(accounts.credential(2), since=PUBLISHED), accounts.credential(1))


@pytest.mark.parametrize(
    ("changes", "time"),
    [
        pytest.param({"state": None, "target": None}, None, id="no revision"),
        pytest.param({}, PUBLISHED, id="published, with a time"),
        pytest.param({"target": make.target(published=None)}, MADE, id="published, without a time"),
        pytest.param({"target": None}, MADE, id="deleted, and known to the status"),
        pytest.param({"target": None, "status": {}}, None, id="never there"),
        pytest.param({"target": make.target(None, published=None)}, MADE, id="a Secret without a revision"),
        pytest.param({"target": make.target(7)}, None, id="a Secret of another revision"),
    ],
)
def test_the_time_of_publication(changes: dict[str, object], time: object) -> None:
    assert publication_of(make.observed(**changes)) == time  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "look", "time"),
    [
        pytest.param(steps.Publish(1), {"target": make.target(2)}, NOW, id="a new revision"),
        pytest.param(steps.Publish(1), {"target": None}, MADE, id="a Secret with a new name"),
        pytest.param(
            steps.Publish(1),
            {"target": make.target(None, published=None)},
            MADE,
            id="a Secret that was created again",
        ),
        pytest.param(
            steps.Publish(1),
            {"target": make.target(None, published=None), "status": {}},
            NOW,
            id="the first time to a foreign Secret",
        ),
        pytest.param(steps.Publish(1), {"target": None, "status": {}}, NOW, id="a first Secret"),
        pytest.param(steps.Repair(1, frozenset()), {}, PUBLISHED, id="a repair"),
        pytest.param(steps.Repair(1, frozenset()), {"target": None}, MADE, id="a repair of a deleted Secret"),
        pytest.param(
            steps.Repair(1, frozenset()),
            {"target": None, "state": make.state(make.revision(2, "Triggered"), make.revision(), **BACK)},
            PUBLISHED,
            id="a repair of a Secret that was deleted after a rollback",
        ),
        pytest.param(
            steps.Repair(2, frozenset()),
            {"target": None, "state": PROVEN_LATE},
            PUBLISHED,
            id="a repair of a deleted Secret whose login was proven late",
        ),
    ],
)
def test_the_publication_time_of_a_write(
    step: steps.TargetWrite, look: dict[str, Any], time: datetime
) -> None:
    assert publication_time(step, make.observed(**look), NOW) == time


EDITED = replace(target(differs=["password"]), changed_by="kubectl-edit")
CONTESTED = (
    "kubectl-edit (field manager) keeps changing the Secret 'db'; repairs continue with exponential back-off;"
    " stop the other writer"
)
REWRITTEN = (
    "the API server stores the Secret 'db' with changes (token): find the mutating admission webhook or"
    " policy, and exclude the Secret from it"
)


A_SECOND = seconds(1)


def fight(repairs: int, ago: timedelta = A_SECOND, **changed: Any) -> DriftHistory:
    facts: dict[str, Any] = {"generation": 1, "number": 1, "by": "kubectl-edit", **changed}
    return DriftHistory(repairs=repairs, last=NOW - ago, **facts)


def look(known: DriftHistory | None, found: TargetFacts = EDITED, **changed: Any) -> Managed:
    return replace(observed(target=found, **changed), drift_history=known)


# How it is counted


@pytest.mark.parametrize(
    ("known", "repairs"),
    [
        pytest.param(None, 1, id="the first"),
        pytest.param(fight(1), 2, id="soon after the one before"),
        pytest.param(fight(9, minutes(10) - seconds(1)), 10, id="almost ten minutes after it"),
        pytest.param(fight(9, minutes(10)), 1, id="ten minutes after it"),
        pytest.param(fight(9, -seconds(30)), 10, id="by a clock that is corrected by seconds"),
        pytest.param(fight(9, -minutes(2)), 1, id="by a clock that is set back"),
        pytest.param(fight(9, generation=7), 1, id="after a change of the spec"),
        pytest.param(fight(9, changed="token"), 1, id="after a webhook that changes nothing any more"),
    ],
)
def test_repairs_in_a_row_are_counted(known: DriftHistory | None, repairs: int) -> None:
    assert with_repair(look(known)) == DriftHistory(1, 1, repairs, NOW, "kubectl-edit")


def test_the_last_who_was_named_is_remembered() -> None:
    assert with_repair(look(fight(2), target(differs=["password"]))).by == "kubectl-edit"
    assert with_repair(replace(look(fight(2)), target=None)) == DriftHistory(1, 1, 3, NOW, "kubectl-edit")
    assert with_repair(look(None, target())).by is None


@pytest.mark.parametrize(
    ("known", "repairs"),
    [
        pytest.param(None, 4, id="the first"),
        pytest.param(fight(2), 4, id="after others"),
        pytest.param(fight(5, changed="token"), 6, id="again"),
    ],
)
def test_what_is_stored_otherwise_is_not_sent_again_at_once(known: DriftHistory | None, repairs: int) -> None:
    assert with_change(look(known), "token") == DriftHistory(1, 1, repairs, NOW, "kubectl-edit", "token")


def test_a_write_that_is_stored_as_sent_ends_only_the_quarrel_with_a_webhook() -> None:
    assert with_unchanged_write(look(fight(5, changed="token"))) is None
    assert with_unchanged_write(look(fight(5))) == fight(5)
    assert with_unchanged_write(look(None)) is None


# What is done


@pytest.mark.parametrize(
    ("repairs", "pause"), [(4, 15), (5, 30), (6, 60), (7, 120), (8, 240), (9, 300), (60, 300)]
)
def test_the_pause_grows(repairs: int, pause: int) -> None:
    waits = next_step(look(fight(repairs, seconds(pause - 1))))
    assert isinstance(waits, Rest)
    assert waits.until == NOW + seconds(1)
    assert isinstance(waits.problem, Stalled)
    assert (waits.problem.reason, waits.problem.message) == ("Contested", CONTESTED)
    assert next_step(look(fight(repairs, seconds(pause)))) == Repair(1, frozenset({"password"}))


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(None, id="the first"),
        pytest.param(fight(3), id="the fourth"),
        pytest.param(fight(60, generation=7), id="what another spec asks for"),
    ],
)
def test_a_few_are_put_back_at_once(known: DriftHistory | None) -> None:
    assert next_step(look(known)) == Repair(1, frozenset({"password"}))


TWO = state(revision(2, "Triggered"), revision())
ENDED = state(revision(2, "Triggered", previous=frozenset({"password.previous"}), ended=True), revision())


@pytest.mark.parametrize(
    ("recorded", "found", "step"),
    [
        pytest.param(TWO, target(1), Publish(2), id="a new revision"),
        pytest.param(ENDED, target(2, overlapping=True), Settle(2), id="the end of an overlap"),
    ],
)
def test_what_is_no_repair_does_not_wait(recorded: Any, found: TargetFacts, step: Step) -> None:
    assert next_step(look(fight(9), found, state=recorded)) == step
    assert next_step(look(fight(9, changed="token"), found, state=recorded)) == step
    waits = next_step(look(fight(9, changed="token", number=2), found, state=recorded))
    assert isinstance(waits, Rest)


# What is said


def problem(known: DriftHistory | None, found: TargetFacts) -> tuple[str, str] | None:
    step = next_step(look(known, found))
    assert isinstance(step, Rest)
    return (step.problem.reason, step.problem.message) if step.problem else None


def test_a_webhook_is_named_as_the_cause() -> None:
    assert problem(fight(4, changed="token"), EDITED) == ("ChangedOnWrite", REWRITTEN)


def test_it_is_said_until_there_is_calm() -> None:
    assert problem(fight(4, minutes(9)), target()) == ("Contested", CONTESTED)
    assert next_step(look(fight(4, minutes(9)), target())).until == NOW + minutes(1)  # type: ignore[union-attr]
    assert problem(fight(4, minutes(10)), target()) is None
    assert problem(fight(3), target()) is None


def test_who_gives_no_name_is_a_user() -> None:
    found = problem(fight(4, minutes(9), by=None), target())
    assert found
    assert found[1].startswith("another writer keeps changing the Secret 'db'")


def test_a_first_repair_by_a_clock_that_is_corrected_by_seconds_delays_no_other() -> None:
    assert isinstance(next_step(look(fight(1, -seconds(30)))), Repair)
