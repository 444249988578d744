"""Secrets under earlier names of the target: whether an emergency looks at them, and what their pods may have read.

Such a Secret keeps its values when it is released, and others may change it afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.observation.observed import once
from keyturn.core.state.credential import UNKNOWN_REVISION

from .emergency import asked_at, is_exposed
from .old_pods import has_earlier_values, revision_at

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Use
    from keyturn.core.state.state import LeftSecret


@once
def followed_secrets(observed: Observed) -> tuple[LeftSecret, ...]:
    """Return the Secrets under earlier names whose users an open emergency waits for.

    There are none before the values are rotated and read again, which must not depend on a look at pods.
    """
    return () if _check_follows(observed) else _left_secrets(observed)


def pending_check(observed: Observed) -> str | None:
    """Return that Secrets under earlier names are to be looked at, and after what; None if none is, or all were."""
    after = _check_follows(observed)
    if after is None or not _left_secrets(observed):
        return None
    return f"the Secrets under its earlier names are looked at after {after}"


def _left_secrets(observed: Observed) -> tuple[LeftSecret, ...]:
    state, desired = observed.state, observed.desired
    if state is None or desired is None or not any(one.is_open for one in observed.emergencies):
        return ()
    known = {one.name: one for one in (*state.left, *observed.unreleased_secrets)}
    return tuple(one for name, one in known.items() if name != desired.secret)


def _check_follows(observed: Observed) -> str | None:
    """Return what precedes a look at Secrets under earlier names; None if nothing does."""
    if observed.stale_for_emergencies:
        return f"its stores are read for the emergency {observed.stale_for_emergencies[0]}"
    asked = asked_at(observed, observed.desired) if observed.desired else None
    return f"the rotation for the emergency {asked[0].name}" if asked else None


def revision_held(
    began: datetime, use: Use | None, left: LeftSecret, until: datetime | None, observed: Observed
) -> int | None:
    """Return the oldest revision whose values a pod that uses such a Secret may have; None for current values.

    `until` is the last time at which the Secret had values that were left and that the target no longer has; None if
    they are all current. A pod from before the revision that was left may have an earlier one.
    """
    held = [left.number] if until is not None and began <= until else []
    earlier = revision_at(began, observed) or UNKNOWN_REVISION
    if earlier < left.number and has_earlier_values(began, use, observed):
        held.append(earlier)
    return min(held, default=None)


def has_exposed(number: int, observed: Observed) -> bool:
    """Whether a revision has exposed values, or is no longer recorded, so that it may have some."""
    is_known = observed.state is not None and observed.state.revision(number) is not None
    return not is_known or is_exposed(number, observed)
