"""Reads of stores that a change of the spec waits for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import Pulled, being_read
from keyturn.core.observation.observed import Managed
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Reason, Rest, Stage
from keyturn.core.rotation.triggers import reason_for_revision
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.state.records import Validity
from tests.support.cases import case, cases
from tests.unit.core.builders import (
    API_KEY,
    NOW,
    PASSWORD,
    UID,
    USERNAME,
    managed,
    minutes,
    observed,
    revision,
    seconds,
    state,
)
from tests.unit.core.rotation.test_decision_pulled import AWAY, GONE, NO_ANSWER, READ

ENTRY = {"storeRef": {"kind": "SecretStore", "name": "vault"}, "remoteRef": {"key": "prod/app"}}
ONE_ENTRY: dict[str, Any] = {"data": [PASSWORD], "dataFrom": [ENTRY]}
ENTRIES = {"dataFrom[0]": {"a": "a"}, "dataFrom[1]": {"b": "b"}}
OURS = {"username": {"value": "username"}}


def look_at(keys: dict[str, dict[str, str]], spec: dict[str, Any] | None = None, **facts: Any) -> Managed:
    known = replace(state(), keys={"password": {"value": "password"}, **keys})
    return observed({**ONE_ENTRY, **(spec or {})}, state=known, **facts)


TWO_ENTRIES = look_at(ENTRIES, mismatched_items=["dataFrom[0]"])
NEW_TEMPLATE = {"target": {"template": {"data": {"url": "x"}}}}


@cases(
    ("look", "fresh"),
    case("the first entry was removed", TWO_ENTRIES, {"dataFrom[0]"}),
    case("the last entry was removed", look_at(ENTRIES), set()),
    case("a key was removed", look_at({"dataFrom[0]": {"a": "a"}, **OURS}), {"dataFrom[0]"}),
    case(
        "a key was renamed",
        look_at({"dataFrom[0]": {"a": "a"}, "username": {"value": "login"}}, {"data": [PASSWORD, USERNAME]}),
        {"dataFrom[0]"},
    ),
    case(
        "an adopted key is none of data",
        look_at({"dataFrom[0]": {"a": "a"}, "theirs (found)": {"value": "a"}}, NEW_TEMPLATE),
        set(),
    ),
    case(
        "another source, and another template",
        look_at({"dataFrom[0]": {"a": "a"}}, NEW_TEMPLATE, mismatched_items=["dataFrom[0]"]),
        {"dataFrom[0]"},
    ),
)
def test_entries_of_data_from_are_read_for_the_revision_of_a_changed_spec(
    look: Managed, fresh: set[str]
) -> None:
    found = reason_for_revision(replace(look, pulled=READ))
    assert found
    assert (found.name, set(found.fresh)) == ("SpecChanged", fresh)


def test_such_a_change_waits_for_the_store() -> None:
    waiting = next_step(replace(TWO_ENTRIES, pulled=NO_ANSWER))
    assert waiting == Rest(NOW + seconds(5), AWAY)


def test_a_change_that_needs_no_read_does_not_wait() -> None:
    assert isinstance(next_step(look_at(ENTRIES, pulled=NO_ANSWER)), Stage)
    assert isinstance(next_step(look_at(ENTRIES, pulled=Pulled())), Stage)


# What does not wait

LEAK = Emergency("leak", UID, NOW - minutes(1))
WITH_ADDED: dict[str, Any] = {"data": [PASSWORD, API_KEY]}
OLD = state(revision(made=NOW - minutes(60)))
ENDING = replace(state(), lives={"password": Validity(NOW - minutes(1), NOW + minutes(1))})
ASKED = Reason(
    "Emergency",
    "the emergency leak asks for it",
    frozenset({"password"}),
    rotates=True,
    awaited=frozenset({"api-key"}),
)


@pytest.mark.parametrize("problem", [AWAY, GONE], ids=["wait", "stalled"])
def test_an_emergency_does_not_wait_for_an_added_value_that_cannot_be_read(problem: Wait | Stalled) -> None:
    look = observed(WITH_ADDED, state=OLD, emergencies=(LEAK,), pulled=Pulled(problem=problem))
    assert next_step(look) == Stage(2, ASKED)


def test_an_emergency_waits_for_a_first_read_which_is_in_progress() -> None:
    for pulled in (Pulled(problem=being_read()), Pulled()):
        step = next_step(observed(WITH_ADDED, state=OLD, emergencies=(LEAK,), pulled=pulled))
        assert isinstance(step, Rest)
        assert step.problem
        assert step.problem.reason == "ReadingStores"


def test_an_emergency_and_a_value_that_expires_are_one_revision_without_the_added_value() -> None:
    look = observed(WITH_ADDED, state=ENDING, emergencies=(LEAK,), pulled=NO_ANSWER)
    step = next_step(look)
    assert isinstance(step, Stage)
    assert (step.reason.fresh, step.reason.awaited) == (ASKED.fresh, ASKED.awaited)


def test_a_value_that_expires_does_not_wait_for_an_added_one() -> None:
    step = next_step(observed(WITH_ADDED, state=ENDING, pulled=NO_ANSWER))
    assert isinstance(step, Stage)
    assert (step.reason.name, step.reason.awaited) == ("Ending", ASKED.awaited)


A_KEY_WAS_REMOVED = look_at({"dataFrom[0]": {"a": "a"}, **OURS}, pulled=Pulled(problem=GONE))
A_KEY_WAS_RENAMED = look_at(
    {"dataFrom[0]": {"a": "a"}, "username": {"value": "login"}},
    {"data": [PASSWORD, USERNAME]},
    pulled=Pulled(problem=GONE),
)
A_KEY_WAS_MOVED = look_at(
    {"dataFrom[0]": {"a": "a"}, **OURS}, {"data": [PASSWORD, API_KEY]}, pulled=Pulled(problem=GONE)
)


def with_request(look: Managed) -> Managed:
    metadata = look.managed.metadata
    asking = metadata.model_copy(update={"annotations": {ROTATE: "a"}})
    return replace(look, managed=look.managed.model_copy(update={"metadata": asking}))


def test_a_requested_rotation_does_not_wait_for_the_keys_of_a_removed_item() -> None:
    step = next_step(with_request(A_KEY_WAS_REMOVED))
    assert isinstance(step, Stage)
    assert (step.reason.name, step.reason.fresh, step.reason.awaited) == (
        "Triggered",
        frozenset({"password"}),
        frozenset({"dataFrom[0]"}),
    )


def test_a_due_rotation_does_not_wait_for_the_keys_of_a_removed_item() -> None:
    spec = {**ONE_ENTRY, "rotation": {"every": "1h"}}
    desired = resolve_spec(managed(spec), None)
    step = next_step(replace(A_KEY_WAS_REMOVED, desired=desired, now=NOW + timedelta(days=9)))
    assert isinstance(step, Stage)
    assert (step.reason.name, step.reason.awaited) == ("RotationDue", frozenset({"dataFrom[0]"}))


@pytest.mark.parametrize("look", [A_KEY_WAS_RENAMED, A_KEY_WAS_MOVED], ids=["renamed", "added"])
def test_a_requested_rotation_waits_with_what_it_would_not_keep(look: Managed) -> None:
    step = next_step(with_request(look))
    assert isinstance(step, Rest)
    assert step.problem == GONE


def test_an_emergency_without_an_added_value_awaits_nothing() -> None:
    look = observed(WITH_ADDED, state=state(names=("password", "api-key")), emergencies=(LEAK,))
    step = next_step(replace(look, pulled=NO_ANSWER))
    assert isinstance(step, Stage)
    assert not step.reason.awaited
