"""Whether another credential may be opened, and under which login."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.observation.external import AccountFacts
from keyturn.core.observation.observed import with_facts
from keyturn.core.rotation.credential_slots import (
    may_open,
    previous_still_open,
    record_problem,
    staged_login,
    tries_of,
    unproven,
)
from keyturn.core.rotation.decision import next_step
from keyturn.core.state.records import Credential, Phase
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.accounts import SINGLE, TWICE, credential, look, moved, spec, state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.state.state import StateFacts


STAGED, APPLIED, PROVEN, CLOSING, CLOSED = Phase
DATABASE = make.desired(spec())
PASSWORD = frozenset({"password"})


@cases(
    ("known", "login"),
    case("the first one", None, "app_a"),
    case("after a", state(credential(1)), "app_b"),
    case("after b", state(credential(2), credential(1, CLOSED)), "app_a"),
    case("after an adopted one", state(credential(1, login="app")), "app_a"),
    case("none is open", state(credential(1, CLOSED)), "app_a"),
)
def test_a_new_password_gets_the_login_that_is_free(known: StateFacts | None, login: str) -> None:
    assert staged_login(PASSWORD, known, DATABASE) == login


def test_one_name_has_every_password() -> None:
    single = make.desired(spec(SINGLE))
    twice = make.desired(spec(), capacity=TWICE)
    assert staged_login(PASSWORD, state(credential(1, login="app")), single) == "app"
    assert staged_login(PASSWORD, state(credential(1, login="app")), twice) == "app"


def test_other_values_keep_the_login() -> None:
    assert staged_login(frozenset({"token"}), state(credential(1)), DATABASE) == "app_a"
    assert staged_login(frozenset({"token"}), make.state(), DATABASE) == "app_a"


def test_without_an_account_there_is_no_login() -> None:
    assert staged_login(PASSWORD, state(), make.desired()) is None


@cases(
    ("known", "expected"),
    case("only the current one is open", state(credential(1)), True),
    case("a previous one is open", state(credential(2), credential(1)), False),
    case("a previous one is closing", state(credential(2), credential(1, CLOSING)), False),
    case("the previous one is closed", state(credential(2), credential(1, CLOSED)), True),
    case("the current one is unknown to the server", state(credential(1, STAGED)), False),
    case("the current one is not proven", state(credential(1, APPLIED)), False),
    case("the current one is closed", state(credential(1, CLOSED)), True),
    case("there is none", make.state(), True),
    case("there is no state", None, True),
)
def test_two_are_open_at_most(known: StateFacts | None, *, expected: bool) -> None:
    seen = look(known) if known else make.observed(spec(), state=None)
    assert may_open(seen) is expected


def test_a_current_one_that_the_server_refuses_leaves_room() -> None:
    refused = state(credential(1, APPLIED))
    assert may_open(look(refused, account=AccountFacts(refused=2)))
    assert not may_open(look(refused, account=AccountFacts(refused=1)))
    assert not may_open(make.observed(spec(), state=refused))


@cases(
    ("tries", "reason", "expected"),
    case("the second candidate", 0, "Triggered", 1),
    case("the third candidate", 1, "Triggered", 2),
    case("another rotation after the third", 2, "Triggered", 0),
    case("an emergency", 1, "Emergency", 0),
)
def test_candidates_of_one_rotation_are_counted(tries: int, reason: str, expected: int) -> None:
    gone = moved(state(credential(2, CLOSED, tries=tries), credential(1), current=1), 2, abandoned=True)
    assert tries_of(reason, gone) == expected


def test_a_first_candidate_counts_none() -> None:
    assert tries_of("Triggered", None) == 0
    assert tries_of("Triggered", state()) == 0
    assert tries_of("Triggered", moved(make.state(), 1, reason="Triggered", abandoned=True)) == 0


def test_the_unproven_credential_is_that_of_the_candidate_or_the_current_one() -> None:
    candidate = state(credential(2, STAGED), credential(1), current=1)
    assert unproven(candidate) == credential(2, STAGED)
    assert unproven(state(credential(1, APPLIED))) == credential(1, APPLIED)
    assert unproven(state()) is None
    assert unproven(make.state()) is None


@cases(
    ("known", "text"),
    case("previous", state(credential(2), credential(1)), "the previous login app_a of revision 1 is closed"),
    case("not proven", state(credential(1, APPLIED)), "a login has proven the password"),
)
def test_what_a_rotation_waits_for_is_named(known: StateFacts, text: str) -> None:
    assert text in previous_still_open(known)


# The recorded credentials and the account of the spec, which can be removed and added again as another one


def recorded(**facts: Any) -> Credential:
    """Make a credential of the account of `look`, with other facts."""
    return replace(credential(1), **facts)


@cases(
    "found",
    case("the same", state(recorded())),
    case("an adopted account", state(recorded(login="app"))),
    case("of another, closed", state(credential(2), recorded(phase=Phase.CLOSED, item="token"))),
    case("no record", None),
)
def test_credentials_of_the_account_are_followed(found: StateFacts | None) -> None:
    seen = look(found) if found else with_facts(look(), state=None)
    assert record_problem(seen) is None


@cases(
    ("found", "database", "fix"),
    case("another item", state(recorded(item="token")), {}, "write passwordValue: token"),
    case("another target", state(recorded(target="DatabaseTarget/old")), {}, "open at DatabaseTarget/old"),
    case(
        "another kind of target",
        state(recorded()),
        {"targetRef": {"kind": "ClusterDatabaseTarget", "name": "orders"}},
        "targetRef names ClusterDatabaseTarget/orders",
    ),
    case("another account", state(recorded(login="postgres")), {}, "write account as it was"),
    case("another strategy", state(recorded()), SINGLE, "which has app; write account as it was"),
)
def test_an_account_that_was_added_again_as_another_one_is_refused(
    found: StateFacts, database: Mapping[str, Any], fix: str
) -> None:
    with pytest.raises(Stalled, match=fix) as caught:
        next_step(look(found, database=database))
    assert caught.value.reason == "InvalidDatabase"


def test_a_record_with_three_open_credentials_was_edited() -> None:
    with pytest.raises(Stalled) as caught:
        next_step(look(state(*(credential(number) for number in (3, 2, 1)))))
    assert caught.value.reason == "StateUnreadable"


def test_without_an_account_the_record_holds_nothing_up() -> None:
    seen = make.observed({}, state=state(recorded(item="token")), target=make.target(1))
    next_step(seen)
