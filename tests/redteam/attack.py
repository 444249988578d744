"""What an attack is, and which there are."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.redteam.target import AttackTarget


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: what it begins before its `yield`, and what it asks after."""

    name: str
    findings: tuple[str, ...]
    """Those of the review that it repeats."""
    what: str
    under_way: Callable[[AttackTarget], AbstractContextManager[None]]
    """It runs while the block does; its end asks, and raises an AssertionError where it is not held."""
    needs_root: bool


ATTACKS: Final[dict[str, Attack]] = {}
"""Every attack by its name, in the order in which they run."""


def attack(
    *findings: str, needs_root: bool = False
) -> Callable[[Callable[[AttackTarget], Iterator[None]]], Callable[[AttackTarget], Iterator[None]]]:
    """Make an attack of a generator: it begins, yields while a neighbour is served, and asks what became of it."""

    def taken(run: Callable[[AttackTarget], Iterator[None]]) -> Callable[[AttackTarget], Iterator[None]]:
        name = run.__name__.replace("_", "-")
        what = (inspect.getdoc(run) or "").partition("\n")[0]
        ATTACKS[name] = Attack(name, findings, what, contextmanager(run), needs_root)
        return run

    return taken


def chosen(names: tuple[str, ...], known: Mapping[str, Attack]) -> list[Attack]:
    """Return the attacks of these names, or all; a name that none has raises a LookupError that lists them."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise LookupError(f"there is no attack {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())
