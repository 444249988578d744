"""What the state records, and what it forgets."""

from __future__ import annotations

import pytest

from keyturn.core.state import KEPT_REVISIONS, Kept, Revision, State, Triggers, changed_names
from keyturn.core.value import Value
from tests.core import builders
from tests.core.builders import MADE, NOW, UID


def kept(text: str) -> Kept:
    return Kept("", Value.of_text(text))


def revision(number: int) -> Revision:
    return Revision(builders.revision(number), {"password": kept(f"of revision {number}")})


def state(*numbers: int) -> State:
    return State(UID, MADE, Triggers(), tuple(revision(number) for number in numbers))


def numbers(state: State) -> list[int]:
    return [one.facts.number for one in state.revisions]


def test_a_new_revision_is_the_newest_and_the_oldest_is_dropped() -> None:
    asked = Triggers("a", None, "a")
    after = state(3, 2, 1).with_revision(revision(4), NOW, asked)
    assert numbers(after) == [4, 3, 2]
    assert len(after.revisions) == KEPT_REVISIONS
    assert after.older == (builders.revision(1),), "without its values, with what it changed"
    assert (after.rotated, after.triggers, after.newest.facts.number) == (NOW, asked, 4)


def test_the_time_of_publication_is_recorded_of_the_newest() -> None:
    after = state(2, 1).with_published(NOW)
    assert [one.facts.published for one in after.revisions] == [NOW, None]


def test_a_revision_is_found_by_its_number() -> None:
    recorded = state(2, 1)
    assert recorded.revision(1) is recorded.revisions[1]
    assert recorded.revision(3) is None
    assert recorded.revision(None) is None


def test_its_facts_tell_everything_but_values() -> None:
    assert state(2, 1).facts() == builders.state(builders.revision(2), builders.revision(1))


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param({"a": "1"}, {"a": "1"}, set(), id="nothing"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a"}, id="another value"),
        pytest.param({}, {"a": "1"}, {"a"}, id="added"),
        pytest.param({"a": "1"}, {}, {"a"}, id="removed"),
        pytest.param({"a": "1", "b": "2"}, {"b": "2", "c": "1"}, {"a", "c"}, id="renamed"),
    ],
)
def test_changed_are_the_names_whose_value_is_another(
    before: dict[str, str], after: dict[str, str], changed: set[str]
) -> None:
    def values(texts: dict[str, str]) -> dict[str, Kept]:
        return {name: kept(text) for name, text in texts.items()}

    assert changed_names(values(before), values(after)) == changed


def test_a_value_that_another_recipe_made_is_the_same_value() -> None:
    before, after = Kept("old", Value.of_text("x")), Kept("new", Value.of_text("x"))
    assert changed_names({"a": before}, {"a": after}) == frozenset()


@pytest.mark.parametrize(
    "asked", [Triggers("", None), Triggers(None, ""), Triggers("a", "b"), Triggers("a", "")]
)
def test_what_was_handled_is_never_unhandled(asked: Triggers) -> None:
    assert Triggers().with_handled(asked).unhandled(asked) == ()
