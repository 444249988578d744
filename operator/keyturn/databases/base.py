"""Interface of an engine: one database server, whose accounts accept exactly the recorded credentials.

An account is asserted as a whole: `bring` makes exactly the given logins work. Opening a candidate, closing an old
login, rollback and repair are the same call with another set.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from keyturn.core.value import Value

__all__ = [
    "MOST_ADMIN_CONNECTIONS",
    "MOST_LOGIN_CONNECTIONS",
    "MOST_TENANT_CONNECTIONS",
    "Account",
    "Answer",
    "Client",
    "Endpoint",
    "Engine",
    "EngineSettings",
    "Fence",
    "Found",
    "FoundLogin",
    "Lack",
    "Limits",
    "Login",
    "Resolve",
    "Server",
    "Template",
    "Tls",
    "Verdict",
]

MOST_ADMIN_CONNECTIONS: Final = 4
"""Connections of the admin to one server at the same time, unless `maxConnections` is set."""
MOST_LOGIN_CONNECTIONS: Final = 6
"""Logins of applications that are tried at one server at the same time."""
MOST_TENANT_CONNECTIONS: Final = 40
"""Connections to all servers of one tenant at the same time: the most that one server may have, and some more."""

Fence: TypeAlias = Callable[[], Awaitable[None]]
"""Reads the record from the API server, and raises Fenced if it is not the one that was decided on.

An engine calls it once per change, inside the lock of the account and before the first statement that changes
something, in a session that the server itself ends when it idles. So a process that was stopped for a while before,
inside or after the fence changes nothing that its successor did.
"""
Resolve: TypeAlias = Callable[["Endpoint"], Awaitable[tuple[str, ...]]]
"""Returns the addresses of a host that may be connected to; DatabaseError if there are none."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a server, a pooler or a replica answers."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Account:
    """What one ManagedSecret owns at a server."""

    owner: str
    """The role that owns what the application makes; `spec.database.username`."""
    logins: tuple[str, ...]
    """The names that log in, such as `app_a` and `app_b`; with SingleUser the owner alone."""
    mark: str
    """Names the ManagedSecret in a comment at the server, so that two never change one account, across clusters too.

    Namespace, name, and the UID of the namespace; the same after the ManagedSecret was deleted and created again;
    printable, without spaces and quotes.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that may log in: the owner, which an adopted account logs in with, and the logins."""
        return tuple(dict.fromkeys((self.owner, *self.logins)))


@dataclass(frozen=True, slots=True)
class Login:
    """A name with its password."""

    name: str
    password: Value


class Answer(StrEnum):
    """What one login proved."""

    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    """The server asked for the password, and the password is wrong, or the account has none."""
    LOCKED = "Locked"
    """The password is right, and the account may not log in."""
    UNKNOWN = "Unknown"
    """Neither: `reason` says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one login as an application."""

    answer: Answer
    reason: str = ""
    """One word if the answer is UNKNOWN, such as TooManyConnections."""
    message: str = ""
    """A sentence of ours for the reason."""


@dataclass(frozen=True, slots=True)
class Template:
    """What an account may do that does not exist and is created, in the database of the target."""

    schemas: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
    """On all tables of the schemas; CREATE is on the schemas themselves. Their USAGE is always granted."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A right that the admin lacks, and the statement that grants it."""

    sentence: str
    statement: str


@dataclass(frozen=True, slots=True)
class Server:
    """What `check` learned about a server."""

    version: str
    lacks: tuple[Lack, ...] = ()
    """Empty if the admin may do what every account needs."""


@dataclass(frozen=True, slots=True, order=True)
class Client:
    """Open sessions of one login from one address."""

    login: str
    address: str
    """Empty if the server does not show it."""
    count: int


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """One of an account's names, as the server has it."""

    name: str
    exists: bool
    is_open: bool = False
    """Whether it may log in; passwords are never read."""
    is_expired: bool = False
    """Whether the server refuses its password because of a date."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a server has of an account; never a value."""

    logins: tuple[FoundLogin, ...]
    """One for each of `Account.names`, the owner first."""
    mark: str = ""
    """The mark of the ManagedSecret that claimed the account; empty if none did."""
    forbidden: tuple[str, str] | None = None
    """Reason and sentence of the guard that refuses the account."""
    lacks: tuple[Lack, ...] = ()
    """What the admin lacks for this account."""
    clients: tuple[Client, ...] = ()
    """Open sessions of its names."""

    def login(self, name: str) -> FoundLogin:
        """Return what there is of one of the account's names."""
        return next(one for one in self.logins if one.name == name)

    @property
    def owner(self) -> FoundLogin:
        return self.logins[0]

    @property
    def is_complete(self) -> bool:
        """Whether every name exists."""
        return all(one.exists for one in self.logins)


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server proves that it is the one that was meant."""

    ca: bytes | None = None
    """Certificates in PEM that sign the server's; the system's where absent."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Limits:
    """Connections at the same time: to one server, shared by all its targets, and to all servers of one tenant."""

    admin: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_ADMIN_CONNECTIONS))
    logins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_LOGIN_CONNECTIONS))
    tenant: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_TENANT_CONNECTIONS))
    """Taken after one of the others, so that connections which wait for a server keep none from another."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One server, and the admin of it."""

    endpoint: Endpoint
    """The server that changes are made at."""
    database: str
    admin: Login
    tls: Tls | None = field(default_factory=Tls)
    """None: plain connections, which an administrator allows per host."""
    also_at: tuple[Endpoint, ...] = ()
    """Poolers and replicas; `prove` is called with each."""
    connect_timeout: float = 5.0
    """Seconds until a connection is accepted or refused."""
    statement_timeout: float = 10.0
    """Seconds of one statement, at the server and here."""
    idle_timeout: float = 10.0
    """Seconds after which the server ends a session that holds the lock and idles."""
    resolve: Resolve | None = None
    """Resolves and checks hosts; the system's resolver where absent."""
    limits: Limits = field(default_factory=Limits)
    owner: str = ""
    """The tenant whose server it is; a server that makes logins take long delays its own tenant alone."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return every place where a published credential must be accepted, the server first."""
        return (self.endpoint, *self.also_at)


class Engine(ABC):
    """One server, opened with its settings; safe for concurrent tasks of one event loop.

    Every method may raise Unreachable and Unauthorized, and ends within its time limits; none keeps a connection.
    """

    kind: ClassVar[str]
    """The name of its settings in a target's spec."""
    strategies: ClassVar[tuple[str, ...]]
    """How it can keep two passwords alive, the default first."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def check(self) -> Server:
        """Log in as the admin, and find its version and what the admin may not do, with the statements that grant it.

        Changes nothing.
        """

    @abstractmethod
    async def find(self, account: Account) -> Found:
        """Read which names there are, what guards need to know, and open sessions; never a value.

        Absence is no error. Changes nothing and takes no lock.
        """

    @abstractmethod
    async def create(self, account: Account, template: Template | None, fence: Fence) -> Found:
        """Claim the account with its mark, and create what is missing of it, closed; return what was found before.

        A name that exists stays as it is, password included: so an account that is in use is adopted. The caller
        first proves its password and adds it to the set, because the next `bring` closes a name that is not in it.
        Without a template the owner has to exist. The second call changes nothing.

        Raises:
            Missing: There is no owner and no template.
            Forbidden: A guard refuses it, or it has the mark of another ManagedSecret (`AccountTaken`).
            Fenced, Busy, Denied: Nothing was changed.
        """

    @abstractmethod
    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        """Make exactly these log in; every other name of the account is closed, without a password.

        Atomic: clients see the set before or the set after. The same set again does no harm, and a name that is open
        stays open with its sessions. If a name is twice in `live`, the server keeps the last password of it.

        Raises:
            Missing: A name does not exist (`AccountMissing`); `create` was not called, or it was dropped.
            Forbidden: As for `create`; also if the account does not have this mark (`AccountNotClaimed`).
            RefusedByPolicy: The server, or the engine, does not take a value.
            Fenced, Busy, Denied: Nothing was changed.
            Unreachable: The change may have been done.
        """

    @abstractmethod
    async def prove(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        """Log in once as the application would, at the server or at another endpoint, and log out.

        One try without a retry. An endpoint that cannot be reached is a verdict, not an exception. It never sends a
        password to a server that does not prove its name, nor in a form that can be read.
        """

    @abstractmethod
    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        """End the open sessions of one name, count again, and return how many are left.

        Raises:
            Denied, Forbidden, Fenced, Busy: Nothing was changed.
        """

    @abstractmethod
    async def retire(self, account: Account, fence: Fence) -> None:
        """Close every name of an account that has this mark, and remove the mark; drop nothing.

        Absence is success, and so is an account with the mark of another ManagedSecret, which is left as it is.
        """

    async def close(self) -> None:  # noqa: B027  # an engine that keeps nothing open closes nothing
        """Close what is open; no method is called afterwards."""
