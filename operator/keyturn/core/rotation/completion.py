"""When a rollout is complete: every workload is done, and no pod that Keyturn does not restart has earlier values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.reasons import RevisionReason

from .holders import holds_back
from .publication import published_at
from .rollout import is_recorded_complete, is_under_way

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired

__all__ = ["is_asserted", "is_complete", "overlap_limit", "publication_limit"]


def is_complete(observed: Observed, desired: Desired) -> bool:
    return not is_under_way(observed) and not holds_back(observed, desired)


def is_asserted(observed: Observed) -> bool:
    """Whether the status already has every workload on the current revision, and that has no consequences.

    Other users can edit the status, so an overlap never begins because of it.
    """
    current = observed.current
    if current is None or observed.state is None:
        return True
    if all(revision.reason == RevisionReason.CREATED for revision in observed.state.revisions):
        return True  # there is no earlier revision
    if observed.overlaps and current.valid_until is None:
        return False
    if observed.desired and observed.desired.database and observed.state.gives_up_credential:
        return False
    return is_recorded_complete(observed, current.number)


def overlap_limit(observed: Observed, desired: Desired) -> datetime | None:
    """Return when the previous values end although pods may still hold them, by rotation.maxOverlap; None without.

    Revisions since then that keep the previous values do not prolong it.
    """
    state, limit = observed.state, publication_limit(observed, desired)
    if state is None or limit is None or desired.max_overlap is None or state.current.overlap_from is None:
        return limit
    start = state.overlap_start
    return (published_at(start, observed) or start.made) + desired.max_overlap


def publication_limit(observed: Observed, desired: Desired) -> datetime | None:
    """Return when rotation.maxOverlap since the publication of the current revision is over; None without."""
    published = observed.target.published if observed.target and observed.is_published else None
    if desired.max_overlap is None or published is None:
        return None
    return published + desired.max_overlap
