"""When revisions were published: recorded times, and the time that a write of the target Secret sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import steps

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts


def published_at(one: RevisionFacts, observed: Observed) -> datetime | None:
    """Return when a revision was first published, if known."""
    known = observed.state.publications if observed.state else ()
    times = [publication.time for publication in known if publication.number == one.number]
    if (
        observed.is_published
        and observed.current
        and observed.current.number == one.number
        and observed.target
    ):
        times += [observed.target.published] if observed.target.published else []
    return min(times, default=None)


def was_published(one: RevisionFacts, observed: Observed) -> bool:
    """Whether a time of its publication is known, or the status has it or a later revision."""
    return published_at(one, observed) is not None or (observed.managed.status.revision or 0) >= one.number


def publication_of(observed: Observed) -> datetime | None:
    """Return when the current revision was published; if the Secret has no time, the last known time before that."""
    if observed.state is None:
        return None
    if observed.is_published and observed.target:
        return observed.target.published or observed.state.released
    was_there = (
        observed.managed.status.revision is not None
        if observed.target is None
        else observed.target.revision is None
    )
    return observed.state.released if was_there else None


def is_current_published(observed: Observed, desired: Desired) -> bool:
    """Whether the Secret, the status, the overlap or a marker shows that the current revision was published."""
    if publication_of(observed) is not None or (observed.current and observed.current.began_overlap):
        return True
    return any(observed.has_current_marker(one.workload, desired.secret) for one in observed.consumers)


def was_in_deleted_secret(observed: Observed, desired: Desired) -> bool:
    """Whether the status has the current revision in a Secret of the wanted name, and there is no Secret."""
    status, number = observed.managed.status, observed.current.number if observed.current else None
    return observed.target is None and (status.revision, status.secret_name) == (number, desired.secret)


def publication_time(
    step: steps.Publish | steps.Repair | steps.Settle, observed: Observed, now: datetime
) -> datetime:
    """Return the publication time that a write of the target Secret sets.

    Only a new revision has a new one: a repair publishes nothing new, nor does a Secret that has a new name or that
    another client has created again, and running pods have that revision. Pods since a rollback may have what was
    rolled back, however old the restored revision is.
    """
    number = observed.current.number if observed.current else None
    is_blank = observed.target is None or observed.target.revision is None
    is_written_again = is_blank and observed.managed.status.revision == number
    if isinstance(step, steps.Publish) and not is_written_again:
        return now
    if observed.target and observed.target.published:
        return observed.target.published
    return observed.state.released if observed.state else observed.now
