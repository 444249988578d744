"""Interface of an engine, which makes the accounts of one database server accept exactly the recorded credentials.

An account is asserted as a whole: `bring` makes exactly the given logins work. Opening a candidate, closing an old
login, rollback and repair are the same call with another set.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple, TypeAlias

from keyturn.api.account import Account as AccountSpec
from keyturn.core.spec.references import Capacity
from keyturn.core.value import Value
from keyturn.runtime.concurrency import KeyedLimiter

from .errors import RefusedAdmins, SilentFamilies, digest

MOST_ADMIN_CONNECTIONS: Final = 4
"""Connections of the admin to one server at the same time, unless `maxConnections` is set."""
MOST_LOGIN_CONNECTIONS: Final = 6
"""Logins of applications that are tried at one server at the same time."""
_MOST_SALTS: Final = 10_000
"""Logins of one target whose salts are kept, of some 200 bytes each."""
_STEPS_PER_CONNECTION: Final = 2
"""Half of the steps in progress log in as an application meanwhile."""
MOST_TENANT_CONNECTIONS: Final = 40
"""Connections to all servers of one tenant at the same time: the most that one server may have, and some more."""

Fence: TypeAlias = Callable[[], Awaitable[None]]
"""Reads the state Secret from the API server, and raises Fenced if it has changed since the step was decided.

An engine calls it once per change: under the lock of the account, before the first statement that changes
something, in a session that the server ends if it idles. Therefore a process that is stopped for a while, before,
inside or after the fence, undoes no change of its successor.
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
    """The role that owns the objects of the application; `spec.account.username`."""
    capacity: Capacity
    """The names that log in, such as `app_a` and `app_b`, or the owner alone, and how many passwords each has."""
    mark: str
    """Namespace and name of the ManagedSecret, and the UID of the namespace, in a comment at the server.

    It keeps two ManagedSecrets, also of two clusters, from changing one account. It is the same after the
    ManagedSecret was deleted and created again, and printable, without spaces and quotes.
    """
    template: Template | None = None
    """What a new account may do, for a server that loses accounts with its memory."""

    @property
    def logins(self) -> tuple[str, ...]:
        return self.capacity.names

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that may log in: the logins, and the owner, with which an adopted account logs in."""
        return tuple(dict.fromkeys((self.owner, *self.logins)))


@dataclass(frozen=True, slots=True)
class Login:
    """A name with its password."""

    name: str
    password: Value
    credential: str = ""
    """Which recorded credential of the account it is; empty for another login.

    A server stores a recorded one the same way each time.
    """
    was_found: bool = False
    """Whether applications had the password before Keyturn, so that their drivers can read each of its characters."""
    acts_as: str = ""
    """The role that its sessions must act as at the server; empty if that is not asked."""


class Answer(StrEnum):
    """What one login proved."""

    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    """The server asked for the password, and the password is wrong, or the account has none."""
    LOCKED = "Locked"
    """The password is right, and the account may not log in."""
    WRONG_ROLE = "WrongRole"
    """The login is accepted, and its sessions do not act as `Login.acts_as`: what belongs to that role is closed."""
    UNKNOWN = "Unknown"
    """Neither: `reason` says why."""


NO_CONNECTION_LEFT: Final = "TooManyConnections"
"""Reason of a verdict if the server is full, or the login or its database has no free connection."""
ANSWERS_DIFFER: Final = "AnswersDiffer"
"""Reason of a verdict if one address of an endpoint accepts a login and another one does not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one login as an application."""

    answer: Answer
    reason: str = ""
    """One word if the answer is UNKNOWN, such as TooManyConnections."""
    message: str = ""
    """Our sentence for the reason."""
    is_silence: bool = False
    """Whether UNKNOWN may end without a change of the server's setup: no answer, or a server that is not able now."""

    @property
    def proves_nothing(self) -> bool:
        """Whether an endpoint gave no answer about a password; one whose addresses differ did."""
        return self.answer is Answer.UNKNOWN and self.reason != ANSWERS_DIFFER

    @property
    def may_be_accepted(self) -> bool:
        """Whether a password that is to be refused may be accepted: a pooler accepts one of a locked login."""
        return self.answer in {Answer.ACCEPTED, Answer.LOCKED} or self.reason == ANSWERS_DIFFER


@dataclass(frozen=True, slots=True)
class Template:
    """Privileges of an account that Keyturn creates, in the database of the target."""

    schemas: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
    """On all tables of the schemas; CREATE is on the schemas themselves. Their USAGE is always granted."""
    rules: tuple[str, ...] = ()
    """Of an engine whose users have rules instead."""


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
    """Rights that every account needs and the admin lacks."""
    started: str = ""
    """When it was started; another text after a restart, and after a failover to another server."""
    is_admin_unlimited: bool = False
    """Whether no grant limits the admin, such as a superuser."""


class TargetIdentity(NamedTuple):
    """What a target is at one moment, to be compared with an earlier one."""

    server: str = ""
    """Changes with the settings of the target, and each recovery or restart of its server."""
    credentials: str = ""
    """Changes with the Secrets of the target; empty before the first use."""


@dataclass(frozen=True, slots=True, order=True)
class Client:
    """Open sessions of one login from one address."""

    login: str
    address: str
    """Empty if the server does not show it."""
    count: int


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """One login of an account, as it is at the server."""

    name: str
    exists: bool
    is_open: bool = False
    """Whether it may log in; passwords are never read."""
    is_expired: bool = False
    """Whether the server refuses its password because of a date."""
    is_marked: bool = False
    """Whether it has the mark of the account."""
    is_lost: bool = False
    """Whether the server has lost it with its memory, so that `bring` creates it again."""
    obstacle: str = ""
    """Why no session with it begins, whatever its password is, such as "does not exist"; empty if one may."""


@dataclass(frozen=True, slots=True)
class Found:
    """An account, as it is at the server; never a value."""

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
        """Return the login with one of the account's names."""
        return next(one for one in self.logins if one.name == name)

    @property
    def owner(self) -> FoundLogin:
        return self.logins[0]

    @property
    def is_complete(self) -> bool:
        """Whether every name exists."""
        return all(one.exists for one in self.logins)

    @property
    def is_claimable(self) -> bool:
        """Whether no guard refuses the account, but for logins whose passwords are to be proven."""
        return self.forbidden is None or self.forbidden[0] == "AccountInUse"

    @property
    def unclaimed(self) -> tuple[FoundLogin, ...]:
        """Return the open logins that may be of others: those without the mark, and all if the owner has none."""
        return tuple(one for one in self.logins if one.is_open and not (self.mark and one.is_marked))


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server proves its identity."""

    ca: bytes | None = None
    """CA certificates in PEM; those of the system if absent."""


@dataclass(frozen=True, slots=True)
class Salt:
    """How a server has hashed a password, which it tells every client that begins a login with the name."""

    value: bytes
    iterations: int


class Salts:
    """Salts of the last logins by endpoint and name; never a password, nor a key that was derived from one."""

    def __init__(self) -> None:
        self._known: dict[tuple[Endpoint, str], Salt] = {}

    def get(self, endpoint: Endpoint, name: str) -> Salt | None:
        return self._known.get((endpoint, name))

    def put(self, endpoint: Endpoint, name: str, salt: Salt | None) -> None:
        """Keep the salt of a login, and drop the oldest of too many."""
        self._known.pop((endpoint, name), None)
        if salt is None:
            return
        if len(self._known) >= _MOST_SALTS:
            del self._known[next(iter(self._known))]
        self._known[endpoint, name] = salt


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Limits:
    """What the targets of one server share: connections at the same time, and credentials that it refused."""

    admin: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_ADMIN_CONNECTIONS))
    logins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_LOGIN_CONNECTIONS))
    tenant: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_TENANT_CONNECTIONS))
    """Acquired after one of the others, so that a connection that waits for one server delays no other server."""
    refused: RefusedAdmins = field(default_factory=RefusedAdmins)
    """Credentials of its administrators that the server refused, which no operation uses too often."""
    steps: KeyedLimiter = field(default_factory=lambda: steps_for(MOST_ADMIN_CONNECTIONS))
    """Steps in progress, by namespace; the time limit of a step begins when it has a place."""


def steps_for(connections: int) -> KeyedLimiter:
    """Return the limit of steps for so many connections of the admin.

    It is low enough that a step in progress waits for few connections, and namespaces without one have places left.
    """
    most = _STEPS_PER_CONNECTION * connections
    return KeyedLimiter(most, most, firsts=connections)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One server and its admin."""

    endpoint: Endpoint
    """Where changes are made."""
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
    """Resolves and checks hosts; the resolver of the system if absent."""
    limits: Limits = field(default_factory=Limits)
    salts: Salts = field(default_factory=Salts)
    """Salts of logins at this server, with which the next login costs less."""
    silent: SilentFamilies = field(default_factory=SilentFamilies)
    """Addresses of `also_at` that a proof does not wait for again."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Settings that only one engine has."""
    owner: str = ""
    """The tenant of the server; a server whose logins take long delays only this tenant."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return every place where a published credential must be accepted, the server first."""
        return (self.endpoint, *self.also_at)

    @property
    def admin_digest(self) -> bytes:
        """Return a digest of what the server judges a login of the administrator by, of no use in another process."""
        judged = (self.database, str(self.tls is not None), self.admin.name)
        return digest(*(one.encode() for one in judged), self.admin.password.reveal())


class Engine(ABC):
    """One server, opened with its settings; safe for concurrent tasks of one event loop.

    Every method that waits may raise Unreachable and Unauthorized, and ends within its time limits; none keeps a
    connection.
    """

    kind: ClassVar[str]
    """The name of its settings in a target's spec."""
    named_alone: ClassVar[frozenset[str]] = frozenset()
    """Accounts that only a target permits which lists them by name."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @classmethod
    @abstractmethod
    def capacity(cls, account: AccountSpec) -> Capacity:
        """Return how many passwords of an account the server accepts at the same time, and under which names."""

    @abstractmethod
    async def check(self) -> Server:
        """Log in as the admin; return the version of the server, and the rights that the admin lacks.

        Changes nothing.
        """

    @abstractmethod
    async def find(self, account: Account) -> Found:
        """Read the logins of an account, what guards need to know, and open sessions; never a value.

        Absence is no error. Changes nothing and takes no lock.
        """

    @abstractmethod
    async def create(
        self,
        account: Account,
        template: Template | None,
        fence: Fence,
        proven: frozenset[str] = frozenset(),
    ) -> Found:
        """Claim the account with its mark, and create its missing roles, closed; return what was found before.

        An existing role stays as it is, with its password, so an account that is in use is adopted. The caller first
        proves its password and adds it to the set, because the next `bring` closes each login that is not in the set.
        Without a template the owner must exist. A second call changes nothing. `proven` are logins that have just
        accepted their recorded password: they are claimed although they are open and have no mark.

        Raises:
            Missing: There is no owner and no template.
            Forbidden: A guard refuses it, it has the mark of another ManagedSecret (`AccountTaken`), or another login
                than the owner is open, has no mark and is not proven, or has no mark and is used by others, such as a
                group with members (`AccountInUse`).
            Fenced, Busy, Denied: Nothing was changed.
        """

    @abstractmethod
    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        """Open exactly these logins; close every other login of the account, and remove its password.

        Atomic: clients observe the set before or the set after. Repeating it does no harm, and an open login stays
        open with its sessions. What the server stores of a recorded credential does not change, because a pooler may
        log in with what it knows of that. A name is in `live` at most as often as it may have passwords.

        A name that the server has lost with its memory is created again from the account's template.

        Raises:
            Missing: A name does not exist (`AccountMissing`); `create` was not called, or it was dropped.
            Forbidden: As for `create` without a proven login; before that, if the owner does not have this mark
                (`AccountNotClaimed`).
            RefusedByPolicy: The server, or the engine, does not take a value.
            Fenced, Busy, Denied, Overloaded: Nothing was changed.
            Unreachable: The change may have been done.
        """

    @abstractmethod
    async def prove(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        """Log in once as the application would, at the server or at another endpoint, and log out.

        At the server, the session of a login with `acts_as` is asked for its role; WRONG_ROLE if it has another one.

        One try without a retry, at each address of the host: ACCEPTED and REFUSED are the answer of all of them, but
        for a family none of whose addresses answers, which is tried once a minute. An endpoint that cannot be reached
        is a verdict, not an exception. It never sends a password to a server that does not prove its name, nor in a
        form that can be read.

        Raises:
            Overloaded: No thread was free, which says nothing about the endpoint.
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

    @abstractmethod
    def marking(self, account: Account) -> str:
        """Return what an administrator does so that an account has the mark of its ManagedSecret again."""

    @abstractmethod
    def closing(self, login: str) -> str:
        """Return the statement with which an administrator closes a login that Keyturn must not change."""

    async def close(self) -> None:  # noqa: B027  # an engine that keeps nothing open closes nothing
        """Close all connections; no method is called afterwards."""


PUBLISHED_REFUSED: Final = "CurrentNotAccepted"
"""Why nothing is known about the old login: the server refuses the current one too."""


async def prove_refused(engine: Engine, old: Login, current: Login, endpoint: Endpoint) -> Verdict:
    """Return REFUSED if the current login is accepted at an endpoint before and after the old one is refused there.

    The old login is tried once. ACCEPTED means that the old login still works, such as at a pooler with its own list
    of users. UNKNOWN and LOCKED have a reason, which may be that the current login does not work.
    """
    before = await engine.prove(current, endpoint)
    if before.answer is not Answer.ACCEPTED:
        return _unknown(before)
    verdict = await engine.prove(old, endpoint)
    if verdict.answer is not Answer.REFUSED:
        return verdict
    after = await engine.prove(current, endpoint)
    return verdict if after.answer is Answer.ACCEPTED else _unknown(after)


def _unknown(of_current: Verdict) -> Verdict:
    """Return that nothing is known about the old login, because the current one does not work."""
    if of_current.answer is Answer.UNKNOWN and of_current.reason != ANSWERS_DIFFER:
        return of_current
    return Verdict(
        Answer.UNKNOWN, PUBLISHED_REFUSED, "the current login is not accepted at the same endpoint"
    )
