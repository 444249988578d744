"""When revisions were published: recorded times, and the time that a write of the target Secret sets; drift repair.

Three repairs of drift are done at once, then after 15 s, doubling to 5 min; that is reset after 10 min. Their history
is in memory only; another process starts with an empty one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.core.errors import Stalled
from keyturn.core.observation.observed import DriftHistory, Observed
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.revision import RevisionFacts
from keyturn.core.times import backoff

from . import steps


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


_IMMEDIATE_REPAIRS = 3
_MIN_DELAY, _MAX_DELAY = timedelta(seconds=15), timedelta(minutes=5)
_RESET_AFTER = timedelta(minutes=10)
"""Longer than the longest back-off: a change after this time starts a new history."""
_MAX_CLOCK_SKEW = timedelta(minutes=1)


def with_repair(observed: Observed) -> DriftHistory:
    """Return the history with a repair that was just done."""
    before, target = _known(observed), observed.target
    continues = before is not None and not before.changed
    by = target.changed_by if target else None
    return DriftHistory(
        generation=observed.managed.metadata.generation,
        number=observed.current.number if observed.current else 0,
        repairs=before.repairs + 1 if before and continues else 1,
        last=observed.now,
        by=by or (before.by if before else None),
    )


def with_change(observed: Observed, what: str) -> DriftHistory:
    """Return the history with a write that the API server stored differently."""
    before, now = _known(observed), with_repair(observed)
    repairs = before.repairs + 1 if before and before.changed else _IMMEDIATE_REPAIRS + 1
    return DriftHistory(now.generation, now.number, repairs, now.last, now.by, what)


def is_contested(observed: Observed) -> bool:
    """Whether the next repair must still wait."""
    history = _known(observed)
    return history is not None and observed.now < history.last + _delay(history)


def was_sent(observed: Observed) -> bool:
    """Whether the current revision was written and stored differently."""
    history = _known(observed)
    return bool(
        history and history.changed and observed.current and history.number == observed.current.number
    )


def contest_problem(observed: Observed) -> Stalled | None:
    """Return what to do about the other writer; None below four repairs, or 10 min after the last one."""
    history, secret = _known(observed), observed.desired.secret if observed.desired else observed.name
    if history is None or history.repairs <= _IMMEDIATE_REPAIRS:
        return None
    if history.changed:
        return changed_on_write(secret, history.changed)
    who = f"{history.by} (field manager)" if history.by else "another writer"
    return Stalled(
        ErrorReason.CONTESTED,
        f"{who} keeps changing the Secret {secret!r}; repairs continue with exponential back-off;"
        " stop the other writer",
    )


def next_repair_time(observed: Observed) -> datetime | None:
    """Return when the next repair is due, or when the history is reset."""
    history = _known(observed)
    if history is None or history.repairs <= _IMMEDIATE_REPAIRS:
        return None
    return history.last + (_delay(history) if is_contested(observed) else _RESET_AFTER)


def with_unchanged_write(observed: Observed) -> DriftHistory | None:
    """Return the history after a write that was stored unchanged."""
    history = _known(observed)
    return None if history is None or history.changed else history


def changed_on_write(secret: str, what: str) -> Stalled:
    """Return the error that an admission webhook or policy changes the Secret on write."""
    return Stalled(
        ErrorReason.CHANGED_ON_WRITE,
        f"the API server stores the Secret {secret!r} with changes ({what}): find the mutating"
        " admission webhook or policy, and exclude the Secret from it",
    )


def _known(observed: Observed) -> DriftHistory | None:
    """Return the history if it applies to this generation and is not older than _RESET_AFTER.

    A last repair in the future means that the clock was set back since; by seconds, it counts as one of now.
    """
    history, now = observed.drift_history, observed.now
    if history is None or history.generation != observed.managed.metadata.generation:
        return None
    if not now - _RESET_AFTER < history.last <= now + _MAX_CLOCK_SKEW:
        return None
    return replace(history, last=min(history.last, now))


def _delay(history: DriftHistory) -> timedelta:
    times = history.repairs - _IMMEDIATE_REPAIRS
    return backoff(_MIN_DELAY, times, _MAX_DELAY) if times > 0 else timedelta(0)
