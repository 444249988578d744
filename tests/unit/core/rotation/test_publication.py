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
from tests.support.cases import case, cases
from tests.unit.core import accounts
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, PUBLISHED, minutes, observed, revision, seconds, state, target

BACK: dict[str, Any] = {"current": 1, "rollback_pause": RollbackPause(2, 1, PUBLISHED, failed=False)}
PROVEN_LATE = accounts.state(replace(accounts.credential(2), since=PUBLISHED), accounts.credential(1))


@cases(
    ("changes", "time"),
    case("no revision", {"state": None, "target": None}, None),
    case("published, with a time", {}, PUBLISHED),
    case("published, without a time", {"target": make.target(published=None)}, MADE),
    case("deleted, and known to the status", {"target": None}, MADE),
    case("never there", {"target": None, "status": {}}, None),
    case("a Secret without a revision", {"target": make.target(None, published=None)}, MADE),
    case("a Secret of another revision", {"target": make.target(7)}, None),
)
def test_the_time_of_publication(changes: dict[str, object], time: object) -> None:
    assert publication_of(make.observed(**changes)) == time  # type: ignore[arg-type]


@cases(
    ("step", "look", "time"),
    case("a new revision", steps.Publish(1), {"target": make.target(2)}, NOW),
    case("a Secret with a new name", steps.Publish(1), {"target": None}, MADE),
    case(
        "a Secret that was created again",
        steps.Publish(1),
        {"target": make.target(None, published=None)},
        MADE,
    ),
    case(
        "the first time to a foreign Secret",
        steps.Publish(1),
        {"target": make.target(None, published=None), "status": {}},
        NOW,
    ),
    case("a first Secret", steps.Publish(1), {"target": None, "status": {}}, NOW),
    case("a repair", steps.Repair(1, frozenset()), {}, PUBLISHED),
    case("a repair of a deleted Secret", steps.Repair(1, frozenset()), {"target": None}, MADE),
    case(
        "a repair of a Secret that was deleted after a rollback",
        steps.Repair(1, frozenset()),
        {"target": None, "state": make.state(make.revision(2, "Triggered"), make.revision(), **BACK)},
        PUBLISHED,
    ),
    case(
        "a repair of a deleted Secret whose login was proven late",
        steps.Repair(2, frozenset()),
        {"target": None, "state": PROVEN_LATE},
        PUBLISHED,
    ),
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


@cases(
    ("known", "repairs"),
    case("the first", None, 1),
    case("soon after the one before", fight(1), 2),
    case("almost ten minutes after it", fight(9, minutes(10) - seconds(1)), 10),
    case("ten minutes after it", fight(9, minutes(10)), 1),
    case("by a clock that is corrected by seconds", fight(9, -seconds(30)), 10),
    case("by a clock that is set back", fight(9, -minutes(2)), 1),
    case("after a change of the spec", fight(9, generation=7), 1),
    case("after a webhook that changes nothing any more", fight(9, changed="token"), 1),
)
def test_repairs_in_a_row_are_counted(known: DriftHistory | None, repairs: int) -> None:
    assert with_repair(look(known)) == DriftHistory(1, 1, repairs, NOW, "kubectl-edit")


def test_the_last_who_was_named_is_remembered() -> None:
    assert with_repair(look(fight(2), target(differs=["password"]))).by == "kubectl-edit"
    assert with_repair(replace(look(fight(2)), target=None)) == DriftHistory(1, 1, 3, NOW, "kubectl-edit")
    assert with_repair(look(None, target())).by is None


@cases(
    ("known", "repairs"),
    case("the first", None, 4),
    case("after others", fight(2), 4),
    case("again", fight(5, changed="token"), 6),
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


@cases(
    "known",
    case("the first", None),
    case("the fourth", fight(3)),
    case("what another spec asks for", fight(60, generation=7)),
)
def test_a_few_are_put_back_at_once(known: DriftHistory | None) -> None:
    assert next_step(look(known)) == Repair(1, frozenset({"password"}))


TWO = state(revision(2, "Triggered"), revision())
ENDED = state(revision(2, "Triggered", previous=frozenset({"password.previous"}), ended=True), revision())


@cases(
    ("recorded", "found", "step"),
    case("a new revision", TWO, target(1), Publish(2)),
    case("the end of an overlap", ENDED, target(2, overlapping=True), Settle(2)),
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
