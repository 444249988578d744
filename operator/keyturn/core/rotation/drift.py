"""When a Secret is put back that others change again and again: a few times at once, then more and more slowly.

A process remembers it and writes it nowhere; another one begins anew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled
from keyturn.core.observation.observed import DriftHistory

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed

__all__ = [
    "changed_on_write",
    "contest",
    "is_contested",
    "over",
    "repaired",
    "until",
    "was_changed",
    "was_sent",
]

_AT_ONCE = 3
_FIRST, _LONGEST = timedelta(seconds=15), timedelta(minutes=5)
_CALM = timedelta(minutes=10)
"""Longer than the longest pause: who changes the Secret later than that begins another fight."""


def repaired(observed: Observed) -> DriftHistory:
    """Count a repair that was just done."""
    before, target = _known(observed), observed.target
    goes_on = before is not None and not before.changed
    by = target.changed_by if target else None
    return DriftHistory(
        generation=observed.managed.metadata.generation,
        number=observed.current.number if observed.current else 0,
        repairs=before.repairs + 1 if before and goes_on else 1,
        last=observed.now,
        by=by or (before.by if before else None),
    )


def was_changed(observed: Observed, what: str) -> DriftHistory:
    """Count a write of which the API server has stored something else."""
    before, now = _known(observed), repaired(observed)
    repairs = before.repairs + 1 if before and before.changed else _AT_ONCE + 1
    return DriftHistory(now.generation, now.number, repairs, now.last, now.by, what)


def is_contested(observed: Observed) -> bool:
    """Say whether the Secret is not to be put back yet."""
    fight = _known(observed)
    return fight is not None and observed.now < fight.last + _pause(fight)


def was_sent(observed: Observed) -> bool:
    """Say whether the current revision was written, and something else was stored."""
    fight = _known(observed)
    return bool(fight and fight.changed and observed.current and fight.number == observed.current.number)


def contest(observed: Observed) -> Stalled | None:
    """Say what a person should do about who changes the Secret, as long as there is no calm."""
    fight, secret = _known(observed), observed.desired.secret if observed.desired else observed.name
    if fight is None or fight.repairs <= _AT_ONCE:
        return None
    if fight.changed:
        return changed_on_write(secret, fight.changed)
    who = f"{fight.by} (field manager)" if fight.by else "somebody"
    return Stalled(
        "Contested",
        f"{who} changes the Secret {secret!r} again and again, and it is put back more and more slowly;"
        " have that leave the Secret alone, or write another target.name",
    )


def until(observed: Observed) -> datetime | None:
    """Return when the Secret may be put back, or when there is calm."""
    fight = _known(observed)
    if fight is None or fight.repairs <= _AT_ONCE:
        return None
    return fight.last + (_pause(fight) if is_contested(observed) else _CALM)


def over(observed: Observed) -> DriftHistory | None:
    """Return what is left of it after a write that was stored as it was sent."""
    fight = _known(observed)
    return None if fight is None or fight.changed else fight


def changed_on_write(secret: str, what: str) -> Stalled:
    """Say that something else is stored than what was sent."""
    return Stalled(
        "ChangedOnWrite",
        f"the API server stores the Secret {secret!r} other than it was sent ({what}): look for a mutating"
        " admission webhook or policy, and except the Secret from it",
    )


def _known(observed: Observed) -> DriftHistory | None:
    """Return the fight that goes on about what this spec asks for."""
    fight = observed.fight
    if fight is None or fight.generation != observed.managed.metadata.generation:
        return None
    return fight if observed.now < fight.last + _CALM else None


def _pause(fight: DriftHistory) -> timedelta:
    times = fight.repairs - _AT_ONCE
    return min(_FIRST * 2 ** min(times - 1, 10), _LONGEST) if times > 0 else timedelta(0)
