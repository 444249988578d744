"""What a state Secret keeps when it would become too large."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.state.records import ItemValues, Revision, RevisionFacts
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.kube.state_secret import fitted, require_room, state_body
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


@pytest.mark.parametrize(
    ("size", "keeps", "fits"),
    [(380, False, True), (390, False, False), (250, True, True), (260, True, False)],
)
def test_a_first_revision_leaves_room_for_a_rotation(size: int, *, keeps: bool, fits: bool) -> None:
    body = state_body(KEY, state_of_size(size), None, "")
    with contextlib.nullcontext() if fits else pytest.raises(Stalled, match="that can be rotated"):
        require_room(body, keeps_previous=keeps)


@pytest.mark.parametrize("keeps", [False, True])
def test_the_largest_values_with_room_can_be_rotated(*, keeps: bool) -> None:
    value = Value(bytes((250 if keeps else 380) * 1024))
    old = ItemValues("", {"value": value}, {"value": "password"})
    new = replace(old, previous={"value": value} if keeps else {})
    known = make.state(
        *(RevisionFacts(number, "Triggered", WHEN, frozenset()) for number in (2, 1)), current=2
    )
    both = State.of(known, {2: Revision({"password": new}), 1: Revision({"password": old})})

    fitting, _ = fitted(KEY, both, None, "")
    assert [*fitting.revisions] == [2, 1]


def state_of_size(kib: int) -> State:
    kept = {"password": ItemValues("", {"value": Value(bytes(kib * 1024))}, {"value": "password"})}
    known = make.state(RevisionFacts(1, "Created", WHEN, frozenset({"password"})), current=1)
    return State.of(known, {1: Revision(kept)})
