"""Logins of a store: a connection per credential, and the consent of ServiceAccounts.

A connection is reopened when its credential changes, and closed when it is idle.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube.client import Api
from keyturn.kube.tokens import OWN_AUDIENCE, Tokens
from keyturn.runtime.clock import loop_time
from keyturn.runtime.concurrency import KeyedLimiter, Tasks

from .providers import Provider, ProviderContext, Reference, errors
from .providers.errors import Refused, StoreError, Throttled, Unauthorized, Unreachable
from .providers.guard import Guard
from .settings import Credentials, SessionSecret, StoreSettings, hold_to_consent, read_references

NO_ACCOUNT: Final = "NoServiceAccount"
NO_RIGHT: Final = "TokenForbidden"

_MAX_CHECKS: Final = 64
_MAX_CHECKS_PER_TENANT: Final = 8
_MAX_REQUESTS: Final = 400
_MAX_REQUESTS_PER_TENANT: Final = 40
"""For the stores of one namespace, at an answer time of half a minute."""
_MAX_FIRST_REQUESTS: Final = 600
"""Namespaces that may exceed the total limit by one request, so that none waits for another's slow store."""
_MAX_READS_PER_TENANT: Final = 1000
"""Reads of one namespace, in progress or waiting; each needs memory."""
_REJECTION_SECONDS: Final = 10.0
"""Seconds in which a rejected credential is not used again, so that no account gets locked."""
_CONSENT_SECONDS: Final = 180.0
"""Seconds after which the consent of a ServiceAccount is read again for a request, while its login continues."""
_DISTRUSTED_AFTER: Final = 3
"""Namespaces whose rejections pause a shared credential for all: a store may answer 401 for one key only.

One is enough for a credential that has never worked.
"""
_READS_RETRY_AFTER: Final = 10.0
"""Retry-After in seconds: about half the time limit of a read."""


class PendingReads:
    """Counts reads by namespace, and rejects those above the limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    @contextmanager
    def join(self, namespace: str) -> Iterator[None]:
        """Count one more read of `namespace`.

        Raises:
            Throttled: The limit is reached.
        """
        if self._inside[namespace] >= self._most:
            raise Throttled(
                "TooManyReads",
                f"{self._most} reads of its namespace are in progress, because stores answer slowly",
                retry_after=_READS_RETRY_AFTER,
            )
        self._inside[namespace] += 1
        try:
            yield
        finally:
            self._inside[namespace] -= 1
            if not self._inside[namespace]:
                del self._inside[namespace]


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What the connections of all stores share."""

    api: Api
    tokens: Tokens
    guard: Callable[[], Guard]
    files_root: Path | None
    namespace: str
    """The operator's own namespace, which has the credentials of ClusterSecretStores."""
    checks: KeyedLimiter = field(
        default_factory=lambda: KeyedLimiter(_MAX_CHECKS_PER_TENANT, _MAX_CHECKS, firsts=_MAX_FIRST_REQUESTS)
    )
    """Concurrency limit of health checks."""
    requests: KeyedLimiter = field(
        default_factory=lambda: KeyedLimiter(
            _MAX_REQUESTS_PER_TENANT, _MAX_REQUESTS, firsts=_MAX_FIRST_REQUESTS
        )
    )
    """Concurrency limit of reads and writes."""
    reads: PendingReads = field(default_factory=lambda: PendingReads(_MAX_READS_PER_TENANT))
    """Reads of each namespace, in progress or waiting."""


class StoreConnection:
    """A provider that was opened with one credential."""

    def __init__(
        self,
        namespace: str,
        provider: Provider[Any],
        login: Credentials,
        tasks: Tasks,
        before: "StoreConnection | None" = None,
        *,
        is_apart: bool = False,
    ) -> None:
        """`before` is the connection that it replaces; one that is apart does not concern the store's health."""
        self.namespace = namespace
        self.is_apart = is_apart
        self.login = login
        self.looked_at = self.used_at = loop_time()
        self._provider = provider
        self._tasks = tasks
        self._guests = 0
        self._is_retired = False
        self.was_accepted = before is not None and before.has_accepted(login)
        self._pauses: dict[str, tuple[StoreError, float]] = {}
        """Rejections by namespace, and until when its requests are refused here."""
        self._rejected: set[str] = set()
        """Namespaces with a rejection since the last success."""
        self._rejected_at = -inf

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Provider[Any]]:
        """Use the provider; after `retire` the last user closes it."""
        self._guests += 1
        try:
            yield self._provider
        finally:
            self._guests -= 1
            self.used_at = loop_time()
            if self._is_retired and not self._guests:
                self._close()

    def retire(self) -> None:
        """Admit no further user, and close once the last one has left."""
        is_first, self._is_retired = not self._is_retired, True
        if is_first and not self._guests:
            self._close()

    def _close(self) -> None:
        self._tasks.start(self._provider.close())  # in the background: close may wait for a server that hangs

    def record_success(self, began: float) -> None:
        """Record that the store has accepted this credential for a request that began at `began`."""
        self.was_accepted = True
        if began > self._rejected_at:
            self._rejected.clear()

    def record_rejection(self, consumer: str, error: StoreError) -> None:
        """Record that the store rejects this credential for a namespace's request."""
        self._rejected.add(consumer)
        self._rejected_at = loop_time()
        if consumer not in self._active_pauses():
            self._pauses[consumer] = (error, self._rejected_at + _REJECTION_SECONDS)

    def refusal(self, consumer: str) -> StoreError | None:
        """Return the rejection of the credential, while it is not used again for this namespace."""
        active = self._active_pauses()
        return active.get(consumer) or (next(iter(active.values())) if self.is_refused else None)

    @property
    def is_refused(self) -> bool:
        """Whether the credential is not used for any namespace."""
        return len(self._rejected & self._active_pauses().keys()) >= self._threshold

    @property
    def is_spent(self) -> bool:
        """Whether the next attempt should use a new provider, without memory of the rejected one."""
        return bool(self._rejected - self._active_pauses().keys())

    def has_accepted(self, login: Credentials) -> bool:
        """Whether this connection's credential is the same, and worked."""
        is_distrusted = len(self._rejected) >= self._threshold
        return self.was_accepted and not is_distrusted and self.login.versions == login.versions

    @property
    def _threshold(self) -> int:
        return _DISTRUSTED_AFTER if self.was_accepted else 1

    def _active_pauses(self) -> dict[str, StoreError]:
        return {name: error for name, (error, until) in self._pauses.items() if loop_time() < until}

    def is_idle(self, since: float) -> bool:
        return not self._guests and self.used_at < since


class _Consent(NamedTuple):
    """Consent of a namespace's ServiceAccount, or its refusal, until it is read again."""

    account: frozenset[str]
    """The UID of the account; empty after a refusal."""
    until: float
    refusal: StoreError | None = None
    seen: float = 0.0
    """When the API server last showed the consent."""


def closed() -> Unreachable:
    """Return the error for a request that is cancelled at shutdown."""
    return Unreachable("Closed", "the store was changed, or the operator ends")


class ConnectionPool:
    """Connections of one store: one for all consumers, or one for each namespace with its own credential."""

    def __init__(self, plan: StoreSettings, context: ConnectionContext, tasks: Tasks) -> None:
        self._plan = plan
        self._context = context
        self._tasks = tasks
        self._open: dict[str, StoreConnection] = {}
        self._is_closed = False
        self._needed: tuple[Reference, ...] | None = None
        self._consents: dict[str, _Consent] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def connection(
        self, namespace: str, looked_at: float, admit: Callable[[], None] = lambda: None
    ) -> StoreConnection:
        """Return the connection of `namespace`, with a credential that was read after `looked_at`.

        One caller at a time reads a credential; `admit` is called when it is the caller's turn, and may raise.

        Raises:
            StoreError: An object that the settings refer to is missing, or the store has other settings now.
        """
        async with self._opening[namespace]:
            admit()
            self._hold_open()
            account = await self._account(namespace)
            connection = self._open.get(namespace)
            is_same = connection is not None and account <= connection.login.versions
            is_fit = connection is not None and is_same and not connection.is_spent
            needs = await self._needs()
            if connection and is_fit and (connection.looked_at > looked_at or not needs):
                return connection
            began = loop_time()
            login = await self._login(namespace, needs)
            login = login._replace(versions=login.versions | account)
            self._hold_open()
            if connection and is_fit and connection.login.versions == login.versions:
                connection.looked_at = began
                return connection
            made = self._plan.provider(self._plan.config, self._context_of(namespace, login))
            before = self._open.get(namespace)
            self._shut(namespace)
            self._open[namespace] = StoreConnection(namespace, made, login, self._tasks, before)
            return self._open[namespace]

    async def resume_session(self, namespace: str) -> StoreConnection:
        """Return a connection for revocations, which resumes the stored session of an account without its consent.

        It requests no token, and the caller retires it.

        Raises:
            StoreError: An object that the settings refer to is missing, or the store has other settings now.
        """
        self._hold_open()
        login = await read_references(await self._needs(), self._home, self._context.api)
        given = replace(
            self._context_of(namespace, login),
            token_of=None,
            keep=SessionSecret(self._plan, namespace, self._context.api),
        )
        made = self._plan.provider(self._plan.config, given)
        return StoreConnection(namespace, made, login, self._tasks, is_apart=True)

    @property
    def needs_something(self) -> bool:
        """Whether the settings refer to any object, as far as a connection was opened yet."""
        return bool(self._needed)

    async def _needs(self) -> tuple[Reference, ...]:
        """Return what the settings refer to; once, since it can take long."""
        if self._needed is None:
            provider, config = self._plan.provider, self._plan.config
            self._needed = (
                await errors.run_apart(self._owner, provider.needs, config)
                if provider.needs_takes_long
                else provider.needs(config)
            )
        return self._needed

    async def _account(self, namespace: str) -> frozenset[str]:
        """Return the UID of the ServiceAccount that the store logs in as; empty without one."""
        account = self._plan.logs_in_as
        if not account or not namespace:
            return frozenset()
        known = self._consents.get(namespace)
        if known is None or known.until <= loop_time():
            known = self._consents[namespace] = await self._consent(namespace, account, known)
        if known.refusal is not None:
            raise known.refusal.again()
        return known.account

    async def _consent(self, namespace: str, account: str, before: _Consent | None) -> _Consent:
        """Read the consent of an account; its times count from the answer, which may take long."""
        try:
            uid = await self._hold_to_consent(namespace, account)
        except (Unreachable, Unauthorized, Refused) as error:
            # An account whose consent cannot be read is used as before; without the right, for a while.
            is_kept = isinstance(error, Unreachable) or (
                error.code == NO_RIGHT and before and loop_time() < before.seen + 2 * _CONSENT_SECONDS
            )
            if before is not None and before.refusal is None and is_kept:
                return before._replace(until=loop_time() + _REJECTION_SECONDS)
            if isinstance(error, Unreachable):
                raise
            self._shut(namespace)
            return _Consent(frozenset(), loop_time() + _REJECTION_SECONDS, error.with_traceback(None))
        if before is not None and before.account != {uid}:
            self._context.tokens.forget(namespace)  # of a deleted account of the same name
        now = loop_time()
        return _Consent(frozenset({uid}), now + _CONSENT_SECONDS, seen=now)

    async def _login(self, namespace: str, needs: tuple[Reference, ...]) -> Credentials:
        try:
            return await read_references(needs, self._home, self._context.api)
        except Unreachable:
            there = self._open.get(namespace)
            if there and not self._plan.provider.references_have_values:
                return there.login  # valid a moment ago
            raise
        except (Unauthorized, Refused):
            self._shut(namespace)  # a deleted credential must not be used any more
            raise

    def _hold_open(self) -> None:
        if self._is_closed:
            raise closed()

    def tidy(self, unused_since: float) -> None:
        """Close connections that are unused since then."""
        for namespace, connection in list(self._open.items()):
            if connection.is_idle(unused_since) and not self._opening[namespace].locked():
                del self._opening[namespace]
                self._shut(namespace)
        for namespace, consent in list(self._consents.items()):
            if namespace not in self._open and consent.until < unused_since:
                del self._consents[namespace]

    def close(self) -> None:
        """Admit no further user; requests in progress may finish."""
        self._is_closed = True
        for namespace in list(self._open):
            self._shut(namespace)

    def _shut(self, namespace: str) -> None:
        if connection := self._open.pop(namespace, None):
            connection.retire()

    def _context_of(self, namespace: str, login: Credentials) -> ProviderContext:
        context, keeps = self._context, self._plan.issues_leases
        # Session credentials are stored in the namespace of the credential.
        home, consent = namespace or self._home, self._consents.get(namespace)
        account = "".join(consent.account) if consent else ""
        return ProviderContext(
            namespace=namespace,
            owner=self._owner,
            referred=login.referred,
            guard=context.guard().of(self._owner),
            api=context.api,
            files_root=context.files_root if self._plan.key.is_for_all else None,
            token_of=partial(self._token, namespace) if self._plan.logs_in_as and namespace else None,
            keep=SessionSecret(self._plan, home, context.api, account) if keeps and home else None,
        )

    async def _token(self, namespace: str, account: str, audience: str) -> Value:
        """Request a token for the ServiceAccount that the settings name, and no other."""
        if account != self._plan.logs_in_as:
            raise Refused("AnotherAccount", "the store's settings name another ServiceAccount")
        await self._hold_to_consent(namespace, account)
        try:
            return await self._context.tokens.token(namespace, account, audience)
        except api_errors.ApiError as error:
            errors.raise_alone(_meaning(error, namespace, account))

    async def _hold_to_consent(self, namespace: str, account: str) -> str:
        try:
            return await hold_to_consent(namespace, account, self._plan.key, self._context.api)
        except api_errors.ApiError as error:
            errors.raise_alone(_meaning(error, namespace, account))

    @property
    def _owner(self) -> str:
        """Return the tenant of this store: its namespace, or the store itself if it belongs to the administrator."""
        return self._plan.key.namespace or str(self._plan.key)

    @property
    def _home(self) -> str:
        return self._plan.key.namespace or self._context.namespace


def _meaning(error: api_errors.ApiError, namespace: str, account: str) -> StoreError:
    match error:
        case api_errors.NotFound():
            return Unauthorized(
                NO_ACCOUNT,
                f"there is no ServiceAccount {account!r} in the namespace {namespace!r}; create it",
            )
        case api_errors.Forbidden(reason=reason) if reason == OWN_AUDIENCE:
            return Refused(
                OWN_AUDIENCE, "a token for the API server is not sent to a store; write another audience"
            )
        case api_errors.Forbidden():
            return Unauthorized(
                NO_RIGHT,
                "the operator may not create ServiceAccount tokens; enable the component workload-identity"
                " (Helm: workloadIdentity.enabled=true)",
            )
        case api_errors.Invalid():
            return Unauthorized(
                NO_RIGHT,
                "an admission policy denies this token; add its audience to the policy keyturn-own-tokens"
                " (Helm: workloadIdentity.audiences)",
            )
        case _:
            return Unreachable("ApiServerUnavailable", retry_after=error.retry_after)
