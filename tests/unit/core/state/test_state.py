"""What the state records, and what it forgets."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.core.spec.references import UNKNOWN_SOURCE, Source
from keyturn.core.state.records import (
    ItemValues,
    Rendered,
    Revision,
    StoreLease,
    Validity,
    changed_keys,
    found_under,
)
from keyturn.core.state.state import Publication, RollbackPause, State, Triggers
from keyturn.core.value import Value
from tests.support.cases import case, cases
from tests.unit.core import builders
from tests.unit.core.builders import NOW


def kept(text: str) -> ItemValues:
    return ItemValues("", {"value": Value.of_text(text)}, {"value": "password"})


def values(number: int) -> Revision:
    return Revision({"password": kept(f"of revision {number}")})


def state(*numbers: int) -> State:
    return builders.record(*((builders.revision(number), values(number)) for number in numbers))


def with_newer(before: State, number: int, limit: int, **facts: Any) -> State:
    after = before.facts.with_revision(builders.revision(number, **facts), limit)
    return State.newer(after, values(number), before)


@cases(
    ("limit", "fallback", "left"),
    case("three old ones", 3, 3, [4, 3, 2, 1]),
    case("two old ones", 2, 3, [4, 3, 2]),
    case("none but the one to fall back on", 0, 3, [4, 3]),
    case("none", 0, None, [4]),
    case("one, and an older one to fall back on", 1, 1, [4, 3, 1]),
)
def test_a_new_revision_is_current_and_the_oldest_are_dropped(
    limit: int, fallback: int | None, left: list[int]
) -> None:
    after = with_newer(state(3, 2, 1), 4, limit, fallback=fallback)
    assert [*after.revisions] == left
    assert [one.number for one in after.facts.older] == sorted({1, 2, 3} - set(left), reverse=True)
    assert after.facts.current_number == after.facts.current.number == after.facts.newest.number == 4


def test_the_leases_of_each_revision_are_known() -> None:
    lent = Revision({"password": replace(kept("lent"), lease="creds/1")})
    facts = builders.record((builders.revision(2), values(2)), (builders.revision(1), lent)).facts

    assert facts.leases_by_revision == {1: {"creds/1"}}
    assert state(2, 1).facts.leases_by_revision == {}


def test_a_lease_that_a_revision_had_is_known_as_such_when_its_values_are_dropped() -> None:
    leases = [StoreLease("vault", f"creds/{number}", "", timedelta(hours=1), NOW) for number in (1, 2)]
    lent = Revision({"password": replace(kept("lent"), lease="creds/1")})
    before = builders.record((builders.revision(1), lent), leases=tuple(leases))
    longer = replace(leases[0], ends=NOW + timedelta(hours=1), is_carried=False)

    after = with_newer(before, 2, 0).facts.with_leases((longer,))

    assert {loan.id: (loan.ends, loan.is_carried) for loan in after.leases} == {
        "creds/1": (longer.ends, True),
        "creds/2": (NOW, False),
    }


def test_a_new_revision_lifts_a_hold() -> None:
    held = replace(state(2, 1).facts, current_number=1, rollback_pause=RollbackPause(2, 1, NOW, failed=True))
    assert held.with_revision(builders.revision(3), 3).rollback_pause is None


def test_the_time_of_publication_is_recorded_of_the_current_one() -> None:
    after = replace(state(2, 1).facts, current_number=1).with_published(NOW).with_published(None)
    assert after.publications == (Publication(1, NOW),)


def test_a_fact_is_changed_of_the_current_one_alone() -> None:
    before = replace(state(2, 1).facts, current_number=1)
    after = before.with_revision_facts(replace(before.current, ended=True))
    assert [one.ended for one in after.revisions] == [False, True]


def test_the_values_that_are_needed_least_are_dropped_first() -> None:
    before = state(4, 3, 2, 1)
    one_less = before.facts.without_oldest()
    assert one_less
    assert [*before.with_facts(one_less).revisions] == [4, 3, 2]
    assert [one.number for one in one_less.older] == [1]
    two_less = one_less.without_oldest()
    assert two_less
    assert (two_less.restorable, two_less.without_oldest()) == (frozenset({4, 3}), None)


def test_the_values_of_a_restored_revision_are_kept_while_the_next_one_may_fail() -> None:
    """Revision 3 was rolled back to 2, whose rollout was in progress when revision 4 was requested."""
    fourth = builders.revision(4, base=2, fallback=1)
    rolled_back = replace(state(3, 2, 1).facts, current_number=2)
    assert rolled_back.with_revision(fourth, 0).restorable == {4, 2}
    before = builders.state(fourth, *rolled_back.revisions)
    assert before.with_candidate(builders.revision(5), 0).restorable == {5, 4, 2}
    less = before.without_oldest()
    least = less.without_oldest() if less else None
    assert least
    assert (least.restorable, least.without_oldest()) == (frozenset({4, 2}), None)


def test_facts_of_the_oldest_revisions_are_forgotten() -> None:
    facts = builders.state(*(builders.revision(number) for number in (9, 8, 7, 6)), restorable={9, 6})
    assert [one.number for one in facts.with_older(1).revisions] == [9, 8, 6]


def test_a_revision_is_found_by_its_number() -> None:
    recorded = state(2, 1).facts
    assert recorded.revision(1) is recorded.revisions[1]
    assert recorded.revision(3) is None
    assert recorded.revision(None) is None


def test_facts_of_a_hundred_revisions_without_values_are_kept() -> None:
    known = [builders.revision(number) for number in range(101, 0, -1)]
    facts = builders.state(*known, restorable={101}).with_revision(builders.revision(102, fallback=None), 0)
    assert [one.number for one in facts.older] == [*range(101, 2, -1), 1]


def test_a_revision_whose_keys_have_changed_again_is_forgotten_first() -> None:
    revisions = (
        builders.revision(5, changed=["token"]),
        builders.revision(4, changed=["token"]),
        builders.revision(3, changed=["token"]),
        builders.revision(2, changed=["signing"]),
        builders.revision(1, changed=["signing", "token"]),
    )
    facts = builders.state(*revisions, restorable={5})

    kept = facts.with_older(2)

    assert [(one.number, one.base) for one in kept.revisions] == [(5, 2), (2, 1), (1, None)]
    assert [one.number for one in kept.publications] == [2, 2, 2, 1]
    assert [one.number for one in kept.with_older(1).revisions] == [5, 2]


def test_a_revision_with_two_successors_is_kept_until_both_have_changed_its_keys() -> None:
    revisions = [
        builders.revision(4, changed=["token"], base=2),
        builders.revision(3, changed=["signing"], base=2),
        builders.revision(2, changed=["token"]),
        builders.revision(1, changed=["signing", "token"]),
    ]
    facts = builders.state(*revisions, restorable={4})
    assert [one.number for one in facts.with_older(2).revisions] == [4, 3, 2]
    revisions[1] = builders.revision(3, changed=["signing", "token"], base=2)
    facts = builders.state(*revisions, restorable={4})
    assert [one.number for one in facts.with_older(2).revisions] == [4, 3, 1]


def test_a_rollback_changes_what_is_current() -> None:
    before = state(2, 1)
    after = before.with_facts(replace(before.facts, current_number=1))
    assert (after.current, before.current) == (values(1), values(2))


def test_its_facts_report_everything_but_values() -> None:
    assert state(2, 1).facts == builders.state(builders.revision(2), builders.revision(1), publications=())


def test_its_facts_report_revisions_whose_values_are_gone() -> None:
    facts = with_newer(state(3, 2, 1), 4, 1).facts
    assert [one.number for one in facts.revisions] == [4, 3, 2, 1]
    assert facts.restorable == {4, 3}
    assert (facts.newest.number, facts.current.number, facts.revision(2)) == (4, 4, builders.revision(2))


def test_its_facts_report_which_keys_are_written_and_until_when() -> None:
    life = Validity(NOW, NOW)
    one = Revision(
        {"tls": ItemValues("r", {"a": Value(b"1")}, {"a": "tls.crt"}, life)},
        {"url": Rendered("{{ tls }}", Value(b"2"))},
    )
    facts = builders.record((builders.revision(), one)).facts
    assert facts.every_key == {"tls.crt", "url"}
    assert facts.names == {"tls"}
    assert facts.lives == {"tls": life}
    assert facts.templates == {"url": "{{ tls }}"}


# What a revision puts into the Secret

TURNED = Revision(
    {
        "token": ItemValues(
            "r", {"value": Value(b"new")}, {"value": "TOKEN"}, previous={"value": Value(b"old")}
        ),
        "set": ItemValues(
            "r", {"a": Value(b"one"), "b": Value(b"x")}, {"a": "a", "b": "b"}, overlap={"a": Value(b"two")}
        ),
    },
    {"b": Rendered("{{ set.b }}", Value(b"rendered"))},
)


def test_a_template_has_its_own_result_during_the_overlap() -> None:
    token = ItemValues("r", {"value": Value(b"new")}, {"value": "token"}, earlier={"value": Value(b"old")})
    one = Revision({"token": token}, {"token": Rendered("{{ previous.token }}", Value(b""), Value(b"old"))})

    assert one.overlap_data() == {"token": Value(b"old")}
    assert one.published_data(overlapping=False) == {"token": Value(b"")}
    assert token.settled().earlier == {}


def test_a_revision_is_written_under_its_keys_and_a_template_goes_before_an_item() -> None:
    assert TURNED.published_data(overlapping=False) == {
        "TOKEN": Value(b"new"),
        "a": Value(b"one"),
        "b": Value(b"rendered"),
    }


READ = ItemValues(
    Source(StoreKind.SECRET_STORE, "vault", "prod/api").text,
    {"value": Value(b"stored")},
    {"value": "api-key"},
)


@cases(
    ("read", "keys"),
    case("all, where no store gives anything", {}, {"TOKEN", "a", "b"}),
    case("neither a value of a store nor a template beside one", {"b": READ}, {"TOKEN", "a"}),
    case(
        "nor a template beside one whose record was lost",
        {"dataFrom[0]": ItemValues(UNKNOWN_SOURCE, {}, {})},
        {"TOKEN", "a"},
    ),
    case(
        "nor what an adopted Secret held beside",
        {found_under("other"): ItemValues("", {"value": Value(b"theirs")}, {"value": "other"})},
        {"TOKEN", "a", "b"},
    ),
)
def test_what_may_be_pushed_is_what_was_made_here(read: dict[str, ItemValues], keys: set[str]) -> None:
    items = {"set": ItemValues("r", {"a": Value(b"one")}, {"a": "a"}), "token": TURNED.values["token"]}
    one = replace(TURNED, values=items | read)

    assert one.made_here() == {key: value for key, value in one.data().items() if key in keys}


def test_while_the_overlap_lasts_the_value_before_is_there_as_well() -> None:
    assert TURNED.published_data(overlapping=True) == {
        "TOKEN": Value(b"new"),
        "TOKEN.previous": Value(b"old"),
        "a": Value(b"two"),
        "b": Value(b"rendered"),
    }


def test_what_is_there_for_templates_only_is_not_there_as_the_value_before_either() -> None:
    one = replace(TURNED, rendered={"TOKEN": Rendered("<{{ token }}>", Value(b"<new>"))})
    assert one.published_data(overlapping=True).keys() == {"TOKEN", "a", "b"}


def test_what_reads_otherwise_in_the_overlap_is_what_comes_after_it() -> None:
    assert TURNED.values["set"].overlapping == {"a": Value(b"two"), "b": Value(b"x")}
    settled = TURNED.values["set"].settled()
    assert (settled.overlap, settled.previous, settled.outputs) == ({}, {}, TURNED.values["set"].outputs)


@pytest.mark.parametrize("part", ["overlap", "previous", "earlier"])
def test_an_overlap_is_the_same_while_each_of_its_values_is(part: str) -> None:
    def overlapping(text: str) -> ItemValues:
        values: dict[str, Any] = {part: {"value": Value.of_text(text)}}
        return replace(kept("new"), **values)

    item = overlapping("old")

    assert item.overlaps
    assert not item.settled().overlaps
    assert item.overlaps_as(replace(item, outputs=kept("newest").outputs))
    assert not item.overlaps_as(overlapping("older"))


@pytest.mark.parametrize(
    ("previous", "ended", "overlaps"), [({"a"}, False, True), ({"a"}, True, False), (set(), False, False)]
)
def test_an_overlap_lasts_until_its_end_is_recorded(previous: set[str], ended: bool, overlaps: bool) -> None:
    assert builders.revision(2, previous=frozenset(previous), ended=ended).overlaps is overlaps


@cases(
    ("before", "after", "changed"),
    case("nothing", {"a": "1"}, {"a": "1"}, set()),
    case("another value", {"a": "1"}, {"a": "2"}, {"a"}),
    case("added", {}, {"a": "1"}, {"a"}),
    case("removed", {"a": "1"}, {}, {"a"}),
    case("renamed", {"a": "1", "b": "2"}, {"b": "2", "c": "1"}, {"a", "c"}),
)
def test_changed_are_the_keys_whose_value_is_another(
    before: dict[str, str], after: dict[str, str], changed: set[str]
) -> None:
    def data(texts: dict[str, str]) -> dict[str, Value]:
        return {name: Value.of_text(text) for name, text in texts.items()}

    assert changed_keys(data(before), data(after)) == changed


@pytest.mark.parametrize(
    "asked",
    [Triggers("", None), Triggers(None, ""), Triggers("a", "b"), Triggers("a", ""), Triggers(rollback="3")],
)
def test_what_was_handled_is_never_unhandled(asked: Triggers) -> None:
    assert Triggers().with_handled(asked).unhandled(asked) == ()


def test_a_return_that_was_handled_stays_handled() -> None:
    assert Triggers().with_handled(Triggers(rollback="3")).with_handled(Triggers()).rollback == "3"


@pytest.mark.parametrize(("number", "is_shared"), [(64, True), (65, False)])
def test_small_sets_of_keys_are_shared_and_large_ones_not_kept(number: int, is_shared: bool) -> None:
    def keys() -> Any:
        revision = Revision({f"item-{one}": kept("a") for one in range(number)})
        return builders.record((builders.revision(1), revision)).facts.keys

    first, second = keys(), keys()
    assert first == second
    assert len(first) == number
    assert (first is second) is is_shared
