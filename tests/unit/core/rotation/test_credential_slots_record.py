"""The recorded credentials and the account of the spec, which can be removed and added again as another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.rotation.credential_slots import record_problem
from keyturn.core.rotation.decision import next_step
from keyturn.core.state.records import Credential, Phase
from tests.unit.core import builders as make
from tests.unit.core.accounts import SINGLE, credential, look, state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.state import StateFacts


def recorded(**facts: Any) -> Credential:
    """Make a credential of the account of `look`, with other facts."""
    return replace(credential(1), **facts)


def problem_of(seen: Observed) -> Stalled | None:
    database = make.wanted(seen).database
    assert database
    return record_problem(seen, database)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(state(recorded()), id="the same"),
        pytest.param(state(recorded(login="app")), id="an adopted account"),
        pytest.param(
            state(credential(2), recorded(phase=Phase.CLOSED, item="token")), id="of another, closed"
        ),
        pytest.param(None, id="no record"),
    ],
)
def test_credentials_of_the_account_are_followed(found: StateFacts | None) -> None:
    seen = look(found) if found else replace(look(), state=None)
    assert problem_of(seen) is None


@pytest.mark.parametrize(
    ("found", "database", "fix"),
    [
        pytest.param(state(recorded(item="token")), {}, "write passwordValue: token", id="another item"),
        pytest.param(
            state(recorded(target="DatabaseTarget/old")),
            {},
            "open at DatabaseTarget/old",
            id="another target",
        ),
        pytest.param(
            state(recorded()),
            {"targetRef": {"kind": "ClusterDatabaseTarget", "name": "orders"}},
            "targetRef names ClusterDatabaseTarget/orders",
            id="another kind of target",
        ),
        pytest.param(
            state(recorded(login="postgres")),
            {},
            "write username and strategy as they were",
            id="another account",
        ),
        pytest.param(state(recorded()), SINGLE, "with strategy SingleUser", id="another strategy"),
    ],
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
