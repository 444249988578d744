"""What `make redteam` runs, what it calls held, and a short run of it: few attacks, and no bound in seconds."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from tests.redteam.__main__ import main
from tests.redteam.attack import ATTACKS, Attack, attack, chosen
from tests.redteam.crowd import hostile_crowd
from tests.redteam.fight import ALL, fight
from tests.redteam.target import AttackTarget, Processors
from tests.redteam.tenant import PATIENCE, OtherTenant, Served, Wait
from tests.redteam.verdict import Hold, Limits, Row, shown

_FEW = 10
NOT_BY_SECONDS = Limits(tenant=math.nextafter(PATIENCE, 0.0), hold=math.inf, losses=1)
"""Whoever was served at all was served in time: a busy machine makes all slow, and may take the Lease once."""


# Which attacks there are


def test_each_finding_that_can_be_attacked_is_attacked() -> None:
    attacked = {finding for one in ALL.values() for finding in one.findings}
    assert attacked == {f"F{number}" for number in (*range(1, 14), 15)}


def test_each_attack_says_what_it_does() -> None:
    assert [name for name, one in ALL.items() if not one.what.endswith(".")] == []


def test_an_attack_that_there_is_not_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["no-such"]) == 2
    said = capsys.readouterr().err
    assert "there is no attack no-such" in said
    assert "chain-of-certificates" in said


def test_attacks_are_run_in_the_order_in_which_they_are_named() -> None:
    names = ("stolen-token", "chain-of-certificates")
    assert [one.name for one in chosen(names, ALL)] == list(names)


def test_without_names_every_attack_is_run() -> None:
    assert chosen((), ALL) == list(ALL.values())


def test_the_list_has_every_attack_with_its_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == len(ALL)
    assert "dead-name-server" in said
    assert "(F12, F13)" in said


# What is held


def served(generated: float, pulled: float, starved: float = 0.0) -> Served:
    return Served(Wait(generated, starved), Wait(pulled, starved))


def judged(**facts: object) -> Row:
    row = Row("it", ("F1",), [served(0.3, 0.4)], memory=90.0)
    row = replace(row, **facts)  # type: ignore[arg-type]  # as a test names them
    row.judge()
    return row


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"served": [served(0.1, 0.1), served(5.0, 5.0)]},
        {"holds": [Hold("a.py:1 a", 3.0, 0.1)]},
        {"memory": 400.0},
        {"served": [served(12.0, 13.0, 9.0)]},
    ],
    ids=[
        "nothing",
        "five seconds",
        "a call that waits for a processor",
        "400 MiB",
        "a loop without a processor",
    ],
)
def test_it_is_held(facts: dict[str, object]) -> None:
    assert judged(**facts).broken == []


@pytest.mark.parametrize(
    ("apart", "others", "starved"),
    [(0.0, 8.0, 6.0), (8.0, 0.0, 0.0), (2.0, 6.0, 4.5)],
    ids=["other processes", "its own threads", "both"],
)
def test_a_loop_that_waits_for_the_operators_own_threads_is_not_starved(
    apart: float, others: float, starved: float
) -> None:
    before = Processors(waited=1.0, apart=1.0, others=100.0)
    assert Processors(7.0, 1.0 + apart, 100.0 + others).starved_since(before) == starved


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"served": [served(5.1, 0.4)]}, "a neighbour's first generated value takes 5.1 s"),
        ({"served": [served(0.1, 0.1), served(0.1, 6.0)]}, "a neighbour's first pulled value takes 6.0 s"),
        (
            {"holds": [Hold("a.py:1 a", 3.0, 0.1), Hold("b.py:2 b", 0.5, 0.4)]},
            "b.py:2 b holds up the loop for 0.40 s",
        ),
        ({"served": [served(PATIENCE, 0.1, 59.0)]}, "a neighbour's first generated value takes 60.0 s"),
        ({"memory": 401.0}, "the operator holds 401 MiB"),
        ({"losses": 1}, "the operator loses its Lease, in all 1x"),
        ({"broken": ["an author merges"]}, "an author merges"),
    ],
    ids=["generated", "pulled", "loop", "never", "memory", "Lease", "what was asked"],
)
def test_it_is_broken(facts: dict[str, object], why: str) -> None:
    assert judged(**facts).broken == [why]


def test_the_table_says_what_is_broken_and_what_was_left_out() -> None:
    broken, held = judged(memory=500.0), judged()
    left_out = Row("other", ("F12",), left_out="only root may")

    said = shown([broken, held, left_out])

    assert "BROKEN" in said
    assert "held" in said
    assert "it: the operator holds 500 MiB" in said
    assert "other is left out: only root may" in said


def test_what_an_attack_asks_decides() -> None:
    @attack("F0")
    def an_example(_: AttackTarget) -> Iterator[None]:
        """It is broken."""
        yield
        raise AssertionError("it got through")

    taken = ATTACKS.pop("an-example")
    nothing: AttackTarget = None  # type: ignore[assignment]  # it looks at none
    with pytest.raises(AssertionError, match="it got through"), taken.under_way(nothing):
        pass


# A short run


def test_a_few_hostile_namespaces_are_held(target: AttackTarget, next_door: OtherTenant) -> None:
    crowd = contextmanager(partial(hostile_crowd, many=_FEW))
    few = Attack("few-hostile-namespaces", ("F1", "F8"), "Ten of them.", crowd, needs_root=False)
    assert fight(target, next_door, few, NOT_BY_SECONDS, looks=1).broken == []


@pytest.mark.parametrize("name", ["deputies", "stolen-token"])
def test_what_one_may_not_is_not_done_for_one(
    name: str, target: AttackTarget, next_door: OtherTenant
) -> None:
    assert fight(target, next_door, ALL[name], NOT_BY_SECONDS, looks=1).broken == []
