"""External secret stores: read, write, delete and lease by reference and key.

`Stores` is the entry point: it finds the store (`kube.cache.externals`), its settings (`settings`) and a
connection for the login (`login`), and answers from the cache or by one shared request.

Modules
    client      one store: cached, deduplicated requests
    login       connections by credential
    health      rate, circuit breaker, check, condition of a store
    settings    settings, shared keys, cycles, credentials: references, consent, sessions
    providers   one module or folder per kind of store

Imports: `kube`, `templates`, `runtime`, `core`, `api`.
"""

import asyncio
import re
from collections.abc import Coroutine
from datetime import timedelta
from math import inf
from typing import Any, Final, TypeAlias, TypeVar

from keyturn.api.source import StoreRef
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey, StoreKey
from keyturn.core.observation.external import Health, HealthEvents
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import AnyStore, store_for
from keyturn.kube.client import Api
from keyturn.kube.tokens import Tokens
from keyturn.runtime.clock import loop_time
from keyturn.runtime.concurrency import Tasks
from keyturn.runtime.reach import Reach
from keyturn.stores.providers.base import ProviderLease

from .client import Cache, StoreClient
from .health import PreviousClient, health_of
from .login import ConnectionContext, closed
from .providers import Content, Policy, RemoteValue, Written
from .providers.errors import Refused, StoreError, Unreachable
from .providers.guard import Guard
from .settings import PLACEHOLDER, plan_of, reference_cycle

__all__ = ["Failure", "Stores"]

T = TypeVar("T")

Failure: TypeAlias = StoreError | Stalled
"""Why a store was not asked, or did not answer."""

_IDLE_TIMEOUT: Final = 600.0
"""Seconds after which an idle provider is closed."""
_TIDY_INTERVAL: Final = 60.0
_SHUTDOWN_TIMEOUT: Final = 1.0
"""Time limit in seconds for requests to stores at shutdown."""


class Stores:
    """Clients of all stores, for the ManagedSecrets of any namespace.

    Belongs to one event loop; opens nothing before the first use of a store.

    Each request raises Stalled if the store does not exist or is not permitted for the namespace, and StoreError if
    the store did not execute it, was not asked, or has settings that are invalid for this version.
    """

    def __init__(self, api: Api, cache: InformerCache, reach: Reach) -> None:
        self.health_events: HealthEvents[StoreKey] = HealthEvents()
        self._api = api
        self._informer_cache = cache
        self._reach = reach
        self._guard: Guard | None = None
        self._tokens = Tokens(api, reach.our_audiences)
        self._context = ConnectionContext(api, self._tokens, self._guarded, reach.files_root, reach.namespace)
        self._cache = Cache()
        self._tasks = Tasks()
        self._shared: dict[StoreKey, StoreClient] = {}
        self._previous: dict[StoreKey, PreviousClient] = {}
        """By name, so that a store that hangs is not new after each change of its spec."""
        self._is_closed = False

    def identity(self, ref: StoreRef, namespace: str) -> str | None:
        """Return UID and generation of a store; None if it does not exist."""
        return self._informer_cache.stores.identity(StoreKey.of(ref, namespace))

    def reference_cycle(self, ref: StoreRef, namespace: str, key: str, secret: str) -> tuple[str, ...]:
        """Return the Secrets through which a key leads back to `secret`, if each reads the next one whole."""
        start = self._secret_at(StoreKey.of(ref, namespace), namespace, key)
        if start is None:
            return ()
        end = ObjectKey(namespace, secret)
        return reference_cycle(
            start,
            end,
            self._informer_cache.data_from,
            lambda store, key: self._secret_at(store, namespace, key),
        )

    def _secret_at(self, store: StoreKey, namespace: str, key: str) -> str | None:
        """Return the Secret of the consumer's namespace that a key names; None if it names none."""
        if not self.is_own_namespace(store):
            return None
        try:
            return located(key, None, namespace)  # such a store has no prefix
        except Refused:
            return None

    def is_own_namespace(self, key: StoreKey) -> bool:
        """Whether a store is the Secrets of the consumer's own namespace."""
        try:
            store = self._informer_cache.stores.get(key)
        except Stalled:
            return False
        provider = store.spec.provider if store else None
        return (
            provider is not None
            and provider.kind == "kubernetes"
            and "kubeconfigRef" not in provider.settings
        )

    async def read(
        self, ref: StoreRef, namespace: str, key: str, version: str | None = None, *, fresh: bool = False
    ) -> RemoteValue:
        """Read a key for a consumer in `namespace`; `fresh` bypasses the cache."""
        shared, path = self._place(ref, namespace, key)
        return await shared.read(namespace, path, version, fresh=fresh)

    async def inspect(self, ref: StoreRef, namespace: str, key: str) -> RemoteValue:
        """Read a key past the cache, also if readers may not use its value, such as after its expiry date.

        Raises:
            UnusableError: The key exists, and the store does not return its value.
        """
        shared, path = self._place(ref, namespace, key)
        return await shared.inspect(namespace, path)

    async def write(
        self, ref: StoreRef, namespace: str, key: str, content: Content, policy: Policy
    ) -> Written:
        """Set a key to `content`. Idempotent: it compares before it writes."""
        shared, path = self._place(ref, namespace, key)
        return await shared.write(namespace, path, content, policy, self._may_write_until)

    async def delete(self, ref: StoreRef, namespace: str, key: str) -> None:
        """Delete a key. Absence is success."""
        shared, path = self._place(ref, namespace, key)
        await shared.delete(namespace, path, self._may_write_until)

    def _may_write_until(self) -> float:
        """Return the loop time until which this process may write, as at the API server."""
        return self._api.fence() if self._api.fence else inf

    # Dynamic credentials, one lease per ManagedSecret

    def issues_leases(self, ref: StoreRef, namespace: str) -> bool:
        """Whether a store generates another value at each read, which expires."""
        store_key, store = store_for(ref, namespace, self._informer_cache)
        return self._of(store_key, store).plan.issues_leases

    def lease_issuer(self, ref: StoreRef, namespace: str) -> str:
        """Return where a store's leases are issued now."""
        store_key, store = store_for(ref, namespace, self._informer_cache)
        return self._of(store_key, store).plan.lease_issuer

    def lease(self, ref: StoreRef, namespace: str, key: str) -> asyncio.Task[RemoteValue | Failure]:
        """Acquire a credential, even if the caller is cancelled; a failure is a result of the task."""
        return self._tasks.start(_outcome(self._acquire(ref, namespace, key)))

    async def renew_lease(
        self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease
    ) -> timedelta | None:
        """Renew a lease, and return how long it is valid from now; None if it is not extended."""
        shared, path = self._place(ref, namespace, key)
        return await shared.renew_lease(namespace, path, lease)

    async def revoke_lease(self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease) -> None:
        """Revoke a lease. An expired lease is success."""
        shared, path = self._place(ref, namespace, key)
        await shared.revoke_lease(namespace, path, lease)

    def drop_lease(
        self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease
    ) -> asyncio.Task[Failure | None]:
        """Revoke a lease that no state records; if that fails, the lease expires."""
        return self._tasks.start(_outcome(self.revoke_lease(ref, namespace, key, lease)))

    async def _acquire(self, ref: StoreRef, namespace: str, key: str) -> RemoteValue:
        shared, path = self._place(ref, namespace, key)
        return await shared.lease(namespace, path)

    # Health and life cycle

    def health(self, key: StoreKey) -> Health | None:
        """Return the health of a store; None while it is checked, which `health_events` reports at its end."""
        try:
            store = self._informer_cache.stores.get(key)
            shared = self._of(key, store) if store else None
        except Stalled:
            return None
        except Refused as error:
            return health_of(error)
        except Unreachable:  # closed
            return None
        if shared is None:
            return None
        if shared.health_check.health is None:
            shared.health_check.look()
        return shared.health_check.health

    def forget(self, key: StoreKey) -> None:
        """Close a deleted store."""
        if shared := self._shared.pop(key, None):
            self._previous[key] = shared.close()

    async def run(self) -> None:
        """Close idle stores, until cancelled."""
        while True:
            await asyncio.sleep(_TIDY_INTERVAL)
            now = loop_time()
            for shared in list(self._shared.values()):
                shared.connections.tidy(now - _IDLE_TIMEOUT)
            for key, previous in list(self._previous.items()):
                if previous.ended < now - _IDLE_TIMEOUT:
                    del self._previous[key]

    async def aclose(self) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop all values and credentials, cancel all requests, and open nothing more."""
        self._is_closed = True
        await self._tasks.end()
        while self._shared:
            _, shared = self._shared.popitem()
            shared.close()
        await self._tasks.end(after=_SHUTDOWN_TIMEOUT)
        self._cache.clear()
        self._tokens.clear()
        if self._guard is not None:
            await self._guard.close()
            self._guard = None

    def _place(self, ref: StoreRef, namespace: str, key: str) -> tuple[StoreClient, str]:
        store_key, store = store_for(ref, namespace, self._informer_cache)
        shared = self._of(store_key, store)
        return shared, located(key, shared.plan.prefix, namespace, rooted=shared.plan.provider.rooted)

    def _of(self, key: StoreKey, store: AnyStore) -> StoreClient:
        identity = f"{store.metadata.uid}-{store.metadata.generation}"
        if (there := self._shared.get(key)) and there.identity == identity:
            return there
        if self._is_closed:
            raise closed()
        self.forget(key)
        plan = plan_of(key, store)
        # A store with one credential per namespace cannot be checked before its first use.
        previous = None if plan.is_personal else self._previous.get(key)
        shared = StoreClient(
            identity, plan, self._context, self._cache, self._tasks, lambda: self.health_events, previous
        )
        self._shared[key] = shared
        return shared

    def _guarded(self) -> Guard:
        if self._guard is None:
            from .providers.guard import Guard  # noqa: PLC0415  # on first use: few clusters have stores

            self._guard = Guard(self._reach.allowed, self._reach.inside)
        return self._guard


async def _outcome(asking: Coroutine[Any, Any, T]) -> T | Failure:
    try:
        return await asking
    except (StoreError, Stalled) as error:
        return error.with_traceback(None)


# Keys below the store's prefix

_OPEN_ENDED: Final = re.compile(r"[{]namespace[}]([-A-Za-z0-9]|$)")
"""A prefix with which the namespace team could name keys of the namespace team-a."""
_BELOW_A_PREFIX: Final = re.compile(r"[-_+=@./A-Za-z0-9]+")
_FORBIDDEN: Final = ("\\", "\0")
_LEADS_AWAY: Final = frozenset({"", ".", ".."})


def located(key: str, prefix: str | None, namespace: str, *, rooted: bool = False) -> str:
    """Return `key` with the prefix of its store.

    Nothing is normalised: a key with two possible readings is rejected, so that no spelling leaves the prefix. In a
    `rooted` store a leading slash is part of a name.

    Raises:
        Refused: The message has the rule for keys.
    """
    is_rooted = rooted and not prefix
    if any(mark in key for mark in _FORBIDDEN) or _escapes_prefix(key, rooted=is_rooted):
        raise Refused(
            "InvalidKey",
            "write a key such as prod/payments: no slash at its ends, no empty part, no part . or .., no backslash"
            + ("; one slash before it is part of its name" if is_rooted else ""),
        )
    if not prefix:
        return key
    if not _BELOW_A_PREFIX.fullmatch(key):
        raise Refused(
            "InvalidKey",
            "the store has a keyPrefix, and below it a key has letters, digits and - _ + = @ . / only",
        )
    return _filled(prefix, namespace, rooted=rooted) + key


def _filled(prefix: str, namespace: str, *, rooted: bool) -> str:
    filled = prefix.replace(PLACEHOLDER, namespace)
    # The API server checks the prefix too; this holds even if its validation rules were weakened.
    if (
        not namespace
        or _OPEN_ENDED.search(prefix)
        or _escapes_prefix(filled.removesuffix("/"), rooted=rooted)
    ):
        raise Refused(
            "InvalidPrefix",
            "the store's keyPrefix is not safe as a path; write one such as {namespace}/, with / or _ after it",
        )
    return filled


def _escapes_prefix(path: str, *, rooted: bool) -> bool:
    below = path.removeprefix("/") if rooted else path
    return not _LEADS_AWAY.isdisjoint(below.split("/"))
