"""Reads of stores that a change of the spec waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.observation.store_reads import Pulled
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Begin, Rest
from keyturn.core.rotation.triggers import reason_for_revision
from tests.unit.core.builders import NOW, PASSWORD, USERNAME, observed, seconds, state
from tests.unit.core.rotation.test_decision_pulled import AWAY, NO_ANSWER, READ

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed

ENTRY = {"storeRef": {"kind": "SecretStore", "name": "vault"}, "remoteRef": {"key": "prod/app"}}
ONE_ENTRY: dict[str, Any] = {"data": [PASSWORD], "dataFrom": [ENTRY]}
ENTRIES = {"dataFrom[0]": {"a": "a"}, "dataFrom[1]": {"b": "b"}}
OURS = {"username": {"value": "username"}}


def look_at(keys: dict[str, dict[str, str]], spec: dict[str, Any] | None = None, **facts: Any) -> Observed:
    known = replace(state(), keys={"password": {"value": "password"}, **keys})
    return observed({**ONE_ENTRY, **(spec or {})}, state=known, **facts)


TWO_ENTRIES = look_at(ENTRIES, unfit=["dataFrom[0]"])
NEW_TEMPLATE = {"target": {"template": {"data": {"url": "x"}}}}


@pytest.mark.parametrize(
    ("look", "fresh"),
    [
        pytest.param(TWO_ENTRIES, {"dataFrom[0]"}, id="the first entry was removed"),
        pytest.param(look_at(ENTRIES), set(), id="the last entry was removed"),
        pytest.param(look_at({"dataFrom[0]": {"a": "a"}, **OURS}), {"dataFrom[0]"}, id="a key was removed"),
        pytest.param(
            look_at(
                {"dataFrom[0]": {"a": "a"}, "username": {"value": "login"}}, {"data": [PASSWORD, USERNAME]}
            ),
            {"dataFrom[0]"},
            id="a key was renamed",
        ),
        pytest.param(
            look_at({"dataFrom[0]": {"a": "a"}, "theirs (found)": {"value": "a"}}, NEW_TEMPLATE),
            set(),
            id="an adopted key is none of data",
        ),
        pytest.param(
            look_at({"dataFrom[0]": {"a": "a"}}, NEW_TEMPLATE, unfit=["dataFrom[0]"]),
            {"dataFrom[0]"},
            id="another source, and another template",
        ),
    ],
)
def test_entries_of_data_from_are_read_for_the_revision_of_a_changed_spec(
    look: Observed, fresh: set[str]
) -> None:
    assert look.desired
    found = reason_for_revision(replace(look, pulled=READ), look.desired)
    assert found
    assert (found.name, set(found.fresh)) == ("SpecChanged", fresh)


def test_such_a_change_waits_for_the_store() -> None:
    waiting = next_step(replace(TWO_ENTRIES, pulled=NO_ANSWER))
    assert waiting == Rest(NOW + seconds(5), AWAY)


def test_a_change_that_needs_no_read_does_not_wait() -> None:
    assert isinstance(next_step(look_at(ENTRIES, pulled=NO_ANSWER)), Begin)
    assert isinstance(next_step(look_at(ENTRIES, pulled=Pulled())), Begin)
