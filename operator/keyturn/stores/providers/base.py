"""What a provider is: one outside keeper of secrets, read by key and, where it can, written."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final, Generic, NamedTuple, TypeAlias, TypeVar

from keyturn.api.base import Schema
from keyturn.core.value import Value

from . import properties
from ._lent import Keep, Lent
from .errors import Conflict, Denied, NotFound, Refused, Unreachable

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from keyturn.kube.client import Api

    from .guard import Guard

__all__ = [
    "LARGEST",
    "MOST_KEYS",
    "Can",
    "Content",
    "Keep",
    "Lent",
    "Outcome",
    "Policy",
    "Provider",
    "ProviderContext",
    "Reference",
    "RemoteValue",
    "TokenOf",
    "Written",
]

C = TypeVar("C", bound=Schema)
T = TypeVar("T")

LARGEST: Final = 1024 * 1024
"""Bytes of one value, and of all parts of one: as many as Kubernetes takes in a Secret."""
MOST_KEYS: Final = 10_000
"""Keys that one listing may name."""
_LONGEST_KEY: Final = 1024
_NOBODYS_KEY: Final = "keyturn-looks-whether-it-may-log-in"
_ATTEMPTS: Final = 3
"""How often a write is decided anew because somebody else wrote in between."""

Content: TypeAlias = Value | Mapping[str, Value]
"""What a store keeps under one key: bytes, or named parts where the store itself knows parts."""
TokenOf: TypeAlias = Callable[[str, str, int], Awaitable[Value]]
"""Makes a token of a ServiceAccount of the consumer's namespace: its name, the one audience, seconds of life."""


class Can(Enum):
    """What a provider can do besides reading a key."""

    LIST = auto()
    WRITE = auto()
    VERSIONS = auto()
    """Older versions can be read."""


class Policy(Enum):
    """What a write does to a key that is there."""

    REPLACE = "Replace"
    IF_NOT_EXISTS = "IfNotExists"


class Outcome(Enum):
    """What a write has done."""

    CREATED = auto()
    REPLACED = auto()
    UNCHANGED = auto()
    """The store had the same content already: nothing was written."""
    KEPT = auto()
    """The store had another content, which the policy keeps."""


class Reference(NamedTuple):
    """A key of a Secret or ConfigMap that a store's settings refer to."""

    kind: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class RemoteValue:
    """What was read, and the store's own name for that version.

    Equal versions mean equal content; a version never comes from the content, so it may be shown.
    """

    content: Content
    version: str | None = None
    lent: Lent | None = None
    """What it hangs on, where the store only lends it."""


class Written(NamedTuple):
    """What a write has done, and the version that the store has now."""

    outcome: Outcome
    version: str | None


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a provider may use besides its settings; somebody else opens and closes it."""

    namespace: str = ""
    """The consumer's, empty where many share the store; no setting names another."""
    referred: Mapping[Reference, RemoteValue] = field(default_factory=dict)
    """What the objects hold that `Provider.needs` names."""
    owner: str = ""
    """Whose work it is: of one owner there is one thing at a time, where it takes long."""
    guard: Guard | None = None
    api: Api | None = None
    files_root: Path | None = None
    token_of: TokenOf | None = None
    """The one way to a login by workload identity; nobody hands out the operator's own token."""
    patience: float = 30.0
    """Seconds that one operation may take."""
    keep: Keep | None = None
    """For a login that something lent ends with."""


class Provider(ABC, Generic[C]):
    """One store, opened with its settings; any number of tasks may use it at once."""

    kind: ClassVar[str]
    """The name that users write under `provider`."""
    Config: ClassVar[type[Schema]]
    """The settings, which become a property of the CRD with their docstrings."""
    can: ClassVar[frozenset[Can]] = frozenset()
    rate: ClassVar[float] = 50.0
    """Requests per second that one store is asked at most where `refresh.ratePerSecond` says nothing."""

    needs_takes_long: ClassVar[bool] = False
    """Whether `needs` reads what somebody has programmed, and is to be asked in a thread."""
    rooted: ClassVar[bool] = False
    """A slash may stand before a key, and makes it another one."""
    parts_with: ClassVar[str] = "/"
    """What may stand in a key between a namespace and the rest."""

    def __init__(self, config: C, given: ProviderContext) -> None:
        self.config = config
        self.given = given

    @classmethod
    def needs(cls, config: C) -> tuple[Reference, ...]:  # noqa: ARG003  # many need nothing
        """Name the keys of Secrets and ConfigMaps that have to be in `given.referred`."""
        return ()

    @classmethod
    def logs_in_as(cls, config: C) -> str | None:  # noqa: ARG003  # most have a login of their own
        """Name the ServiceAccount of the consumer's namespace that it logs in as; nothing is shared then."""
        return None

    @classmethod
    def is_personal(cls, config: C) -> bool:
        """Say whether it is another one for each namespace that uses it, so that namespaces share nothing."""
        return cls.logs_in_as(config) is not None

    @classmethod
    def takes_prefix(cls, config: C) -> bool:  # noqa: ARG003  # but for one they do
        """Say whether a keyPrefix may be put before its keys; not where admission asks about them as they are."""
        return True

    @classmethod
    def lends(cls, config: C) -> bool:  # noqa: ARG003  # most keep values
        """Say whether it makes another value at each read, which ends by itself: then nobody shares one."""
        return False

    async def check(self) -> None:
        """Find out whether the store is there and knows us, without reading a value.

        Raises:
            StoreError: It does not; Unauthorized where the login itself is refused.
        """
        try:
            await self.read(_NOBODYS_KEY)
        except (NotFound, Denied):
            return

    async def read(self, key: str, version: str | None = None) -> RemoteValue:
        """Read one key, in the version that the store has now or in a named one.

        Raises:
            NotFound: The store has no such key or version.
            StoreError: See each kind; only Throttled and Unreachable pass by themselves.
        """
        self._check(key)
        if version is not None and Can.VERSIONS not in self.can:
            raise Refused("NoVersions", f"{self.kind} keeps no versions; remove remoteRef.version")
        found = await self._within(self._read(key, version))
        if properties.size_of(found.content) > LARGEST:
            raise Refused("TooLarge", f"a value may have {LARGEST} bytes")
        return found

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Name the keys that start with `prefix`, sorted; none is no error."""
        if prefix:
            self._check(prefix)
        found = {key for key in await self._within(self._keys(prefix)) if key.startswith(prefix)}
        if len(found) > MOST_KEYS:
            raise Refused("TooManyKeys", f"more than {MOST_KEYS} keys; write a longer prefix")
        return tuple(sorted(found))

    async def write(self, key: str, content: Content, policy: Policy = Policy.REPLACE) -> Written:
        """Bring one key to `content`; compares before it writes, so the second run changes nothing."""
        self._check(key)
        if Can.WRITE not in self.can:
            raise Refused("ReadOnly", f"{self.kind} is only read; push to another store")
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._within(self._brought(key, content, policy))
            except Conflict:
                continue
        return await self._within(self._brought(key, content, policy))

    async def delete(self, key: str) -> None:
        """Remove `key`, so that the store can bring it back where it can. Absent is success."""
        self._check(key)
        if Can.WRITE not in self.can:
            raise Refused("ReadOnly", f"{self.kind} is only read; nothing is deleted there")
        await self._within(self._delete(key))

    async def extend(self, key: str, lent: Lent) -> timedelta | None:  # noqa: ARG002  # few lend
        """Renew what was lent under `key`, and say how long it is good from now; None where it ends as it would.

        Raises:
            StoreError: Only Throttled and Unreachable, which pass by themselves.
        """
        return None

    async def give_back(self, key: str, lent: Lent) -> None:
        """End at once what was lent under `key`. What has ended is success."""

    async def close(self) -> None:
        """Let go of what was opened."""

    @abstractmethod
    async def _read(self, key: str, version: str | None) -> RemoteValue: ...

    @abstractmethod
    async def _keys(self, prefix: str) -> tuple[str, ...]:
        """Name keys that may start with `prefix`, in any order."""

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        """Write over what was read, else raise Conflict where the store can tell; return the new version."""
        raise NotImplementedError

    async def _delete(self, key: str) -> None:
        raise NotImplementedError

    async def _brought(self, key: str, content: Content, policy: Policy) -> Written:
        try:
            before = await self._read(key, None)
        except NotFound:
            before = None
        if before is None:
            return Written(Outcome.CREATED, await self._put(key, content, None))
        if properties.are_same(before.content, content):
            return Written(Outcome.UNCHANGED, before.version)
        if policy is Policy.IF_NOT_EXISTS:
            return Written(Outcome.KEPT, before.version)
        return Written(Outcome.REPLACED, await self._put(key, content, before))

    async def _within(self, doing: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.given.patience):
                return await doing
        except TimeoutError:
            pass
        # Out here, so that no library's error is the context of ours.
        raise Unreachable("Timeout")

    def _check(self, key: str) -> None:
        """Refuse what no store could mean by a key; a provider adds its own rules."""
        if not key or len(key) > _LONGEST_KEY or not key.isprintable():
            raise Refused("InvalidKey", f"a key has 1 to {_LONGEST_KEY} printable characters")
