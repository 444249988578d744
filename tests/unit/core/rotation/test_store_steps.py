"""What is written into stores, in which order, and what is left there."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import REFRESH
from keyturn.core.observation.observed import Managed
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import (
    Bind,
    Finalize,
    Intend,
    Publish,
    Push,
    Refresh,
    Rest,
    RollOut,
    Step,
    Withdraw,
)
from keyturn.core.spec.references import Destination
from keyturn.core.state.state import Triggers
from tests.support.cases import case, cases
from tests.unit.core.builders import (
    NOW,
    PUSH,
    VAULT,
    consumer,
    observed,
    push_problems,
    pushed,
    revision,
    seconds,
    state,
    target,
)

PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
ANOTHER_VALUE = replace(PLACE, secret_key="password")  # noqa: S106  # a name
OTHER = Destination(StoreKind.SECRET_STORE, "vault", "shop/other")
KEPT_FOR = replace(PLACE, deletes=True)
PUSHES = {"pushTo": [PUSH]}
TWICE = {"pushTo": [PUSH, {"storeRef": VAULT, "remoteRef": {"key": "shop/other"}}]}
DELETES = {"pushTo": [{**PUSH, "deletionPolicy": "Delete"}]}
REFUSED = Stalled("ProviderError", "the store refused")
AWAY = Wait("ProviderError", "the store does not answer", seconds(5))
LATER = NOW + timedelta(minutes=3)


def second(*records: Any) -> dict[str, Any]:
    """Make a second revision that is published, and what is recorded of pushes before."""
    made = state(revision(2, "Triggered", made=NOW), revision(), pushed=records)
    return {"state": made, "target": target(2, published=NOW - seconds(60))}


def failed(*places: Destination, error: Wait | Stalled = REFUSED, again: Any = LATER) -> dict[str, Any]:
    return {"push_problems": push_problems(*places, error=error, again=again)}


@cases(
    ("look", "step"),
    # Once for each revision
    case("new: it is recorded first", observed(PUSHES), Intend(pushed(PLACE, done=False))),
    case("recorded", observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),))), Push(PLACE, 1)),
    case("done", observed(PUSHES, state=state(pushed=(pushed(PLACE),))), Rest(None)),
    case("left as it was", observed(PUSHES, state=state(pushed=(pushed(PLACE, kept=True),))), Rest(None)),
    case(
        "a new revision of what is ours",
        observed(PUSHES, **second(pushed(PLACE, 1))),
        Intend(pushed(PLACE, 2, done=False, ours=True)),
    ),
    case(
        "a new revision before the last was pushed",
        observed(PUSHES, **second(pushed(PLACE, 1, done=False))),
        Intend(pushed(PLACE, 2, done=False)),
    ),
    case("a new revision is published before", observed(PUSHES, state=second()["state"]), Publish(2)),
    # The spec changed
    case(
        "another value is pushed to what is ours",
        observed({"pushTo": [{**PUSH, "secretKey": "password"}]}, state=state(pushed=(pushed(PLACE),))),
        Intend(pushed(ANOTHER_VALUE, done=False, ours=True)),
    ),
    case(
        "another policy",
        observed(
            {"pushTo": [{**PUSH, "updatePolicy": "IfNotExists"}]},
            state=state(pushed=(pushed(PLACE, kept=True),)),
        ),
        Intend(pushed(replace(PLACE, replaces=False), done=False)),
    ),
    case("no longer", observed({}, state=state(pushed=(pushed(PLACE),))), Withdraw(PLACE, deletes=False)),
    case(
        "no longer, and it goes there: that is recorded first",
        observed({}, state=state(pushed=(pushed(PLACE, deletes=True),)), finalized=True),
        Intend(pushed(PLACE, done=False, deletes=True, ours=True)),
    ),
    case(
        "no longer, and the store has kept an earlier revision of ours",
        observed(
            {},
            state=state(pushed=(pushed(PLACE, done=False, deletes=True, kept=True, ours=True),)),
            finalized=True,
        ),
        Withdraw(PLACE, deletes=True),
    ),
    case(
        "no longer, and nobody knows whether it is there",
        observed({}, state=state(pushed=(pushed(PLACE, done=False, deletes=True),)), finalized=True),
        Withdraw(PLACE, deletes=True),
    ),
    case(
        "no longer, and what the store had before us stays",
        observed({}, state=state(pushed=(pushed(PLACE, deletes=True, kept=True),)), finalized=True),
        Withdraw(PLACE, deletes=False),
    ),
    case(
        "elsewhere: the old place goes first",
        observed({"pushTo": TWICE["pushTo"][1:]}, state=state(pushed=(pushed(PLACE),))),
        Withdraw(PLACE, deletes=False),
    ),
    # One that goes with its ManagedSecret
    case("it is kept before anything is written", observed(DELETES), Finalize(present=True)),
    case(
        "it is kept: recorded next",
        observed(DELETES, finalized=True),
        Intend(pushed(KEPT_FOR, done=False, deletes=True)),
    ),
    case(
        "it goes from now on: nothing is pushed for that",
        observed(DELETES, state=state(pushed=(pushed(PLACE),)), finalized=True),
        Intend(pushed(KEPT_FOR, deletes=True)),
    ),
    case(
        "it goes from now on, and was not ours",
        observed(DELETES, state=state(pushed=(pushed(PLACE, kept=True),)), finalized=True),
        Intend(pushed(KEPT_FOR, deletes=True, kept=True)),
    ),
    case(
        "it stays from now on",
        observed(PUSHES, state=state(pushed=(pushed(PLACE, deletes=True),)), finalized=True),
        Intend(pushed(PLACE)),
    ),
    case(
        "nothing is left that would go",
        observed(PUSHES, state=state(pushed=(pushed(PLACE),)), finalized=True),
        Finalize(present=False),
    ),
    case(
        "made again: it is kept again",
        observed(DELETES, state=state(pushed=(pushed(KEPT_FOR, deletes=True),))),
        Finalize(present=True),
    ),
    case(
        "kept and done",
        observed(DELETES, state=state(pushed=(pushed(KEPT_FOR, deletes=True),)), finalized=True),
        Rest(None),
    ),
    case("nothing is pushed any more: it is let go", observed(finalized=True), Finalize(present=False)),
    # One that fails
    case(
        "one that failed lets another go first",
        observed(TWICE, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE)),
        Intend(pushed(OTHER, done=False)),
    ),
    case(
        "one that failed waits for its time",
        observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE)),
        Rest(LATER, REFUSED),
    ),
    case(
        "its time has come",
        observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE, again=NOW)),
        Push(PLACE, 1),
    ),
    case(
        "a newer revision is recorded all the same",
        observed(PUSHES, **second(pushed(PLACE, done=False)), **failed(PLACE)),
        Intend(pushed(PLACE, 2, done=False)),
    ),
    case(
        "one that could not be deleted waits as well",
        observed(
            {},
            state=state(pushed=(pushed(PLACE, done=False, deletes=True),)),
            finalized=True,
            **failed(PLACE),
        ),
        Rest(LATER, REFUSED),
    ),
    case(
        "to forget one asks no store",
        observed({}, state=state(pushed=(pushed(PLACE),)), **failed(PLACE)),
        Withdraw(PLACE, deletes=False),
    ),
    case(
        "one that nobody speaks of any more is no problem",
        observed(PUSHES, state=state(pushed=(pushed(PLACE),)), **failed(OTHER)),
        Rest(None),
    ),
)
def test_what_is_written_next(look: Managed, step: Step) -> None:
    assert next_step(look) == step


def test_a_failed_push_lets_workloads_roll() -> None:
    behind = consumer("api")
    look = observed(PUSHES, behind, **second(pushed(PLACE, 2, done=False)), **failed(PLACE, error=AWAY))
    assert next_step(look) == RollOut(behind, "db=2")


def test_a_failed_push_does_not_put_off_what_is_due_sooner() -> None:
    published = NOW - seconds(2)  # within the debounce
    look = observed(
        PUSHES,
        consumer("api"),
        state=second(pushed(PLACE, 2, done=False))["state"],
        target=target(2, published=published),
        **failed(PLACE, error=AWAY),
    )
    assert next_step(look) == Rest(published + seconds(5), AWAY)


def test_a_failed_push_does_not_keep_the_record_from_being_bound() -> None:
    look = observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE))
    assert next_step(replace(look, has_wrong_binder=True)) == Bind()


def test_of_two_that_failed_the_first_is_reported_and_the_sooner_awaited() -> None:
    soon = NOW + seconds(5)
    problems = {
        **push_problems(PLACE, error=REFUSED, again=LATER),
        **push_problems(OTHER, error=AWAY, again=soon),
    }
    records = (pushed(PLACE, done=False), pushed(OTHER, done=False))
    look = observed(TWICE, state=state(pushed=records), push_problems=problems)
    assert next_step(look) == Rest(soon, REFUSED)


# A ManagedSecret that is deleted

UNREAD = replace(
    observed(DELETES, state=None, deleted=True, finalized=True),
    state_problem=Stalled("StateUnreadable", "it was edited"),
)
FOREIGN = observed(DELETES, state=None, state_is_foreign=True, deleted=True, finalized=True)


@cases(
    ("look", "reason"),
    case("it was edited", UNREAD, "StateUnreadable"),
    case("it is foreign", FOREIGN, "SecretNotOwned"),
)
def test_a_record_that_was_not_read_holds_only_what_may_have_something_outside(
    look: Managed, reason: str
) -> None:
    with pytest.raises(Stalled, match="delete it to let the ManagedSecret go") as caught:
        next_step(look)
    assert caught.value.reason == reason
    free = observed(PUSHES, deleted=True).managed
    assert next_step(replace(look, managed=free)) == Rest(None)


@cases(
    ("look", "step"),
    case("nothing of ours keeps it", observed(PUSHES, deleted=True), Rest(None)),
    case("nothing was pushed", observed(DELETES, deleted=True, finalized=True), Finalize(present=False)),
    case(
        "nobody knows what was pushed",
        observed(DELETES, state=None, target=None, deleted=True, finalized=True),
        Finalize(present=False),
    ),
    case(
        "what goes with it goes",
        observed(
            {},
            state=state(pushed=(pushed(PLACE), pushed(OTHER, deletes=True))),
            deleted=True,
            finalized=True,
        ),
        Withdraw(OTHER, deletes=True),
    ),
    case(
        "what stays by the last word of the spec stays",
        observed(PUSHES, state=state(pushed=(pushed(PLACE, deletes=True),)), deleted=True, finalized=True),
        Intend(pushed(PLACE)),
    ),
    case(
        "what the store had before us stays",
        observed(
            DELETES,
            state=state(pushed=(pushed(KEPT_FOR, deletes=True, kept=True),)),
            deleted=True,
            finalized=True,
        ),
        Intend(pushed(KEPT_FOR, kept=True)),
    ),
    case(
        "an earlier revision of ours goes",
        observed(
            DELETES,
            state=state(pushed=(pushed(KEPT_FOR, deletes=True, kept=True, ours=True),)),
            deleted=True,
            finalized=True,
        ),
        Withdraw(PLACE, deletes=True),
    ),
    case(
        "what stays stays",
        observed(PUSHES, state=state(pushed=(pushed(PLACE),)), deleted=True, finalized=True),
        Finalize(present=False),
    ),
    case(
        "what could not be deleted is waited for",
        observed(
            DELETES,
            state=state(pushed=(pushed(KEPT_FOR, deletes=True),)),
            deleted=True,
            finalized=True,
            **failed(PLACE),
        ),
        Rest(LATER, REFUSED),
    ),
    case(
        "what could not be pushed is nobody's problem any more",
        observed(
            PUSHES,
            state=state(pushed=(pushed(PLACE, done=False),)),
            deleted=True,
            **failed(PLACE, again=NOW),
        ),
        Rest(None),
    ),
    case(
        "of a spec that cannot be read",
        observed(
            None,
            spec_error=Stalled("InvalidSpec", "write another"),
            state=state(pushed=(pushed(KEPT_FOR, deletes=True),)),
            deleted=True,
            finalized=True,
        ),
        Withdraw(PLACE, deletes=True),
    ),
    case(
        "of a suspended one",
        observed(
            {**DELETES, "suspend": True},
            state=state(pushed=(pushed(KEPT_FOR, deletes=True),)),
            deleted=True,
            finalized=True,
        ),
        Withdraw(PLACE, deletes=True),
    ),
)
def test_a_deleted_one_takes_with_it_what_its_policy_says(look: Managed, step: Step) -> None:
    assert next_step(look) == step


def test_a_suspended_one_pushes_nothing() -> None:
    assert next_step(observed({**PUSHES, "suspend": True})) == Rest(None)


def test_that_stores_were_read_is_recorded_before_anything_is_pushed() -> None:
    asked = {REFRESH: "now"}
    look = observed(PUSHES, annotations=asked)
    assert next_step(replace(look, pulled=replace(look.pulled, read=True))) == Refresh()
    handled = replace(look, state=state(triggers=Triggers(refresh="now")))
    assert next_step(replace(handled, pulled=replace(look.pulled, read=True))) == Intend(
        pushed(PLACE, done=False)
    )
