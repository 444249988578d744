"""Credential of a database account, as the state records it: login, phase, and the revision with its password."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

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
