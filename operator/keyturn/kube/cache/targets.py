"""Database targets in the informer cache, the ManagedSecrets that use them, and the accounts that these name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.databasetarget import ClusterDatabaseTarget, DatabaseTarget
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, DATABASE_TARGET, ObjectKey, TargetKey
from keyturn.core.reasons import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["AnyTarget", "TargetCache"]

AnyTarget: TypeAlias = DatabaseTarget | ClusterDatabaseTarget
Permits: TypeAlias = "Callable[[TargetKey, str, str], bool]"
"""Whether a target permits an account for a namespace."""
_MODELS: dict[str, type[AnyTarget]] = {
    DATABASE_TARGET: DatabaseTarget,
    CLUSTER_DATABASE_TARGET: ClusterDatabaseTarget,
}


@dataclass(frozen=True, slots=True)
class _Claim:
    """The account that a ManagedSecret names."""

    target: TargetKey
    username: str
    names: frozenset[str]
    """Every name at the server that can be one of the account's."""
    rank: tuple[bool, str, str]
    """The claim with the lowest rank keeps a contested account: it has credentials there, or is older."""


class TargetCache:
    """Both kinds of target by key, the ManagedSecrets that reference them, and their accounts."""

    def __init__(self) -> None:
        self._targets: dict[TargetKey, AnyTarget | Stalled] = {}
        self._claims: dict[ObjectKey, _Claim] = {}
        self._users: defaultdict[TargetKey, set[ObjectKey]] = defaultdict(set)

    # Targets.

    def put(self, key: TargetKey, body: Mapping[str, Any]) -> None:
        try:
            self._targets[key] = _MODELS[key.kind].model_validate(body)
        except pydantic.ValidationError as error:
            self._targets[key] = Stalled(ErrorReason.TARGET_INVALID, f"{key}: {validation_sentence(error)}")

    def drop(self, key: TargetKey) -> None:
        self._targets.pop(key, None)

    def target(self, key: TargetKey) -> AnyTarget | None:
        """Return a target, or None.

        Raises:
            Stalled: This version cannot parse it.
        """
        target = self._targets.get(key)
        if isinstance(target, Stalled):
            raise target.with_traceback(None)
        return target

    def identity(self, key: TargetKey) -> str | None:
        """Return UID and generation of a target as an identifier of its settings; None if it is absent or invalid."""
        target = self._targets.get(key)
        if target is None or isinstance(target, Stalled):
            return None
        return f"{target.metadata.uid}-{target.metadata.generation}"

    def keys(self, kind: str) -> list[TargetKey]:
        return [key for key in list(self._targets) if key.kind == kind]

    def names(self, kind: str, namespace: str) -> list[str]:
        """Return the names of the targets of a kind and namespace."""
        return sorted(key.name for key in self._targets if (key.kind, key.namespace) == (kind, namespace))

    def selected_users(self) -> set[ObjectKey]:
        """Return the users of targets that select namespaces by labels."""
        chosen = [key for key, target in self._targets.items() if _selects(target)]
        return {user for key in chosen for user in self._users.get(key, ())}

    # Users.

    def note_user(self, user: ObjectKey, body: Mapping[str, Any]) -> None:
        """Index the account that a ManagedSecret names."""
        self.forget_user(user)
        if claim := _claim_of(user, body):
            self._claims[user] = claim
            self._users[claim.target].add(user)

    def forget_user(self, user: ObjectKey) -> None:
        if claim := self._claims.pop(user, None):
            self._users[claim.target].discard(user)
            if not self._users[claim.target]:
                del self._users[claim.target]

    def users_of(self, key: TargetKey) -> frozenset[ObjectKey]:
        return frozenset(self._users.get(key, ()))

    def rivals_of(self, user: ObjectKey) -> frozenset[ObjectKey]:
        """Return the other ManagedSecrets that name the same account, or one with a login of it."""
        if (claim := self._claims.get(user)) is None:
            return frozenset()
        others = self._users[claim.target] - {user}
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


def _selects(target: AnyTarget | Stalled) -> bool:
    if not isinstance(target, ClusterDatabaseTarget) or target.spec.allowed_namespaces is None:
        return False
    return target.spec.allowed_namespaces.selector is not None


def _claim_of(user: ObjectKey, body: Mapping[str, Any]) -> _Claim | None:
    """Return the claim of a ManagedSecret, as the API server sent it; the CRD schema has validated it."""
    database = (body.get("spec") or {}).get("database") or {}
    ref, username = database.get("targetRef") or {}, database.get("username")
    if not ref.get("name") or not username:
        return None
    metadata = body["metadata"]
    has_credentials = bool((body.get("status") or {}).get("credentials"))
    return _Claim(
        TargetKey.meant(ref.get("kind") or DATABASE_TARGET, ref["name"], user.namespace),
        username,
        # The logins of AlternatingUsers count for SingleUser, too: the account may have them from earlier.
        frozenset({username, f"{username}_a", f"{username}_b"}),
        (not has_credentials, metadata.get("creationTimestamp") or "", metadata.get("uid") or ""),
    )
