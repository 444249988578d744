"""When each key of many is read: within a round, in turn, and no namespace at the cost of another."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.keys import ObjectKey
from keyturn.kube.secret_poller import LATEST, SOONEST, Rounds

A, B = ObjectKey("shop", "a"), ObjectKey("shop", "b")
MANY = [ObjectKey(namespace, name) for namespace in "xyz" for name in "123"]


def rounds(chance: float | None = None, seed: int = 1) -> Rounds:
    draw = random.Random(seed).random if chance is None else lambda: chance  # noqa: S311 - it spreads
    return Rounds(draw)


def numbered(namespace: str, count: int) -> list[ObjectKey]:
    return [ObjectKey(namespace, str(number)) for number in range(count)]


def all_due(found: Rounds, now: float) -> list[ObjectKey]:
    return list(iter(lambda: found.take(now), None))


def test_a_new_key_is_read_within_a_round() -> None:
    found = rounds(chance=1.0)
    found.follow([A], now=10.0)

    assert found.take(10.0 + LATEST - 0.1) is None
    assert found.take(10.0 + LATEST) == A


def test_it_is_read_again_after_a_round_and_not_sooner() -> None:
    found = rounds(chance=0.0)
    found.follow([A], now=0.0)

    assert all_due(found, 0.0) == [A]
    assert found.pause(0.0) == SOONEST
    assert found.take(SOONEST - 0.1) is None
    assert found.take(SOONEST) == A


def test_nothing_is_due_where_there_is_nothing() -> None:
    found = rounds()

    assert (found.take(1e9), found.pause(0.0)) == (None, inf)


def test_what_is_gone_is_reported_once_and_never_read() -> None:
    found = rounds(chance=0.0)
    found.follow([A, B], now=0.0)

    assert found.follow([B], now=1.0) == {A}
    assert found.follow([B], now=2.0) == set()
    assert all_due(found, 3.0) == [B]


def test_what_is_gone_and_back_is_read_once_in_a_round() -> None:
    found = rounds(chance=0.0)
    found.follow([A], now=0.0)
    found.follow([], now=1.0)
    found.follow([A], now=2.0)

    assert all_due(found, 2.0) == [A]


def test_namespaces_come_in_turn_however_much_one_has() -> None:
    found = rounds(chance=0.0)
    found.follow([*numbered("big", 1000), ObjectKey("small", "a"), ObjectKey("tiny", "a")], now=0.0)

    first = [found.take(0.0) for _ in range(4)]

    assert Counter(one.namespace for one in first if one) == {"big": 2, "small": 1, "tiny": 1}


def test_who_could_not_be_read_comes_again_after_the_others_of_its_namespace() -> None:
    found = rounds(chance=0.0)
    found.follow([A, B], now=0.0)
    failed, other = found.take(0.0), None
    assert failed
    found.again(failed, 0.0)

    other = found.take(0.0)

    assert {failed, other} == {A, B}
    assert all_due(found, 0.0) == [failed]


def test_one_that_is_gone_does_not_come_again() -> None:
    found = rounds(chance=0.0)
    found.follow([A], now=0.0)
    found.take(0.0)
    found.follow([], now=1.0)
    found.again(A, 1.0)

    assert all_due(found, 1000.0) == []


def test_it_says_how_late_it_is() -> None:
    found = rounds(chance=0.0)
    found.follow([A], now=0.0)

    found.take(7.0)

    assert found.late == 7.0


def test_what_fails_often_is_kept_once() -> None:
    found = rounds(chance=0.0)
    found.follow([A, B], now=0.0)
    for _ in range(10_000):
        found.again(A, 0.0)

    assert Counter(all_due(found, 0.0)) == {A: 1, B: 1}


@pytest.mark.parametrize("keys", [20, 200, 1000])
def test_what_came_together_is_spread_over_the_round(keys: int) -> None:
    found = rounds()
    found.follow(numbered("shop", keys), now=0.0)
    seconds = range(1, 600)
    taken = [len(all_due(found, float(second))) for second in seconds]

    # As often as chance has it: five times its deviation beyond the mean.
    mean = keys / ((SOONEST + LATEST) / 2)
    assert max(taken[60:]) <= mean + 5 * mean**0.5 + 1
    assert sum(taken[60:]) == pytest.approx(mean * len(taken[60:]), rel=0.1)


stories = st.lists(
    st.one_of(
        st.tuples(st.just("follow"), st.frozensets(st.sampled_from(MANY))),
        st.tuples(st.just("wait"), st.floats(0.0, 100.0)),
        st.tuples(st.just("fail"), st.integers(0, 8)),
    ),
    max_size=30,
)


@given(stories, st.integers(0, 1000))
def test_whatever_comes_and_goes_each_is_read_in_its_time(story: list[tuple[str, object]], seed: int) -> None:
    found, now = rounds(seed=seed), 0.0
    there: dict[ObjectKey, tuple[float, float]] = {}
    """Between which times each is to be read next."""
    for what, given_ in story:
        if isinstance(given_, frozenset):
            gone = found.follow(given_, now)
            assert gone == there.keys() - given_
            there = {key: there.get(key, (now, now + LATEST)) for key in given_}
        elif what == "fail" and there:
            key = sorted(there)[int(str(given_)) % len(there)]
            found.again(key, now)
            there[key] = (now, now)
        elif isinstance(given_, float):
            now += given_
        for key in all_due(found, now):
            assert there[key][0] <= now
            there[key] = (now + SOONEST, now + LATEST)
        assert [key for key, (_, latest) in there.items() if latest < now] == []
    nexts = [soonest for soonest, _ in there.values()]
    assert not nexts or found.pause(now) >= min(nexts) - now


def test_the_share_of_one_namespace_costs_no_other_its_round() -> None:
    """With so much of one that a round holds it never, another's few are read as always."""
    found = rounds()
    small = ObjectKey("small", "a")
    found.follow([*numbered("big", 10_000), small], now=0.0)
    # A hundred a second.
    read = [turn / 100 for turn in range(20_000) if found.take(turn / 100) == small]

    assert len(read) >= 3
    assert max(after - before for before, after in itertools.pairwise(read)) < LATEST + 1
