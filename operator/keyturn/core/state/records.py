"""Records of one login of a database account, and of one lease of a dynamic credential."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from keyturn.core.spec.store_refs import Destination

UNKNOWN_REVISION = 0
"""Revision of a credential that may be open although its password is lost with an earlier record."""


class Phase(StrEnum):
    """How far the server knows a credential; `Staged` and `Closing` are recorded before the server is touched."""

    STAGED = "Staged"
    """Its password is recorded; the server may have it already, if the process ended before the next record."""
    APPLIED = "Applied"
    """The server has its password; no login has proven it."""
    PROVEN = "Proven"
    """A login as the application would do it was accepted."""
    CLOSING = "Closing"
    """It is to be closed; the server may refuse it already."""
    CLOSED = "Closed"
    """The server refuses it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A login of a database account with the password of one revision, never the password."""

    revision: int
    """The revision that brought its password; `UNKNOWN_REVISION` if the password is lost."""
    login: str
    phase: Phase
    since: datetime
    """When its phase was recorded."""
    tries: int = 0
    """How many candidates of the same rotation the server refused before it."""
    item: str = field(kw_only=True)
    """The item of data that is its password."""
    target: str = field(kw_only=True)
    """Kind and name of the target whose server has it."""
    proven: datetime | None = None
    """When it was proven, if its phase is another one since; None if no login has proven it."""

    @property
    def is_open(self) -> bool:
        """Whether the server may accept it."""
        return self.phase is not Phase.CLOSED

    @property
    def is_candidate(self) -> bool:
        """Whether the server is still to learn it, or to prove it."""
        return self.phase in {Phase.STAGED, Phase.APPLIED}

    @property
    def is_proven(self) -> bool:
        return self.phase is Phase.PROVEN

    @property
    def proven_at(self) -> datetime | None:
        """When a login was accepted last; None if none was."""
        return self.since if self.is_proven else self.proven

    @property
    def is_closing(self) -> bool:
        return self.phase is Phase.CLOSING

    def at(self, phase: Phase, now: datetime) -> Credential:
        """Return it in another phase since now; in the same one unchanged."""
        if phase is self.phase:
            return self
        return replace(self, phase=phase, since=now, proven=self.proven_at)


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
