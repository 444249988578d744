"""Lease of a dynamic credential, and storage of the session that it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import timedelta

    from keyturn.core.value import Value


@dataclass(frozen=True, slots=True)
class ProviderLease:
    """A lease: what a store needs to renew and to revoke it; it gives access to nothing."""

    id: str
    login: str
    """Name of the session that the lease ends with; empty if the session is managed elsewhere."""
    lasts: timedelta
    """Duration of the lease, counted from the read."""
    issuer: str = ""
    """`Provider.lease_issuer` of the settings that it was acquired with."""


class Keep(Protocol):
    """Stores a session credential beyond this process, readable only where its original credential is readable."""

    async def load(self) -> Value | None:
        """Return the stored credential; None if there is none."""

    async def save(self, login: Value) -> None:
        """Replace the stored credential.

        Raises:
            Unreachable: The write failed.
        """
