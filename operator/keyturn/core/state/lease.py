"""Lease of a dynamic credential, as the state records it: its store's name for it, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.core.spec.store_refs import Destination

if TYPE_CHECKING:
    from datetime import datetime, timedelta

__all__ = ["StoreLease"]


@dataclass(frozen=True, slots=True)
class StoreLease:
    """Something that a store lends: by what it is known there, and nothing of what it opens."""

    place: str
    """Which key of which store it was taken from: the `id` of a destination."""
    id: str
    """The store's own name for it."""
    login: str
    """The store's name for the login that it ends with; empty where somebody else keeps that."""
    lasts: timedelta
    """How long it was good when it was taken."""
    ends: datetime

    @property
    def due(self) -> datetime:
        """When half of it is over: from then on it is renewed, or another is taken."""
        return self.ends - self.lasts / 2

    @property
    def where(self) -> Destination:
        return Destination.at(self.place)
