"""An emergency as one ManagedSecret observes it, and which ManagedSecrets it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from keyturn.api.emergency import EmergencyRotation, Revoke
from keyturn.core.spec.selector import selects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.api.selector import LabelSelector

__all__ = ["DECLARED_WITHIN", "EMERGENCY", "Emergency", "EmergencyScope", "concerns"]


EMERGENCY = "Emergency"
"""The reason of a revision that an emergency asked for."""


DECLARED_WITHIN = timedelta(seconds=1)
"""What the API server leaves out of the time at which an emergency was declared."""


@dataclass(frozen=True, slots=True)
class Emergency:
    """A declared emergency, as one of the secrets that it concerns sees it."""

    name: str
    uid: str
    started: datetime
    revoke: Revoke = Revoke.IMMEDIATELY
    is_open: bool = True
    """Not every service of all its secrets runs on new values yet."""
    is_through: bool = False
    """This secret is done with it."""

    @property
    def presses(self) -> bool:
        return self.is_open and not self.is_through


@dataclass(frozen=True, slots=True)
class EmergencyScope:
    """Which ManagedSecrets of its namespace an emergency concerns.

    Whom it took in once, it keeps; when every service is updated, it takes in nobody else.
    """

    names: frozenset[str]
    selector: LabelSelector | None = None

    @classmethod
    def of(cls, emergency: EmergencyRotation) -> Self:
        spec, status = emergency.spec, emergency.status
        kept = frozenset(one.name for one in status.secrets)
        if status.services_updated_at is not None:
            return cls(kept)
        return cls(kept | frozenset(spec.names or ()), None if spec.names is not None else spec.selector)

    def concerns(self, name: str, labels: Mapping[str, str]) -> bool:
        return name in self.names or (self.selector is not None and selects(self.selector, labels))


def concerns(emergency: EmergencyRotation, name: str, labels: Mapping[str, str]) -> bool:
    """Say whether an emergency concerns a ManagedSecret of its namespace."""
    return EmergencyScope.of(emergency).concerns(name, labels)
