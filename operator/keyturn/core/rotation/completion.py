"""When a rollout is complete: no workload waits for the current revision, and no pod holds an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .holders import evicts, holds_back
from .rollout import is_asserted, standings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.lease import StoreLease

    from .rollout import WorkloadProgress

__all__ = ["idle_leases", "is_complete", "needs_holders"]


def needs_holders(observed: Observed, desired: Desired) -> bool:
    """Whether something is asserted now that depends on every pod of the namespace.

    Nothing is while a workload is behind: its rollout is waited for first. An emergency evicts pods before.
    """
    was_asserted = is_asserted(observed)
    if not observed.is_published or (was_asserted and not idle_leases(observed)):
        return False
    if any(progress.under_way for progress in standings(observed, desired)):
        return evicts(observed) and not was_asserted
    return True


def idle_leases(observed: Observed) -> tuple[StoreLease, ...]:
    """Return the leases that neither the current revision nor a pending one holds."""
    if observed.state is None:
        return ()
    held = frozenset(observed.state.borrowed.values()) | observed.state.lent_next | observed.pulled.in_hand
    return tuple(loan for loan in observed.state.loans if loan.id not in held)


def is_complete(observed: Observed, desired: Desired, all_standings: Iterable[WorkloadProgress]) -> bool:
    return not any(progress.under_way for progress in all_standings) and not holds_back(observed, desired)
