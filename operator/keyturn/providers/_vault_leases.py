"""What Vault lends: credentials that are made when they are read, and end with their lease.

Whoever reads a key again while its lease lives gets the same credentials, and the lease is renewed when half of
it is over. Where Vault renews no longer, others are taken; the old ones live on until their lease ends, so that
workloads have the other half of it to move over. Leases are kept in memory: after a restart the next read takes
new credentials, and Vault revokes the old ones when their lease ends.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf, isinf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.core.value import Value

from . import properties
from ._vault_http import seconds
from .base import Found
from .errors import StoreError, Throttled, Unreachable

if TYPE_CHECKING:
    from ._vault_auth import Session

__all__ = ["Leases"]

Ask: TypeAlias = Callable[..., Awaitable[tuple[dict[str, Any], "Session"]]]
"""Asks Vault: a method, a path, perhaps a body; gives the answer and the session that it was given to."""

_RENEW: Final = "sys/leases/renew"
_REVOKE: Final = "sys/leases/revoke"


@dataclass(frozen=True, slots=True, eq=False)
class _Lease:
    content: Value = field(repr=False)
    id: str
    lasts: float
    """Seconds that it had at first."""
    ends: float
    """The loop's time."""
    is_renewable: bool
    session: Session
    """Whose end is the end of all that was lent to it."""

    @property
    def left(self) -> float:
        return min(self.ends, self.session.ends) - _now()

    @property
    def is_due(self) -> bool:
        """Whether half of it is over."""
        return self.left < self.lasts / 2

    @property
    def found(self) -> Found:
        return Found(self.content, self.id, None if isinf(self.left) else timedelta(seconds=self.left))


class Leases:
    """What one store has been lent, by key."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._held: dict[str, _Lease] = {}
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def are_held(self) -> bool:
        """Whether somebody lives on what was lent."""
        return any(lease.left > 0 for lease in self._held.values())

    async def read(self, key: str, path: str) -> Found:
        """Give the credentials that we hold, renewed where it is time, or new ones."""
        async with self._reading[key]:
            lease = self._held.get(key)
            if lease is not None and lease.is_due:
                lease = await self._renewed(lease)
                self._held[key] = lease
            if lease is not None and not lease.is_due:
                return lease.found
            return await self._taken(key, path)

    async def revoke(self, key: str) -> None:
        """Give back what we hold; the credentials end at once. Absent is success."""
        async with self._reading[key]:
            lease = self._held.get(key)
            if lease is not None:
                await self._ask("POST", _REVOKE, {"lease_id": lease.id, "sync": True})
                del self._held[key]

    async def _renewed(self, lease: _Lease) -> _Lease:
        if not lease.is_renewable or lease.left <= 0:
            return lease
        asked = _now()
        try:
            answer, _ = await self._ask("POST", _RENEW, {"lease_id": lease.id})
        except (Throttled, Unreachable):
            return lease
        except StoreError:  # it is gone, or we may not renew
            return replace(lease, is_renewable=False)
        return replace(lease, ends=asked + seconds(answer, "lease_duration"))

    async def _taken(self, key: str, path: str) -> Found:
        asked = _now()
        try:
            answer, session = await self._ask("GET", path)
        except (Throttled, Unreachable):
            lease = self._held.get(key)
            if lease is None or lease.left <= 0:
                raise
            return lease.found
        content = _content(answer)
        lease_id = answer.get("lease_id")
        if not isinstance(lease_id, str) or not lease_id:  # an engine that lends nothing
            return Found(content)
        lasts = seconds(answer, "lease_duration") or inf
        is_renewable = answer.get("renewable") is True
        lease = _Lease(content, lease_id, min(lasts, session.lasts), asked + lasts, is_renewable, session)
        self._held[key] = lease
        return lease.found


def _content(answer: Mapping[str, Any]) -> Value:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise Unreachable("MalformedAnswer")
    return Value(properties.written(data))


def _now() -> float:
    return asyncio.get_running_loop().time()
