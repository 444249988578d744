"""What Vault lends: credentials that are made when they are read, and end with their lease or with its login.

Nothing is remembered here: whoever takes something keeps what `Lent` says of it, and comes back with that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.core.value import Value

from . import properties
from ._vault_http import seconds
from .base import Lent, RemoteValue
from .errors import StoreError, Throttled, Unreachable

if TYPE_CHECKING:
    from ._vault_session import Session

__all__ = ["renewed", "revoked", "taken"]

Ask: TypeAlias = Callable[..., Awaitable[tuple[dict[str, Any], "Session"]]]
"""Asks Vault: a method, a path, perhaps a body; gives the answer and the session that it was given to."""

_RENEW: Final = "sys/leases/renew"
_REVOKE: Final = "sys/leases/revoke"
_LONGEST: Final = 30 * 365 * 86400
"""Seconds: for ever, for somebody who counts."""
_LONGEST_NAME: Final = 1024


async def taken(ask: Ask, path: str) -> RemoteValue:
    """Have Vault make credentials."""
    answer, session = await ask("GET", path)
    content = _content(answer)
    id_ = answer.get("lease_id")
    if not isinstance(id_, str) or not 0 < len(id_) <= _LONGEST_NAME:  # an engine that lends nothing
        return RemoteValue(content)
    lasts = min(seconds(answer, "lease_duration") or _LONGEST, session.left)
    return RemoteValue(content, id_, Lent(id_, session.name, timedelta(seconds=lasts)))


async def renewed(ask: Ask, lent: Lent) -> timedelta | None:
    """Have a lease renewed; None where it is gone, cannot be renewed, or ends with a login that we have no more."""
    try:
        answer, session = await ask("POST", _RENEW, {"lease_id": lent.id})
    except (Throttled, Unreachable):
        raise
    except StoreError:  # it is gone, or we may not renew
        return None
    if session.name != lent.login:
        return None
    return timedelta(seconds=min(seconds(answer, "lease_duration"), session.left, _LONGEST))


async def revoked(ask: Ask, lent: Lent) -> None:
    """End a lease; Vault says nothing against one that it does not know."""
    await ask("POST", _REVOKE, {"lease_id": lent.id, "sync": True})


def _content(answer: Mapping[str, Any]) -> Value:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise Unreachable("MalformedAnswer")
    return Value(properties.written(data))
