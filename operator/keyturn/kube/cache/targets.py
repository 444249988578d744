"""Database targets in the informer cache, the ManagedSecrets that use them, and the accounts that these name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.api.databasetarget import ClusterDatabaseTarget, DatabaseTarget
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, DATABASE_TARGET, ObjectKey, TargetKey
from keyturn.core.reasons import ErrorReason

from .externals import AnyTarget, ExternalCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TargetCache"]

Permits: TypeAlias = "Callable[[TargetKey, str, str], bool]"
"""Whether a target permits an account for a namespace."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """The account that a ManagedSecret names."""

    target: TargetKey
    username: str
    names: frozenset[str]
    """Every name at the server that can be one of the account's."""
    rank: tuple[bool, str, str]
    """The claim with the lowest rank keeps a contested account: it has credentials there, or is older."""


class TargetCache(ExternalCache[TargetKey, AnyTarget]):
    """Both kinds of target by key, the ManagedSecrets that reference them, and their accounts."""

    def __init__(self) -> None:
        parsers: dict[str, Callable[[Any], AnyTarget]] = {
            DATABASE_TARGET: DatabaseTarget.model_validate,
            CLUSTER_DATABASE_TARGET: ClusterDatabaseTarget.model_validate,
        }
        super().__init__(parsers, ErrorReason.TARGET_INVALID)
        self._claims: dict[ObjectKey, _Claim] = {}

    def note_user(self, user: ObjectKey, body: Mapping[str, Any]) -> None:
        """Index the account that a ManagedSecret names."""
        claim = _claim_of(user, body)
        self.note_uses(user, [claim.target] if claim else ())
        if claim:
            self._claims[user] = claim

    def forget_user(self, user: ObjectKey) -> None:
        super().forget_user(user)
        self._claims.pop(user, None)

    def rivals_of(self, user: ObjectKey) -> frozenset[ObjectKey]:
        """Return the other ManagedSecrets that name the same account, or one with a login of it."""
        if (claim := self._claims.get(user)) is None:
            return frozenset()
        others = self.users_of(claim.target) - {user}
        return frozenset(one for one in others if not claim.names.isdisjoint(self._claims[one].names))

    def taken_by(self, user: ObjectKey, is_permitted: Permits = lambda *_: True) -> ObjectKey | None:
        """Return the ManagedSecret that keeps the account of `user`, if that is another one.

        A rival counts if it has credentials at the server, or if `is_permitted`: otherwise an object of a namespace
        that may not use a target could keep the accounts of others from them.
        """
        rivals = [one for one in self.rivals_of(user) if self._counts(one, is_permitted)]
        if not rivals:
            return None
        first = min((user, *rivals), key=lambda one: (self._claims[one].rank, one))
        return None if first == user else first

    def _counts(self, user: ObjectKey, is_permitted: Permits) -> bool:
        claim = self._claims[user]
        has_no_credentials, *_ = claim.rank
        return not has_no_credentials or is_permitted(claim.target, claim.username, user.namespace)


def _claim_of(user: ObjectKey, body: Mapping[str, Any]) -> _Claim | None:
    """Return the claim of a ManagedSecret, as the API server sent it; the CRD schema has validated it."""
    database = (body.get("spec") or {}).get("database") or {}
    ref, username = database.get("targetRef") or {}, database.get("username")
    if not ref.get("name") or not username:
        return None
    metadata = body["metadata"]
    has_credentials = bool((body.get("status") or {}).get("credentials"))
    return _Claim(
        TargetKey.named(ref.get("kind"), ref["name"], user.namespace),
        username,
        # The logins of AlternatingUsers count for SingleUser, too: the account may have them from earlier.
        frozenset({username, f"{username}_a", f"{username}_b"}),
        (not has_credentials, metadata.get("creationTimestamp") or "", metadata.get("uid") or ""),
    )
