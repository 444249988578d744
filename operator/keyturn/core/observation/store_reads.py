"""What a look at the outside found of values that are kept there: facts, never values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from keyturn.core.errors import Wait

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.errors import Stalled
    from keyturn.core.state.lease import StoreLease

__all__ = [
    "MAKING_VALUES",
    "NOT_PULLED",
    "READING_STORES",
    "Pulled",
    "PushProblem",
    "being_made",
    "being_read",
]

READING_STORES = "ReadingStores"
"""The reason why something waits: values are being read that it asks for."""
MAKING_VALUES = "MakingValues"
"""The reason why something waits: values are being made that take a while."""
_SOON = timedelta(seconds=5)


def being_read() -> Wait:
    """Say that a value is awaited; its end wakes who waits, mostly before this is over."""
    return Wait(READING_STORES, "the stores are being read", _SOON)


def being_made() -> Wait:
    """Say that a value is being made; as with one that is being read."""
    return Wait(MAKING_VALUES, "a large key is being made; those of one namespace take turns", _SOON)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What is known of the sources of a managed secret, and of where its values were pushed before."""

    read: bool = False
    """This look has read all of them."""
    was_read: bool = False
    """The last look at the stores, be it an earlier one of this process, has read all of them."""
    changed: frozenset[str] = frozenset()
    """The items whose values are others there than in the revisions that count."""
    problem: Wait | Stalled | None = None
    """What kept the last look from reading all of them."""
    loans: tuple[StoreLease, ...] = ()
    """What is lent of what was read."""
    in_hand: frozenset[str] = frozenset()
    """The names of loans that were taken and that no revision holds yet."""
    again: datetime | None = None
    """When they are read again by themselves."""
    retained: frozenset[str] = frozenset()
    """The entries of dataFrom of which something is gone at the store and stays in the Secret."""


NOT_PULLED = Pulled()
"""Nothing is known: there is nothing to pull, or nobody has looked yet."""


class PushProblem(NamedTuple):
    """What kept a value from being pushed, and when it is tried again."""

    error: Wait | Stalled
    again: datetime
