"""Resolves a reference to a store or a database target, and checks whether the namespace may use it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from keyturn.core.errors import Stalled
from keyturn.core.keys import ExternalKey, StoreKey, TargetKey
from keyturn.core.observation.emergency import selects
from keyturn.core.reasons import ErrorReason

from .externals import namespaces_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.api.database import TargetRef
    from keyturn.api.source import StoreRef

    from .cache import InformerCache
    from .externals import AnyStore, AnyTarget, ExternalCache, Key, Model

_MAX_NAMED: Final = 10
_FIELDS: Final[Mapping[type[ExternalKey], tuple[str, ErrorReason]]] = MappingProxyType(
    {
        StoreKey: ("storeRef", ErrorReason.STORE_NOT_FOUND),
        TargetKey: ("targetRef", ErrorReason.TARGET_NOT_READY),
    }
)
"""The field of a reference, and the reason if it leads to nothing."""


def store_for(ref: StoreRef, namespace: str, cache: InformerCache) -> tuple[StoreKey, AnyStore]:
    """Return the store that `ref` names in `namespace`.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    key = StoreKey.of(ref, namespace)
    return key, permitted(key, cache.stores, namespace, cache)


def target_for(ref: TargetRef, namespace: str, cache: InformerCache) -> tuple[TargetKey, AnyTarget]:
    """Return the database target that `ref` names in `namespace`.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    key = TargetKey.of(ref, namespace)
    return key, permitted(key, cache.targets, namespace, cache)


def permitted(key: Key, known: ExternalCache[Key, Model], namespace: str, cache: InformerCache) -> Model:
    """Return the object of a key, for a namespace.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    found = known.get(key)
    if found is None:
        raise Stalled(_FIELDS[type(key)][1], _suggestion(key, known, namespace, cache))
    if not _serves(key, found, namespace, cache):
        raise Stalled(ErrorReason.NAMESPACE_NOT_ALLOWED, _refusal(key, found, namespace, cache))
    return found


def _serves(key: ExternalKey, found: AnyStore | AnyTarget, namespace: str, cache: InformerCache) -> bool:
    """Whether an object may be used in a namespace; one of the cluster in none that it does not allow."""
    if not key.is_for_all:
        return True
    allowed = namespaces_of(found)
    if allowed is None:
        return False
    if namespace in (allowed.names or ()):
        return True
    labels = cache.namespace_labels(namespace)
    return allowed.selector is not None and labels is not None and selects(allowed.selector, labels)


def _refusal(key: ExternalKey, found: AnyStore | AnyTarget, namespace: str, cache: InformerCache) -> str:
    allowed = namespaces_of(found)
    is_blind = allowed is not None and allowed.selector is not None and not cache.sees_namespaces
    hint = (
        "the operator watches selected namespaces and cannot read their labels, so allowedNamespaces.selector"
        " matches none: name the namespace in allowedNamespaces.names"
        if is_blind
        else f"add {namespace!r} to its spec.allowedNamespaces, or use a {key.kind_of_namespace}"
    )
    return f"{key} does not allow the namespace {namespace!r}; {hint}"


def _suggestion(key: Key, known: ExternalCache[Key, Model], namespace: str, cache: InformerCache) -> str:
    """Suggest another kind or name; objects that the namespace may not use are not named."""
    field, _ = _FIELDS[type(key)]
    absent = f"there is no {key.kind} {key.name!r}{'' if key.is_for_all else ' in this namespace'}"
    other = key.named(key.kind_of_namespace if key.is_for_all else key.kind_for_all, key.name, namespace)
    if _is_usable(other, known, namespace, cache):
        return f"{absent}, but a {other.kind} of this name; write {field}.kind: {other.kind}"
    there = [
        name
        for name in known.names(key.kind, key.namespace)
        if _is_usable(key.named(key.kind, name, namespace), known, namespace, cache)
    ]
    named = ", ".join(there[:_MAX_NAMED]) + (", …" if len(there) > _MAX_NAMED else "")
    return f"{absent}; create it" + (f" or write one of these as {field}.name: {named}" if named else "")


def _is_usable(key: Key, known: ExternalCache[Key, Model], namespace: str, cache: InformerCache) -> bool:
    try:
        found = known.get(key)
    except Stalled:
        return False
    return found is not None and _serves(key, found, namespace, cache)
