"""Resolves a store reference, and checks whether the namespace may use the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.api.secretstore import ClusterSecretStore
from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, StoreKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.selector import selects

if TYPE_CHECKING:
    from keyturn.api.secretstore import AllowedNamespaces
    from keyturn.api.source import StoreRef
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.cache.stores import AnyStore

__all__ = ["is_allowed", "store_for"]

_MAX_NAMED: Final = 10


def store_for(ref: StoreRef, namespace: str, cache: InformerCache) -> tuple[StoreKey, AnyStore]:
    """Return the store that `ref` names in `namespace`.

    Raises:
        Stalled: It does not exist, is invalid, or is not permitted for this namespace.
    """
    key = StoreKey.of(ref, namespace)
    store = cache.stores.store(key)
    if store is None:
        raise Stalled(ErrorReason.STORE_NOT_FOUND, _suggestion(key, namespace, cache))
    if isinstance(store, ClusterSecretStore):
        _check_allowed(key, store, namespace, cache)
    return key, store


def _check_allowed(key: StoreKey, store: ClusterSecretStore, namespace: str, cache: InformerCache) -> None:
    allowed = store.spec.allowed_namespaces
    if is_allowed(allowed, namespace, cache):
        return
    unseen = allowed is not None and allowed.selector is not None and not cache.sees_namespaces
    hint = (
        "; the operator watches selected namespaces and cannot read their labels, so allowedNamespaces.selector"
        " matches none: name the namespace in allowedNamespaces.names"
        if unseen
        else f"; add {namespace!r} to its spec.allowedNamespaces, or use a SecretStore"
    )
    raise Stalled(
        ErrorReason.NAMESPACE_NOT_ALLOWED, f"{key} does not allow the namespace {namespace!r}{hint}"
    )


def is_allowed(allowed: AllowedNamespaces | None, namespace: str, cache: InformerCache) -> bool:
    """Whether an object of the whole cluster may be used in a namespace; no namespace is allowed by default."""
    if allowed is None:
        return False
    if namespace in (allowed.names or ()):
        return True
    labels = cache.labels(namespace)
    return allowed.selector is not None and labels is not None and selects(allowed.selector, labels)


def _suggestion(key: StoreKey, namespace: str, cache: InformerCache) -> str:
    """Suggest another kind or store; stores of other namespaces are not named."""
    other = _same_name(key, namespace, cache)
    if other is not None:
        return (
            f"there is no {key.kind} {key.name!r}{_where(key)}, but a {other.kind} of this name; write storeRef.kind:"
            f" {other.kind}"
        )
    there = cache.stores.names(key.kind, key.namespace)
    if key.kind == CLUSTER_SECRET_STORE:
        there = [name for name in there if _serves(StoreKey(key.kind, "", name), namespace, cache)]
    named = ", ".join(there[:_MAX_NAMED]) + (", …" if len(there) > _MAX_NAMED else "")
    instead = f" or write one of these as storeRef.name: {named}" if named else ""
    return f"there is no {key.kind} {key.name!r}{_where(key)}; create it{instead}"


def _same_name(key: StoreKey, namespace: str, cache: InformerCache) -> StoreKey | None:
    """Return a store of this name and the other kind that serves the namespace."""
    if key.is_for_all:
        other = StoreKey(SECRET_STORE, namespace, key.name)
        return other if key.name in cache.stores.names(SECRET_STORE, namespace) else None
    other = StoreKey(CLUSTER_SECRET_STORE, "", key.name)
    return other if _serves(other, namespace, cache) else None


def _where(key: StoreKey) -> str:
    return "" if key.is_for_all else " in this namespace"


def _serves(key: StoreKey, namespace: str, cache: InformerCache) -> bool:
    try:
        store = cache.stores.store(key)
    except Stalled:
        return False
    return isinstance(store, ClusterSecretStore) and is_allowed(
        store.spec.allowed_namespaces, namespace, cache
    )
