"""Settings of a store: its provider with its configuration, and its rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.secretstore import ClusterSecretStore

from .providers import discover, provider_of
from .providers.errors import Refused

if TYPE_CHECKING:
    from keyturn.api.base import Schema
    from keyturn.core.keys import StoreKey
    from keyturn.kube.cache.externals import AnyStore

    from .providers import Provider

_MIN_INTERVAL: Final = 15.0


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

    @property
    def logs_in_as(self) -> str | None:
        return self.provider.logs_in_as(self.config)

    def whose(self, user: str) -> str:
        """Return the tenant of a request: the namespace, or the store itself if it serves several."""
        return user or str(self.key)

    @property
    def issues_leases(self) -> bool:
        """Whether values are leased and expire, so that each reader has its own."""
        return self.provider.issues_leases(self.config)

    @property
    def lease_issuer(self) -> str:
        return self.provider.lease_issuer(self.config)

    @property
    def is_personal(self) -> bool:
        """Whether each namespace has its own connection and shares nothing."""
        return self.key.is_for_all and self.provider.is_personal(self.config)


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
    )
