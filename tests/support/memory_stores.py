"""A store in memory, whose failures and delays a test sets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from keyturn.api.source import StoreRef
from keyturn.core.errors import Stalled
from keyturn.core.keys import StoreKey
from keyturn.core.value import Value
from keyturn.stores.providers import Content, Policy, RemoteValue, WriteResult, Written
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import NotFound, Refused, StoreError, Unreachable, UnusableError
from keyturn.stores.providers.properties import are_same


@dataclass
class InMemoryStores:
    """A fake of `keyturn.stores.Stores` with one store, which each name refers to."""

    holds: dict[str, Content] = field(default_factory=dict, repr=False)
    fails: dict[str, StoreError | Stalled] = field(default_factory=dict)
    """What is answered to whoever asks for a key."""
    hangs: dict[str, asyncio.Event] = field(default_factory=dict)
    """What is waited for before a key is answered."""
    unusable: set[str] = field(default_factory=set)
    """Keys whose value readers may not use."""
    unreadable: set[str] = field(default_factory=set)
    """Keys that exist, and whose value the store does not return."""
    unanswered: set[str] = field(default_factory=set)
    """Keys whose next write takes effect, and whose answer is lost."""
    version: str | None = "1"
    """The form that every store has now; None where there is none."""
    here: bool = False
    """Whether every store is the Secrets of the consumer's own namespace."""
    asked: list[str] = field(default_factory=list)
    lasts: timedelta | None = None
    """For how long every key is lent that is read; None where they are kept."""
    longer: timedelta | None = None
    """How long a loan is good after it was renewed; None where none is renewed."""
    out: list[str] = field(default_factory=list)
    """What is lent and not given back, by its names."""
    lent: int = 0
    issuer: str = ""
    """The server that the store names now; it takes back what it has lent itself."""

    def keep(self, key: str, content: str | Mapping[str, str]) -> None:
        if isinstance(content, str):
            self.holds[key] = Value.of_text(content)
        else:
            self.holds[key] = {name: Value.of_text(text) for name, text in content.items()}

    def hang(self, key: str) -> asyncio.Event:
        """Have a key answered only when the event that is returned is set."""
        self.hangs[key] = asyncio.Event()
        return self.hangs[key]

    def is_own_namespace(self, key: StoreKey) -> bool:
        del key
        return self.here

    def reference_cycle(self, ref: StoreRef, namespace: str, key: str, secret: str) -> tuple[str, ...]:
        del ref, namespace, key, secret
        return ()

    def identity(self, ref: StoreRef, namespace: str) -> str | None:  # noqa: ARG002  # as Stores has it
        return self.version

    async def read(
        self, ref: StoreRef, namespace: str, key: str, version: str | None = None, *, fresh: bool = False
    ) -> RemoteValue:
        del ref, namespace
        await self._asked(f"read {key}{f' {version}' if version else ''}{' fresh' if fresh else ''}", key)
        if key in self.unusable:
            raise UnusableError("Expired")
        return self._found(key)

    async def inspect(self, ref: StoreRef, namespace: str, key: str) -> RemoteValue:
        del ref, namespace
        await self._asked(f"inspect {key}", key)
        return self._found(key)

    def _found(self, key: str) -> RemoteValue:
        if key not in self.holds:
            raise NotFound("NoSuchKey")
        if key in self.unreadable:
            raise UnusableError("Disabled", "enable it")
        return RemoteValue(self.holds[key])

    def issues_leases(self, ref: StoreRef, namespace: str) -> bool:
        del ref, namespace
        return self.lasts is not None

    def lease_issuer(self, ref: StoreRef, namespace: str) -> str:
        del ref, namespace
        return self.issuer

    def lease(
        self, ref: StoreRef, namespace: str, key: str
    ) -> asyncio.Task[RemoteValue | StoreError | Stalled]:
        del ref, namespace
        return asyncio.ensure_future(self._lent(key))

    async def renew_lease(
        self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease
    ) -> timedelta | None:
        del ref, namespace
        await self._asked(f"renew {lease.id}", key)
        return self.longer if lease.id in self.out else None

    async def revoke_lease(self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease) -> None:
        del ref, namespace
        await self._asked(f"give back {lease.id}", key)
        if lease.issuer not in {"", self.issuer}:
            raise Refused("OtherServer")
        self.out = [id_ for id_ in self.out if id_ != lease.id]

    def drop_lease(
        self, ref: StoreRef, namespace: str, key: str, lease: ProviderLease
    ) -> asyncio.Task[StoreError | Stalled | None]:
        del ref, namespace, key
        if lease.issuer not in {"", self.issuer}:
            return asyncio.ensure_future(_done(Refused("OtherServer")))
        self.out.remove(lease.id)
        return asyncio.ensure_future(_done())

    async def _lent(self, key: str) -> RemoteValue | StoreError | Stalled:
        issuer = self.issuer  # as it is when the request is sent
        try:
            await self._asked(f"borrow {key}", key)
        except (StoreError, Stalled) as error:
            return error
        assert self.lasts
        self.lent += 1
        self.out.append(f"{key}/{self.lent}")
        content = {"username": Value.of_text(f"user-{self.lent}"), "password": Value.of_text("x")}
        return RemoteValue(content, self.out[-1], ProviderLease(self.out[-1], "login", self.lasts, issuer))

    async def write(
        self, ref: StoreRef, namespace: str, key: str, content: Content, policy: Policy
    ) -> Written:
        del ref, namespace
        await self._asked(f"write {key}", key)
        there = self.holds.get(key)
        if there is not None and are_same(there, content):
            return Written(WriteResult.UNCHANGED, "1")
        if there is not None and policy is Policy.IF_NOT_EXISTS:
            return Written(WriteResult.KEPT, "1")
        self.holds[key] = content
        if key in self.unanswered:
            self.unanswered.remove(key)
            raise Unreachable("Timeout")
        return Written(WriteResult.CREATED if there is None else WriteResult.REPLACED, "1")

    async def delete(self, ref: StoreRef, namespace: str, key: str) -> None:
        del ref, namespace
        await self._asked(f"delete {key}", key)
        self.holds.pop(key, None)

    async def _asked(self, what: str, key: str) -> None:
        self.asked.append(what)
        if event := self.hangs.get(key):
            await event.wait()
        if error := self.fails.get(key):
            raise error


async def _done(error: StoreError | None = None) -> StoreError | None:
    return error


def texts(values: Mapping[str, Value]) -> dict[str, str]:
    """Read what values hold, to be compared."""
    return {name: value.reveal().decode() for name, value in values.items()}
