"""What the process knows of a database account: the last probe, the operation in progress, and its last failure.

It is kept in memory, so that a restart of the operator forgets it; what was done at the server is in the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.errors import Stalled, Wait


class ProbeVerdict(StrEnum):
    """Result of the last login with the published credential; each is a reason of the condition CredentialValid."""

    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    """The server asked for the password and refused it."""
    WRONG_ROLE = "WrongRole"
    """The server accepted the login, whose sessions do not act as the account."""
    LOCKED = "Locked"
    """Another user has locked or dropped the login at the server; only reported."""
    CONTESTED = "Contested"
    """It was refused again after each of the repairs of the last hour."""
    UNREACHABLE = "Unreachable"
    NOT_ADMITTED = "NotAdmitted"
    """The server answered, and its setup admits no login; nothing is known about the password."""
    NOT_PROBED = "NotProbed"


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the process knows of the account of a ManagedSecret."""

    verdict: ProbeVerdict = ProbeVerdict.NOT_PROBED
    cause: str = ""
    """Why the server admits no login, or how the login is locked, if that is the verdict."""
    probed_at: datetime | None = None
    """When the last probe ended; None before the first one of this process."""
    problem: Wait | Stalled | None = None
    """Why the last operation failed, or that one is in progress."""
    again: datetime | None = None
    """No operation begins before this time."""
    refused: int = 0
    """How often in a row the credential that is being proven was refused; silence of the server does not count.

    With SingleUser, an address of `alsoAt` that gives no answer counts: the server refuses the published password.
    """
    locked: bool = False
    """The last login that the server answered found the published one closed, locked or dropped."""
    busy: bool = False
    """An operation is in progress."""


NEEDS_REPAIR = frozenset({ProbeVerdict.REFUSED, ProbeVerdict.WRONG_ROLE})
"""Verdicts after which the recorded credentials are set again."""
NOT_PROBED = AccountFacts()
