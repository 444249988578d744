"""Which number the next revision gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.observation.workload import read_marker
from keyturn.core.state.state import HIGHEST_HINT

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Seen, TargetFacts

__all__ = ["hinted", "next_number"]


def next_number(seen: Seen) -> int:
    """Return the number of the next revision.

    The state knows. Where it was lost, status and markers hint at what was there; they are anybody's to write,
    so no number out of them may be one that cannot be counted on from.
    """
    if seen.state:
        return max(seen.state.newest.number, seen.state.used) + 1
    hints = [seen.managed.status.revision or 0, *(one.revision for one in seen.managed.status.history)]
    if seen.wanted:
        secret = seen.wanted.secret
        hints += (read_marker(one.workload.marker).get(secret, 0) for one in seen.consumers)
    return max((hint for hint in hints if hint <= HIGHEST_HINT), default=0) + 1


def hinted(target: TargetFacts) -> int | None:
    number = target.revision
    return number if number and number <= HIGHEST_HINT else None
