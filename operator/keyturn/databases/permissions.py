"""Which accounts and schemas of a database target a namespace may use."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.kube.cache.references import permitted

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyturn.core.keys import TargetKey
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.cache.externals import AnyTarget

_MAX_NAMED: Final = 10
_NAMESPACE: Final = "{namespace}"


def is_permitted(key: TargetKey, username: str, namespace: str, cache: InformerCache) -> bool:
    """Whether a target exists, and permits an account for a namespace."""
    try:
        check_username(key, permitted(key, cache.targets, namespace, cache), username, namespace)
    except Stalled:
        return False
    return True


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


def check_schemas(key: TargetKey, target: AnyTarget, schemas: Collection[str], namespace: str) -> None:
    """Check that a target lets a template of this namespace grant privileges in these schemas.

    One of several namespaces allows none by default: with the rights of its administrator, a namespace would read the
    tables of another.

    Raises:
        Stalled: It does not.
    """
    if target.spec.allowed_schemas is None and not key.is_for_all:
        return
    given = target.spec.allowed_schemas or ()
    allowed = [one.replace(_NAMESPACE, namespace) if key.is_for_all else one for one in given]
    if refused := sorted(set(schemas) - set(allowed)):
        instead = ", ".join(allowed[:_MAX_NAMED]) or "none"
        raise Stalled(
            ErrorReason.ACCOUNT_FORBIDDEN,
            f"{key} does not allow the schema {refused[0]!r} in database.template.schemas; remove it, or let an"
            f" administrator add it to its spec.allowedSchemas: {instead}",
        )
