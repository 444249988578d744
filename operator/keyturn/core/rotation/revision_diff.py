"""Which keys read otherwise in one revision than in another, found along the line by which each was made.

Where 3, made from 2, was given up and 4 was made from 2 again, who runs 3 misses what changed in 3 and in 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .reasons import CREATED

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.state.revision import RevisionFacts
    from keyturn.core.state.state import StateFacts

__all__ = ["missed_keys", "revision_run"]

_BEFORE_ALL = 0


def missed_keys(
    state: StateFacts, marked: int | None, created: datetime, published: datetime
) -> frozenset[str] | None:
    """Return the keys in which the current revision differs from the one that a workload runs.

    It runs the revision of its marker; without one, the revision that was published when it was created.
    None if nobody knows any more what it runs.
    """
    number = _number_run(state, marked, created, published)
    if number == state.current_number:
        return frozenset()
    here, there = _line(state, state.current_number), _line(state, number)
    if number == _BEFORE_ALL:
        apart = {number for number in here if here[number].reason != CREATED}
    elif here.keys().isdisjoint(there):
        return None
    else:
        apart = here.keys() ^ there.keys()
    return frozenset[str]().union(*((here | there)[one].changed for one in apart))


def revision_run(state: StateFacts, marked: int | None, created: datetime, published: datetime) -> int | None:
    """Return the revision that is run with this marker or, without one, by this age; None where that is unknown."""
    return _number_run(state, marked, created, published) or None


def _number_run(state: StateFacts, marked: int | None, created: datetime, published: datetime) -> int:
    return _published_at(state, created, published) if marked is None else marked


def _published_at(state: StateFacts, created: datetime, published: datetime) -> int:
    """Return the number that the Secret held at `created`; who was there before the first waited for it."""
    if created > published:
        return state.current_number
    for one in state.publications:
        if created > one.time:
            return one.number
    if state.revisions[-1].reason != CREATED:
        return _BEFORE_ALL
    return state.publications[-1].number if state.publications else state.current_number


def _line(state: StateFacts, number: int | None) -> dict[int, RevisionFacts]:
    """Return a revision and those that it was made from."""
    line: dict[int, RevisionFacts] = {}
    while (one := state.revision(number)) and one.number not in line:
        line[one.number] = one
        number = one.base
    return line
