"""Resolves a target reference, and checks whether the namespace may use the server and the account."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from keyturn.api.databasetarget import ClusterDatabaseTarget
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, DATABASE_TARGET, TargetKey
from keyturn.core.reasons import ErrorReason
from keyturn.stores.lookup import is_allowed

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyturn.api.database import TargetRef
    from keyturn.api.secretstore import AllowedNamespaces
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.cache.targets import AnyTarget

__all__ = ["check_schemas", "check_username", "is_permitted", "target_for"]

_MAX_NAMED: Final = 10
_NAMESPACE: Final = "{namespace}"


def target_for(ref: TargetRef, namespace: str, cache: InformerCache) -> tuple[TargetKey, AnyTarget]:
    """Return the target that `ref` names in `namespace`.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    key = TargetKey.of(ref, namespace)
    target = cache.targets.target(key)
    if target is None:
        raise Stalled(ErrorReason.TARGET_NOT_READY, _suggestion(key, namespace, cache))
    if isinstance(target, ClusterDatabaseTarget):
        _check_allowed(key, target.spec.allowed_namespaces, namespace, cache)
    return key, target


def check_username(key: TargetKey, target: AnyTarget, username: str, namespace: str) -> None:
    """Check that a target allows an account for a namespace.

    Raises:
        Stalled: It does not.
    """
    allowed = target.spec.allowed_usernames
    if allowed is None:
        return
    patterns = [one.replace(_NAMESPACE, namespace) if key.is_for_all else one for one in allowed]
    if not any(fnmatchcase(username, pattern) for pattern in patterns):
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the username {username!r}; write one that matches its spec.allowedUsernames:"
            f" {', '.join(patterns[:_MAX_NAMED])}",
        )


def is_permitted(key: TargetKey, username: str, namespace: str, cache: InformerCache) -> bool:
    """Whether a target that exists permits an account for a namespace."""
    try:
        target = cache.targets.target(key)
        if isinstance(target, ClusterDatabaseTarget):
            _check_allowed(key, target.spec.allowed_namespaces, namespace, cache)
        if target is not None:
            check_username(key, target, username, namespace)
    except Stalled:
        return False
    return target is not None


def check_schemas(key: TargetKey, target: AnyTarget, schemas: Collection[str], namespace: str) -> None:
    """Check that a target of several namespaces lets a template of this one grant privileges in these schemas.

    Raises:
        Stalled: It does not: with the rights of its administrator, a namespace would read the tables of another.
    """
    if not isinstance(target, ClusterDatabaseTarget):
        return
    allowed = [one.replace(_NAMESPACE, namespace) for one in target.spec.allowed_schemas or ()]
    if refused := sorted(set(schemas) - set(allowed)):
        instead = ", ".join(allowed[:_MAX_NAMED]) or "none"
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the schema {refused[0]!r} in database.template.schemas; remove it, or let an"
            f" administrator add it to its spec.allowedSchemas: {instead}",
        )


def _check_allowed(
    key: TargetKey, allowed: AllowedNamespaces | None, namespace: str, cache: InformerCache
) -> None:
    if is_allowed(allowed, namespace, cache):
        return
    unseen = allowed is not None and allowed.selector is not None and not cache.sees_namespaces
    hint = (
        "the operator watches selected namespaces and cannot read their labels, so allowedNamespaces.selector"
        " matches none: name the namespace in allowedNamespaces.names"
        if unseen
        else f"add {namespace!r} to its spec.allowedNamespaces, or use a DatabaseTarget"
    )
    raise Stalled(
        ErrorReason.NAMESPACE_NOT_ALLOWED, f"{key} does not allow the namespace {namespace!r}; {hint}"
    )


def _suggestion(key: TargetKey, namespace: str, cache: InformerCache) -> str:
    """Return the message for a target that does not exist; targets that the namespace may not use are not named."""
    place = "" if key.is_for_all else " in this namespace"
    other = TargetKey.meant(
        DATABASE_TARGET if key.is_for_all else CLUSTER_DATABASE_TARGET, key.name, namespace
    )
    if _serves(other, namespace, cache):
        return (
            f"there is no {key.kind} {key.name!r}{place}, but a {other.kind} of this name; write"
            f" targetRef.kind: {other.kind}"
        )
    there = [
        name
        for name in cache.targets.names(key.kind, key.namespace)
        if _serves(TargetKey(key.kind, key.namespace, name), namespace, cache)
    ]
    instead = f" or write one of these as targetRef.name: {', '.join(there[:_MAX_NAMED])}" if there else ""
    return f"there is no {key.kind} {key.name!r}{place}; create it{instead}"


def _serves(key: TargetKey, namespace: str, cache: InformerCache) -> bool:
    try:
        target = cache.targets.target(key)
    except Stalled:
        return False
    if isinstance(target, ClusterDatabaseTarget):
        return is_allowed(target.spec.allowed_namespaces, namespace, cache)
    return target is not None
