"""What is known of something that a store lends, and where the login is kept that it ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import timedelta

    from keyturn.core.value import Value

__all__ = ["Keep", "Lent"]


@dataclass(frozen=True, slots=True)
class Lent:
    """What a store needs to know of something that it lends, to renew it and to take it back; it opens nothing."""

    id: str
    login: str
    """The name of the login that it ends with; empty where somebody else keeps that."""
    lasts: timedelta
    """How long it is good, counted from the read."""


class Keep(Protocol):
    """Keeps a login that outlives this process, where those may read it who may read what it was made from."""

    async def load(self) -> Value | None:
        """Return what was kept last; None where there is nothing."""

    async def save(self, login: Value) -> None:
        """Keep a login in place of the last one.

        Raises:
            Unreachable: It could not be kept.
        """
