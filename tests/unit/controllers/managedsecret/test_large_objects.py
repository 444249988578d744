"""Whose turn it is among large ManagedSecrets."""

from __future__ import annotations

import pytest

from keyturn.controllers.managedsecret.large_objects import LargeOnes
from keyturn.core.keys import ObjectKey


@pytest.fixture
def woken() -> list[ObjectKey]:
    return []


@pytest.fixture
def large(woken: list[ObjectKey]) -> LargeOnes:
    return LargeOnes(woken.append)


def key(namespace: str, name: str = "a") -> ObjectKey:
    return ObjectKey(namespace, name)


def test_a_namespace_has_one_at_a_time_and_the_next_is_woken(
    large: LargeOnes, woken: list[ObjectKey]
) -> None:
    assert large.enter(key("shop"))
    assert large.enter(key("shop")), "it may come again"
    assert not large.enter(key("shop", "b"))
    assert not large.enter(key("shop", "b")), "and waits once"
    assert not large.enter(key("shop", "c"))

    large.leave(key("shop"))

    assert woken == [key("shop", "b")]
    assert not large.enter(key("shop"))
    assert large.enter(key("shop", "b"))
    large.leave(key("shop", "b"))
    assert woken == [key("shop", "b"), key("shop", "c")]


def test_four_have_a_turn_and_those_who_wait_get_theirs_one_of_each_namespace(
    large: LargeOnes, woken: list[ObjectKey]
) -> None:
    for name in "abcd":
        assert large.enter(key(name))
    for waiting in (key("e", "1"), key("e", "2"), key("f")):
        assert not large.enter(waiting)

    for name in "abc":
        large.leave(key(name))
    large.leave(key("e", "1"))

    assert woken == [key("e", "1"), key("f"), key("e", "2")]


def test_who_has_no_turn_ends_none(large: LargeOnes, woken: list[ObjectKey]) -> None:
    large.enter(key("shop"))
    large.enter(key("shop", "b"))
    large.leave(key("shop", "b"))
    large.leave(key("office"))
    assert (woken, large.has_turn(key("shop"))) == ([], True)


def test_one_that_is_gone_gives_its_turn_back_and_waits_for_none(
    large: LargeOnes, woken: list[ObjectKey]
) -> None:
    large.enter(key("shop"))
    large.enter(key("shop", "b"))
    large.enter(key("shop", "c"))
    large.forget(key("shop", "b"))
    large.forget(key("shop"))
    large.forget(key("office"))
    assert woken == [key("shop", "c")]
    large.leave(key("shop", "c"))
    assert large.enter(key("shop"))
