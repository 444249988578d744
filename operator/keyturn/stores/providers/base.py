"""Interface of a provider: one external store, read by key and, if it can, written."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from keyturn.api.base import Schema
from keyturn.core.value import Value, size_of
from keyturn.kube.client import Api
from keyturn.runtime.clock import loop_time

from . import properties
from .errors import Conflict, Denied, NotFound, Refused, Unauthorized, Unreachable, UnusableError, raise_alone
from .guard import PERMIT, Guard


@dataclass(frozen=True, slots=True)
class ProviderLease:
    """A lease: what a store needs to renew and to revoke it; it gives access to nothing."""

    id: str
    login: str
    """Name of the session that the lease ends with; empty if the session is managed elsewhere."""
    lasts: timedelta
    """Duration of the lease, counted from the read."""
    issuer: str = ""
    """`Provider.lease_issuer` of the settings that it was acquired with."""


class Keep(Protocol):
    """Stores a session credential beyond this process, readable only where its original credential is readable."""

    async def load(self) -> Value | None:
        """Return the stored credential; None if there is none."""

    async def save(self, login: Value) -> None:
        """Replace the stored credential.

        Raises:
            Unreachable: The write failed.
        """


# Provider

C = TypeVar("C", bound=Schema)
T = TypeVar("T")

LARGEST: Final = 1024 * 1024
"""Bytes of one value, and of all its parts: the size limit of a Secret."""
_MAX_KEY_LENGTH: Final = 1024
_CHECK_KEY: Final = "keyturn-looks-whether-it-may-log-in"
_ATTEMPTS: Final = 3
"""Attempts of a write after conflicts."""
_PERMIT_INTERVAL: Final = 1.0
"""Seconds after which a change in progress checks whether this process may still write."""

Content: TypeAlias = Value | Mapping[str, Value]
"""Content of one key: bytes, or named parts if the store itself has parts."""
TokenOf: TypeAlias = Callable[[str, str], Awaitable[Value]]
"""Requests a token of a ServiceAccount in the consumer's namespace: name, audience."""
Permit: TypeAlias = Callable[[], float]
"""Returns the loop time until which this process may write; another one may have newer values from then on."""


class Capability(Enum):
    """Optional capabilities of a provider."""

    WRITE = auto()
    VERSIONS = auto()
    """Older versions can be read."""


class Policy(Enum):
    """What a write does to an existing key."""

    REPLACE = "Replace"
    IF_NOT_EXISTS = "IfNotExists"


class WriteResult(Enum):
    """Result of a write."""

    CREATED = auto()
    REPLACED = auto()
    UNCHANGED = auto()
    """The store had the same content already: nothing was written."""
    KEPT = auto()
    """The store had other content, which the policy keeps."""


class Reference(NamedTuple):
    """A key of a Secret or ConfigMap that a store's settings refer to."""

    kind: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class RemoteValue:
    """A value with the store's own name for its version.

    Equal versions have equal content; a version is never derived from the content, so it is not confidential.
    """

    content: Content
    version: str | None = None
    lease: ProviderLease | None = None
    """The lease, if the store leases the value."""


class Written(NamedTuple):
    """Result of a write, and the current version in the store."""

    outcome: WriteResult
    version: str | None


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a provider may use besides its settings; opened and closed by the caller."""

    namespace: str = ""
    """The consumer's namespace, empty for a shared store; no setting names another one."""
    referred: Mapping[Reference, RemoteValue] = field(default_factory=dict)
    """Values of the objects that `Provider.needs` names."""
    owner: str = ""
    """The tenant: slow work of one tenant runs one job at a time."""
    guard: Guard | None = None
    api: Api | None = None
    files_root: Path | None = None
    token_of: TokenOf | None = None
    """Source of tokens for workload identity; the operator's own token is never available."""
    patience: float = 30.0
    """Time limit of one operation in seconds."""
    keep: Keep | None = None
    """Storage of a session credential that leases depend on."""

    @property
    def network(self) -> Guard:
        if self.guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        return self.guard

    def value_of(self, reference: Reference) -> Value:
        """Return one of the values of `referred`.

        Raises:
            Unauthorized: It is not there.
        """
        found = self.referred.get(reference)
        if found is None or not isinstance(found.content, Value):
            raise Unauthorized("NoLogin", f"the key {reference.key!r} of the {reference.kind} is not there")
        return found.content

    async def token(self, account: str, audience: str) -> Value:
        """Request a token of a ServiceAccount in the consumer's namespace."""
        if self.token_of is None:
            raise Refused("NoTokens", "this store logs in as a ServiceAccount of the consumer's namespace")
        return await self.token_of(account, audience)


class Provider(ABC, Generic[C]):
    """One store, opened with its settings; safe for concurrent tasks."""

    kind: ClassVar[str]
    """The name under `provider` in a store's spec."""
    Config: ClassVar[type[Schema]]
    """The settings model; becomes a property of the CRD with its docstrings."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    rate: ClassVar[float] = 50.0
    """Maximum requests per second to one store, unless `refresh.ratePerSecond` is set."""

    needs_takes_long: ClassVar[bool] = False
    """Whether `needs` parses code of a tenant, and is called in a thread."""
    references_have_values: ClassVar[bool] = False
    """Whether the objects that `needs` names have the values that are read; elsewhere they have a credential."""
    rooted: ClassVar[bool] = False
    """Whether a leading slash is part of a key."""
    parts_with: ClassVar[str] = "/"
    """Characters that may separate a namespace from the rest of a key: in keys, and not in names of namespaces."""

    def __init__(self, config: C, given: ProviderContext) -> None:
        self.config = config
        self.given = given

    @classmethod
    def needs(cls, config: C) -> tuple[Reference, ...]:  # noqa: ARG003  # many need nothing
        """Return the keys of Secrets and ConfigMaps that `given.referred` must have."""
        return ()

    @classmethod
    def logs_in_as(cls, config: C) -> str | None:  # noqa: ARG003  # most have a login of their own
        """Return the ServiceAccount in the consumer's namespace whose identity it uses; nothing is shared then."""
        return None

    @classmethod
    def is_personal(cls, config: C) -> bool:
        """Whether each namespace has its own connection, so that namespaces share nothing."""
        return cls.logs_in_as(config) is not None

    @classmethod
    def takes_prefix(cls, config: C) -> bool:  # noqa: ARG003  # but for one they do
        """Whether a keyPrefix is allowed; not where admission checks keys as they are."""
        return True

    @classmethod
    def issues_leases(cls, config: C) -> bool:  # noqa: ARG003  # most keep values
        """Whether each read generates another value, which expires; such reads are not shared."""
        return False

    @classmethod
    def lease_issuer(cls, config: C) -> str:  # noqa: ARG003  # most keep values
        """Return the place that leases are valid at: credentials of another one are replaced."""
        return ""

    @classmethod
    def hold_to_issuer(cls, config: C, lease: ProviderLease) -> None:
        """Check that the settings name the server that has issued a lease; no other one is asked to revoke it.

        Raises:
            Refused: They name another one.
        """

    async def check(self) -> None:
        """Check connection and credential without reading a value.

        Raises:
            StoreError: The check failed; Unauthorized if the credential is rejected.
        """
        try:
            await self.read(_CHECK_KEY)
        except (NotFound, Denied):
            return

    async def read(self, key: str, version: str | None = None) -> RemoteValue:
        """Read one key, in the current or a named version.

        Raises:
            NotFound: The key or version does not exist.
            StoreError: See each kind; only Throttled and Unreachable are temporary.
        """
        self._check(key)
        if version is not None and Capability.VERSIONS not in self.capabilities:
            raise Refused("NoVersions", f"{self.kind} keeps no versions; remove remoteRef.version")
        return _hold_to_size(await self._within(self._read(key, version)))

    async def inspect(self, key: str) -> RemoteValue:
        """Read the current content of a key, also if readers may not use it, such as after its expiry date.

        Raises:
            NotFound: The key does not exist.
            UnusableError: It exists, and the store does not return its value.
            StoreError: As for `read`.
        """
        self._check(key)
        return _hold_to_size(await self._within(self._inspect(key)))

    async def write(
        self, key: str, content: Content, policy: Policy = Policy.REPLACE, permit: Permit = lambda: inf
    ) -> Written:
        """Set one key to `content`. Idempotent: it compares before it writes."""
        self._check(key)
        if Capability.WRITE not in self.capabilities:
            raise Refused("ReadOnly", f"{self.kind} is read-only; push to another store")
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._within(self._write(key, content, policy, permit))
            except Conflict:
                continue
        return await self._within(self._write(key, content, policy, permit))

    async def delete(self, key: str, permit: Permit = lambda: inf) -> None:
        """Delete `key`, recoverably if the store can. Absence is success."""
        self._check(key)
        if Capability.WRITE not in self.capabilities:
            raise Refused("ReadOnly", f"{self.kind} is read-only; nothing is deleted there")
        with suppress(NotFound):
            await self._within(_while_permitted(self._delete(key), permit))

    async def renew_lease(self, key: str, lease: ProviderLease) -> timedelta | None:  # noqa: ARG002  # few support leases
        """Renew the lease of `key`, and return how long it is valid from now; None if it is not extended.

        Raises:
            StoreError: Only Throttled and Unreachable, which are temporary.
        """
        return None

    async def revoke_lease(self, key: str, lease: ProviderLease) -> None:
        """Revoke the lease of `key`. An expired lease is success."""

    async def close(self) -> None:
        """Close what was opened."""

    @abstractmethod
    async def _read(self, key: str, version: str | None) -> RemoteValue: ...

    async def _inspect(self, key: str) -> RemoteValue:
        return await self._read(key, None)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        """Replace what was read, or raise Conflict if the store can detect it; return the new version."""
        raise NotImplementedError

    async def _delete(self, key: str) -> None:
        """Delete a key, or raise NotFound, which is success."""
        raise NotImplementedError

    async def _compare(self, found: Content, desired: Content) -> bool:
        """Return whether a store has the desired content."""
        return properties.are_same(found, desired)

    async def _write(self, key: str, content: Content, policy: Policy, permit: Permit) -> Written:
        try:
            before = await self._read(key, None)
        except UnusableError:
            if policy is Policy.IF_NOT_EXISTS:
                return Written(WriteResult.KEPT, None)
            before = None
        except NotFound:
            before = None
        if before is None:
            version = await _while_permitted(self._put(key, content, None), permit)
            return Written(WriteResult.CREATED, version)
        if await self._compare(before.content, content):
            return Written(WriteResult.UNCHANGED, before.version)
        if policy is Policy.IF_NOT_EXISTS:
            return Written(WriteResult.KEPT, before.version)
        version = await _while_permitted(self._put(key, content, before), permit)
        return Written(WriteResult.REPLACED, version)

    async def _within(self, doing: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.given.patience):
                return await doing
        except TimeoutError:
            raise_alone(Unreachable("Timeout"))

    def _check(self, key: str) -> None:
        """Reject a key that no store can have; a provider adds its own rules."""
        if not key or len(key) > _MAX_KEY_LENGTH or not key.isprintable():
            raise Refused("InvalidKey", f"a key has 1 to {_MAX_KEY_LENGTH} printable characters")


def _hold_to_size(found: RemoteValue) -> RemoteValue:
    if size_of(found.content) > LARGEST:
        raise Refused("TooLarge", f"a value may have {LARGEST} bytes")
    return found


async def _while_permitted(change: Coroutine[Any, Any, T], permit: Permit) -> T:
    """Await a change at a store, and cancel it when this process may write no more.

    Raises:
        Conflict: Another replica leads; how far the change came is unknown.
    """
    context = copy_context()
    context.run(PERMIT.set, permit)
    task = asyncio.create_task(change, context=context)
    try:
        while (left := permit() - loop_time()) > 0:
            done, _ = await asyncio.wait([task], timeout=min(left, _PERMIT_INTERVAL))
            if done:
                return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # asyncio would log one that is not taken, with the text of a library
    raise Conflict("NotLeading", "another replica of the operator leads")
