"""Earlier revisions that a rollback may publish, and the one to which a failed rollout returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.api.rotation import OnFailure
from keyturn.core.state.revision import last_good

from .emergency import is_exposed

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import StateFacts


def may_return_to(number: int, state: StateFacts, desired: Desired) -> bool:
    """Whether a rollback may publish a revision: its values are recorded, and its credentials are valid.

    The store has not revoked its leases, and the database server accepts its credential.
    """
    if number not in state.restorable or not leases_last(number, state):
        return False
    if desired.database is None:
        return True
    credential = state.credential_of(number)
    return credential is not None and credential.is_proven


def leases_last(number: int, state: StateFacts) -> bool:
    """Whether the leases of a revision's dynamic credentials are not revoked."""
    return state.leases_by_revision.get(number, frozenset()) <= {lease.id for lease in state.leases}


def fallback_of(observed: Observed, desired: Desired) -> int | None:
    """Return the revision for an automatic rollback when a workload fails; None without one.

    A revision that a rollback restored is left on request only, also after the pause of that rollback has ended.
    """
    state, current = observed.state, observed.current
    good = last_good(current, state.revisions) if state and current else None
    if state is None or good is None or not may_return_to(good, state, desired):
        return None
    if is_exposed(good, observed):
        return None
    returns = desired.on_failure is OnFailure.ROLLBACK and state.rollback_pause is None
    return good if returns else None
