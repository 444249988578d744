"""Detects stores whose keys are shared between namespaces, and how to isolate them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.api.secretstore import ClusterSecretStore

from .providers.errors import Refused
from .settings import plan_of

if TYPE_CHECKING:
    from keyturn.api.secretstore import AllowedNamespaces
    from keyturn.core.keys import StoreKey
    from keyturn.kube.cache.externals import AnyStore

_PLACE: Final = "{namespace}"


def shared_keys(key: StoreKey, store: AnyStore) -> str | None:
    """Return a message if namespaces share one credential and no prefix separates their keys.

    This is no error: sharing may be intended.
    """
    if not isinstance(store, ClusterSecretStore) or not _are_several(store.spec.allowed_namespaces):
        return None
    if _PLACE in (store.spec.key_prefix or ""):
        return None
    try:
        plan = plan_of(key, store)
    except Refused:
        return None  # its condition Ready has the error
    if plan.is_personal or not plan.provider.takes_prefix(plan.config):
        return None
    return (
        "each allowed namespace may read, and by pushTo overwrite, the keys of the others, because keyPrefix has no"
        f" {_PLACE}; to separate them, write keyPrefix: '{_PLACE}{plan.provider.parts_with}' and move their keys"
        " there"
    )


def _are_several(allowed: AllowedNamespaces | None) -> bool:
    """Whether more than one namespace is allowed, now or later."""
    return allowed is not None and (allowed.selector is not None or len(allowed.names or ()) > 1)
