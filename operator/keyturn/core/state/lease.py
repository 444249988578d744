"""Lease of a dynamic credential, as the state records it: the store's identifier, and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.core.spec.store_refs import Destination

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class StoreLease:
    """Lease of a dynamic credential: its identifier at the store, never the credential."""

    place: str
    """The key of the store that it was read from: the `id` of a destination."""
    id: str
    """The store's identifier of the lease."""
    login: str
    """The store's identifier of the session that the lease ends with.

    Empty if the session is not the operator's own.
    """
    lasts: timedelta
    """Duration of the lease at its start."""
    ends: datetime
    is_carried: bool = field(default=False, compare=False)
    """Whether a revision has had its values, so that pods may use them; it stays when those values are dropped."""
    issuer: str = ""
    """Server and engine that issued it."""

    @property
    def due(self) -> datetime:
        """When half of its duration is over; from then on it is renewed or replaced."""
        return self.ends - self.lasts / 2

    @property
    def where(self) -> Destination:
        return Destination.at(self.place)
