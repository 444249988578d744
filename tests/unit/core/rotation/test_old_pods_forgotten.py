"""What a workload has missed stays known when facts of old revisions are forgotten, and nothing less is claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.rotation.old_pods import runs_other_values
from keyturn.core.state.state import MAX_FACTS, Publication
from tests.unit.core.builders import MADE, consumer, minutes, observed, revision, state, target, use

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Consumer
    from keyturn.core.state.records import RevisionFacts
    from keyturn.core.state.state import StateFacts

KEYS = ("signing", "token", "url")
PUBLISHED = MADE + minutes(MAX_FACTS + 10)


def at(number: int) -> datetime:
    """Return when a revision was published."""
    return MADE + minutes(number)


def history(newest: int) -> list[RevisionFacts]:
    """Make revisions of which the second changed one key, and all others another one."""
    rest = [
        revision(number, "Triggered", changed=["signing" if number == 2 else "token"])
        for number in range(newest, 1, -1)
    ]
    return [*rest, revision(1, changed=KEYS)]


def recorded(revisions: list[RevisionFacts]) -> StateFacts:
    newest = revisions[0].number
    published = tuple(Publication(one.number, at(one.number)) for one in revisions[1:][:MAX_FACTS])
    return state(*revisions, names=KEYS, restorable={newest}, publications=published)


def is_behind(facts: StateFacts, one: Consumer) -> bool:
    look = observed(None, one, state=facts, target=target(facts.current_number, published=PUBLISHED))
    return runs_other_values(one, look)


@pytest.mark.parametrize("of", [{"marker": "db=2"}, {"created": at(2) + minutes(0.5)}], ids=["marker", "age"])
@pytest.mark.parametrize("key", ["signing", "token"])
def test_a_workload_with_an_old_revision_has_missed_the_keys_that_changed(
    of: dict[str, Any], key: str
) -> None:
    facts = recorded(history(20)).with_older(5)
    assert [one.number for one in facts.revisions] == [20, 19, 18, 17, 2, 1]
    assert is_behind(facts, consumer(uses=(use("db", key),), **of)) == (key == "token")


@pytest.mark.parametrize(("newest", "expected"), [(MAX_FACTS, False), (MAX_FACTS + 5, True)])
def test_a_pod_from_before_all_known_publications_has_missed_what_changed_since_the_first(
    newest: int, *, expected: bool
) -> None:
    """Of fewer publications the first is known, which pods from before it have waited for."""
    revisions = [revision(number, "Triggered", changed=["token"]) for number in range(newest, 3, -1)]
    others = [revision(3, "Triggered", changed=["url"]), *history(2)]
    facts = recorded([*revisions, *others])
    one = consumer(uses=(use("db", "url"),), created=at(3) + minutes(0.5))
    older = consumer(uses=(use("db", "url"),), created=at(2) + minutes(0.5))
    assert is_behind(facts, older)
    assert is_behind(facts, one) == expected


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(KEYS), min_size=1), st.integers(1, 3)), min_size=2, max_size=12
    ),
    st.integers(0, 10),
)
def test_no_workload_counts_as_current_because_facts_were_forgotten(
    changes: list[tuple[set[str], int]], limit: int
) -> None:
    """Each revision is derived from one of the last three; markers and ages name each of them."""
    revisions = [revision(1, changed=KEYS)]
    for number, (keys, back) in enumerate(changes, 2):
        revisions.insert(
            0, revision(number, "Triggered", changed=keys, base=max(1, number - back), fallback=None)
        )
    whole = recorded(revisions)
    cut = whole.with_older(limit)
    for number in range(1, len(revisions) + 1):
        for key in KEYS:
            for of in ({"marker": f"db={number}"}, {"created": at(number) + minutes(0.5)}):
                one = consumer(uses=(use("db", key),), **of)
                assert is_behind(cut, one) >= is_behind(whole, one)
