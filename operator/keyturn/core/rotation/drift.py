"""Back-off of drift repair: three repairs at once, then after 15 s, doubling to 5 min; reset after 10 min.

The history is in memory only; another process starts with an empty one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.backoff import backoff
from keyturn.core.errors import Stalled
from keyturn.core.observation.observed import DriftHistory
from keyturn.core.reasons import ErrorReason

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed

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
        " stop the other writer, or write another target.name",
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
