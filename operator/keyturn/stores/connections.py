"""The ways into one store: opened with a login, opened anew when that has changed, closed when nobody uses them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from keyturn.kube import errors as api_errors
from keyturn.kube.tokens import OWN_AUDIENCE, Tokens
from keyturn.runtime.concurrency import KeyedLimiter

from .consent import hold_to_consent
from .credentials import look_at
from .lease_login import SessionSecret
from .pending_reads import Crowd
from .providers import ProviderContext, work
from .providers.errors import Refused, Unauthorized, Unreachable
from .single_flight import closed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from keyturn.core.value import Value
    from keyturn.kube.client import Api
    from keyturn.runtime.background_tasks import Tasks

    from .credentials import Credentials
    from .providers import Provider, Reference
    from .providers.base import Keep
    from .providers.errors import StoreError
    from .providers.guard import Guard
    from .settings import StoreSettings

__all__ = ["NO_ACCOUNT", "NO_RIGHT", "ConnectionContext", "ConnectionPool", "StoreConnection"]

NO_ACCOUNT: Final = "NoServiceAccount"
NO_RIGHT: Final = "TokenForbidden"

_CHECKS: Final = 64
_CHECKS_OF_ONE: Final = 8
_REQUESTS: Final = 400
_REQUESTS_OF_ONE: Final = 40
"""Of the stores of one namespace, whose slowest answer takes half a minute."""
_FIRSTS: Final = 600
"""Namespaces of which each has one request more than all may have, so that it waits for no other's answer."""
_READS_OF_ONE: Final = 1000
"""Reads of one namespace that are under way or wait, each of which takes some memory."""
_REFUSAL_LASTS: Final = 10.0
"""Seconds in which a login that was refused is not tried again: accounts get locked by less."""


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What the doors of all stores lead through."""

    api: Api
    tokens: Tokens
    guard: Callable[[], Guard]
    files_root: Path | None
    namespace: str
    """The operator's own, where the logins of ClusterSecretStores lie."""
    checks: KeyedLimiter = field(
        default_factory=lambda: KeyedLimiter(_CHECKS_OF_ONE, _CHECKS, firsts=_FIRSTS)
    )
    """The turns of those who find out how a store is."""
    requests: KeyedLimiter = field(
        default_factory=lambda: KeyedLimiter(_REQUESTS_OF_ONE, _REQUESTS, firsts=_FIRSTS)
    )
    """The turns of those who read and write."""
    reads: Crowd = field(default_factory=lambda: Crowd(_READS_OF_ONE))
    """The reads of each namespace that are under way or wait."""


class StoreConnection:
    """One provider, opened with one login."""

    def __init__(self, namespace: str, provider: Provider[Any], login: Credentials, tasks: Tasks) -> None:
        self.namespace = namespace
        self.login = login
        self.looked_at = self.used_at = _now()
        self._provider = provider
        self._tasks = tasks
        self._guests = 0
        self._is_retired = False
        self._refusal: tuple[StoreError, float] | None = None

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Provider[Any]]:
        """Use the provider; one that is retired meanwhile is closed by the last who leaves."""
        self._guests += 1
        try:
            yield self._provider
        finally:
            self._guests -= 1
            self.used_at = _now()
            if self._is_retired and not self._guests:
                self._close()

    def retire(self) -> None:
        """Let in nobody more, and close when the last one has left."""
        is_first, self._is_retired = not self._is_retired, True
        if is_first and not self._guests:
            self._close()

    def _close(self) -> None:
        self._tasks.start(self._provider.close())  # which may ask a server that hangs: nobody waits for it

    def refused(self, error: StoreError) -> None:
        """Remember that the store does not take this login, from the first time on."""
        if self.refusal is None:
            self._refusal = (error, _now() + _REFUSAL_LASTS)

    @property
    def refusal(self) -> StoreError | None:
        """The store's last word on the login, as long as it is not tried again."""
        error, until = self._refusal or (None, -inf)
        return error if _now() < until else None

    @property
    def is_spent(self) -> bool:
        """Whether the next try deserves a provider that remembers nothing of the refused one."""
        return self._refusal is not None and self.refusal is None

    def is_idle(self, since: float) -> bool:
        return not self._guests and self.used_at < since


class ConnectionPool:
    """The doors of one store: one for all, or one for each namespace that logs in as itself."""

    def __init__(self, plan: StoreSettings, outside: ConnectionContext, tasks: Tasks) -> None:
        self._plan = plan
        self._outside = outside
        self._tasks = tasks
        self._open: dict[str, StoreConnection] = {}
        self._is_closed = False
        self._needed: tuple[Reference, ...] | None = None
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def door(self, namespace: str, looked_at: float) -> StoreConnection:
        """Return the door of `namespace`, with a login that was looked at after `looked_at`.

        Raises:
            StoreError: What the settings refer to is not there, or the store has other settings now.
        """
        async with self._opening[namespace]:
            self._hold_open()
            there = self._open.get(namespace)
            is_fit = there is not None and not there.is_spent
            needs = await self._needs()
            if there and is_fit and (there.looked_at > looked_at or not needs):
                return there
            began = _now()
            login = await self._login(namespace, needs)
            self._hold_open()
            if there and is_fit and there.login.versions == login.versions:
                there.looked_at = began
                return there
            return self._opened(namespace, login)

    @property
    def needs_something(self) -> bool:
        """Whether the settings refer to any object, as far as anybody has come to a door yet."""
        return bool(self._needed)

    async def _needs(self) -> tuple[Reference, ...]:
        """Name what the settings refer to; once, since it can take a while."""
        if self._needed is None:
            provider, config = self._plan.provider, self._plan.config
            self._needed = (
                await work.done(self._owner, provider.needs, config)
                if provider.needs_takes_long
                else provider.needs(config)
            )
        return self._needed

    async def _login(self, namespace: str, needs: tuple[Reference, ...]) -> Credentials:
        try:
            return await look_at(needs, self._home, self._outside.api)
        except Unreachable:
            if there := self._open.get(namespace):
                return there.login  # what was true a moment ago
            raise
        except (Unauthorized, Refused):
            self._shut(namespace)  # who takes a login away wants it used no more
            raise

    def _hold_open(self) -> None:
        if self._is_closed:
            raise closed()

    def tidy(self, unused_since: float) -> None:
        """Close what nobody has used since then."""
        for namespace, door in list(self._open.items()):
            if door.is_idle(unused_since) and not self._opening[namespace].locked():
                del self._opening[namespace]
                self._shut(namespace)

    def close(self) -> None:
        """Let nobody in any more; who is inside may finish."""
        self._is_closed = True
        for namespace in list(self._open):
            self._shut(namespace)

    def _opened(self, namespace: str, login: Credentials) -> StoreConnection:
        plan = self._plan
        made = plan.provider(plan.config, self._given(namespace, login))
        self._shut(namespace)
        door = self._open[namespace] = StoreConnection(namespace, made, login, self._tasks)
        return door

    def _shut(self, namespace: str) -> None:
        if door := self._open.pop(namespace, None):
            door.retire()

    def _given(self, namespace: str, login: Credentials) -> ProviderContext:
        outside = self._outside
        return ProviderContext(
            namespace=namespace,
            owner=self._owner,
            referred=login.referred,
            guard=outside.guard().of(self._owner),
            api=outside.api,
            files_root=outside.files_root if self._plan.key.is_for_all else None,
            token_of=partial(self._token, namespace) if self._plan.logs_in_as and namespace else None,
            keep=self._keep(namespace) if self._plan.lends else None,
        )

    def _keep(self, namespace: str) -> Keep | None:
        """Keep a login where its settings lie, or those of the namespace that logs in as itself."""
        home = namespace or self._home
        return SessionSecret(self._plan, home, self._outside.api) if home else None

    async def _token(self, namespace: str, account: str, audience: str, _seconds: int) -> Value:
        """Make a token of the one ServiceAccount that the settings name, and of no other."""
        if account != self._plan.logs_in_as:
            raise Refused("AnotherAccount", "the store's settings name another ServiceAccount")
        try:
            await hold_to_consent(namespace, account, self._plan.key, self._outside.api)
            return await self._outside.tokens.token(namespace, account, audience)
        except api_errors.ApiError as error:
            meant = _meaning(error, namespace, account)
        raise meant

    @property
    def _owner(self) -> str:
        """Say whose work this store makes: its namespace's, or its own where it is the administrator's."""
        return self._plan.key.namespace or str(self._plan.key)

    @property
    def _home(self) -> str:
        return self._plan.key.namespace or self._outside.namespace


def _meaning(error: api_errors.ApiError, namespace: str, account: str) -> StoreError:
    match error:
        case api_errors.NotFound():
            return Unauthorized(
                NO_ACCOUNT,
                f"there is no ServiceAccount {account!r} in the namespace {namespace!r}; create it",
            )
        case api_errors.Forbidden(reason=reason) if reason == OWN_AUDIENCE:
            return Refused(
                OWN_AUDIENCE, "a token for the API server itself is sent nowhere; write another audience"
            )
        case api_errors.Forbidden():
            return Unauthorized(
                NO_RIGHT,
                "the operator may make no tokens of ServiceAccounts; add manifests/components/workload-identity",
            )
        case api_errors.Invalid():
            return Unauthorized(
                NO_RIGHT,
                "an admission policy lets the operator make no such token; keyturn-own-tokens knows those for stores",
            )
        case _:
            return Unreachable("ApiServerUnavailable", retry_after=error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
