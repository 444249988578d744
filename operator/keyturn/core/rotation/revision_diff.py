"""Keys that differ between two revisions, computed from their base revisions.

Example: revision 3, made from 2, was rolled back, and 4 was made from 2. A pod with 3 differs from 4 in the keys that
changed in 3 and those that changed in 4.
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

    It runs the revision of its marker; without marker, the one that was published when it was created. None if its
    revision is no longer known.
    """
    number = _number_run(state, marked, created, published)
    if number == state.current_number:
        return frozenset()
    current, run = _ancestors(state, state.current_number), _ancestors(state, number)
    if number == _BEFORE_ALL:
        apart = {number for number in current if current[number].reason != CREATED}
    elif current.keys().isdisjoint(run):
        return None
    else:
        apart = current.keys() ^ run.keys()
    return frozenset[str]().union(*((current | run)[number].changed for number in apart))


def revision_run(state: StateFacts, marked: int | None, created: datetime, published: datetime) -> int | None:
    """Return the revision of this marker or, without marker, of this creation time; None if unknown."""
    return _number_run(state, marked, created, published) or None


def _number_run(state: StateFacts, marked: int | None, created: datetime, published: datetime) -> int:
    return _published_at(state, created, published) if marked is None else marked


def _published_at(state: StateFacts, created: datetime, published: datetime) -> int:
    """Return the number published at `created`; pods from before the first publication waited for it."""
    if created > published:
        return state.current_number
    for publication in state.publications:
        if created > publication.time:
            return publication.number
    if state.revisions[-1].reason != CREATED:
        return _BEFORE_ALL
    return state.publications[-1].number if state.publications else state.current_number


def _ancestors(state: StateFacts, number: int | None) -> dict[int, RevisionFacts]:
    """Return a revision and its ancestors by number."""
    ancestors: dict[int, RevisionFacts] = {}
    while (revision := state.revision(number)) and revision.number not in ancestors:
        ancestors[revision.number] = revision
        number = revision.base
    return ancestors
