"""Memory of the operations of ManagedSecrets at stores: reads, pushes and leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .leases import LeaseMemory
from .pull import PullMemory, reads_stores
from .push import PushMemory

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired

__all__ = ["StoreMemory"]


class StoreMemory:
    """The owners of each kind of operation."""

    def __init__(self, context: Context) -> None:
        self.pulls = PullMemory()
        self.pushes = PushMemory()
        self.leases = LeaseMemory(context)

    def retry(self, key: ObjectKey, now: datetime) -> None:
        """Make all failed operations of a ManagedSecret due now, because a store has recovered or was changed."""
        self.pulls.retry(key, now)
        self.pushes.retry(key, now)
        self.leases.retry(key, now)

    def keep(self, key: ObjectKey, observed: Observed, desired: Desired) -> None:
        """End reads and revoke unrecorded leases that the spec no longer asks for."""
        if not reads_stores(observed, desired):
            self.pulls.stop(key)
        places = {item.source.place for item in desired.pulled if item.source}
        self.leases.keep(key, places, observed.state)

    def forget(self, key: ObjectKey) -> None:
        """Cancel the operations of a deleted object, and drop their records."""
        self.pulls.forget(key)
        self.pushes.forget(key)
        self.leases.forget(key)
