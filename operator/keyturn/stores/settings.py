"""What a store's spec means: its provider and rate, and whether namespaces share keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.secretstore import ClusterSecretStore
from keyturn.core.keys import ObjectKey

from .providers import discover, provider_of
from .providers.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.api.base import Schema
    from keyturn.core.keys import StoreKey
    from keyturn.kube.cache.externals import AnyStore, DataFromIndex

    from .providers import Provider

_MIN_INTERVAL: Final = 15.0
PLACEHOLDER: Final = "{namespace}"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """A store in one generation of its spec."""

    key: StoreKey
    provider: type[Provider[Any]]
    config: Schema
    min_interval: float
    """Seconds for which a read is cached."""
    rate: float
    """Requests per second."""
    prefix: str | None
    uid: str = ""
    """UID of the store object."""
    logs_in_as: str | None = None
    """The ServiceAccount of each consumer's namespace whose tokens are the login."""
    is_personal: bool = False
    """Whether each namespace has its own connection and shares nothing."""
    issues_leases: bool = False
    """Whether values are leased and expire, so that each reader has its own."""
    lease_issuer: str = ""


def plan_of(key: StoreKey, store: AnyStore) -> StoreSettings:
    """Parse the settings of a store.

    Raises:
        Refused: They are invalid for this version.
    """
    choice, refresh = store.spec.provider, store.spec.refresh
    provider = provider_of(choice.kind)
    if provider is None:
        raise Refused(
            "UnknownProvider",
            f"this version knows no provider {choice.kind!r}; write one of {', '.join(discover())}",
        )
    wrong = ""
    try:
        config = provider.Config.model_validate(choice.settings)
    except pydantic.ValidationError as error:
        wrong = validation_sentence(error, "spec.provider", choice.kind)
    if wrong:
        raise Refused("InvalidSettings", wrong)
    prefix = store.spec.key_prefix if isinstance(store, ClusterSecretStore) else None
    if prefix and not provider.takes_prefix(config):  # such a store may precede the validation rule
        raise Refused(
            "InvalidSettings", "it reads each namespace's own Secrets, by their names alone; remove keyPrefix"
        )
    return StoreSettings(
        key=key,
        provider=provider,
        config=config,
        min_interval=refresh.min_interval.total_seconds()
        if refresh and refresh.min_interval
        else _MIN_INTERVAL,
        rate=float(refresh.rate_per_second) if refresh and refresh.rate_per_second else float(provider.rate),
        prefix=prefix,
        uid=store.metadata.uid,
        logs_in_as=provider.logs_in_as(config),
        is_personal=key.is_for_all and provider.is_personal(config),
        issues_leases=provider.issues_leases(config),
        lease_issuer=provider.lease_issuer(config),
    )


# Stores whose keys namespaces share


def shared_keys(key: StoreKey, store: AnyStore) -> str | None:
    """Return a message if namespaces share one credential and no prefix separates their keys.

    This is no error: sharing may be intended.
    """
    if not isinstance(store, ClusterSecretStore):
        return None
    allowed = store.spec.allowed_namespaces
    if allowed is None or (allowed.selector is None and len(allowed.names or ()) < 2):  # noqa: PLR2004  # several
        return None
    if PLACEHOLDER in (store.spec.key_prefix or ""):
        return None
    try:
        plan = plan_of(key, store)
    except Refused:
        return None  # its condition Ready has the error
    if plan.is_personal or not plan.provider.takes_prefix(plan.config):
        return None
    return (
        "each allowed namespace may read, and by pushTo overwrite, the keys of the others, because keyPrefix has no"
        f" {PLACEHOLDER}; to separate them, write keyPrefix: '{PLACEHOLDER}{plan.provider.parts_with}' and move"
        " their keys there"
    )


# Cycles of Secrets that read each other whole

_MAX_SECRETS: Final = 1000
"""Maximum Secrets of one search."""


def reference_cycle(
    start: str, end: ObjectKey, data_from: DataFromIndex, named: Callable[[StoreKey, str], str | None]
) -> tuple[str, ...]:
    """Return the Secrets through which `start` reads `end`, in order; empty without a cycle.

    `named` maps a key of a store to a Secret of this namespace; None if it names none.
    """
    ways: list[tuple[str, ...]] = [(start,)]
    looked_at: set[str] = set()
    while ways and len(looked_at) < _MAX_SECRETS:
        way = ways.pop(0)
        if way[-1] == end.name:
            return way
        if way[-1] in looked_at:
            continue
        looked_at.add(way[-1])
        there = data_from.sources_of(ObjectKey(end.namespace, way[-1]))
        ways += [(*way, name) for store, key in sorted(there) if (name := named(store, key)) is not None]
    return ()
