"""What a state Secret keeps when it would become too large."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.state.revision import ItemValues, Revision, RevisionFacts
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.kube.state_secret import fitted
from keyturn.kube.target_secret import LARGEST, size_of
from tests.unit.core import builders as make

KEY = ObjectKey("shop", "db")
WHEN = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG_NAMES = frozenset(f"{number:0253}" for number in range(128))


def facts(number: int) -> RevisionFacts:
    return RevisionFacts(number, "Triggered", WHEN, LONG_NAMES)


def state(*revisions: int, size: int, older: int = 0) -> State:
    kept = {"password": ItemValues("", {"value": Value(bytes(size))}, {"value": "password"})}
    known = make.state(
        *(facts(number) for number in (*revisions, *reversed(range(older)))), current=revisions[0]
    )
    return State.of(known, {number: Revision(kept) for number in revisions})


def test_what_was_long_ago_is_forgotten_before_any_value() -> None:
    fitting, body = fitted(KEY, state(103, 102, 101, size=100, older=100), None, "")
    assert size_of(body) <= LARGEST
    assert [*fitting.revisions] == [103, 102, 101]
    assert fitting.facts.older


def test_old_values_are_forgotten_when_they_do_not_fit() -> None:
    fitting, body = fitted(KEY, state(3, 2, 1, size=300_000, older=1), None, "")
    assert size_of(body) <= LARGEST
    assert [*fitting.revisions] == [3, 2]


def test_values_that_do_not_fit_at_all_are_refused() -> None:
    with pytest.raises(Stalled) as caught:
        fitted(KEY, state(1, size=900_000), None, "")
    assert caught.value.reason == "TooLarge"
