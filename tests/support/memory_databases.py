"""A database server in memory, with the contract of an engine, and what the operator reaches it by."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from keyturn.api.account import TargetRef
from keyturn.core.keys import ObjectKey
from keyturn.core.value import Value
from keyturn.databases.base import (
    ANSWERS_DIFFER,
    NO_CONNECTION_LEFT,
    Account,
    Answer,
    Client,
    Endpoint,
    Engine,
    EngineSettings,
    Fence,
    Found,
    FoundLogin,
    Limits,
    Login,
    Server,
    TargetIdentity,
    Template,
    Verdict,
)
from keyturn.databases.engines.postgresql import Postgresql
from keyturn.databases.errors import Busy, DatabaseError, Forbidden, Missing, Unreachable

HOST = Endpoint("db.shop.svc", 5432)
NOT_ADMITTED = "no line of pg_hba.conf at db.shop.svc:5432 admits this name; add one"


@dataclass(slots=True)
class Role:
    """One name at the server."""

    password: Value | None = field(default=None, repr=False)
    may_login: bool = False
    mark: str = ""
    others: tuple[Value, ...] = field(default=(), repr=False)
    """Further passwords, of a server that keeps several."""


@dataclass(slots=True)
class MemoryServer:
    """Roles by name, and what is wrong with the server."""

    roles: dict[str, Role] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    error: DatabaseError | None = None
    """What every operation of the admin meets."""
    is_down: bool = False
    is_locked: bool = False
    """Whether another session holds the lock of the account."""
    strays: set[str] = field(default_factory=set)
    """Names whose sessions do not act as the owner, until they are opened again."""
    keeps_strays: bool = False
    """Whether they do not either after that."""
    refuses: set[str] = field(default_factory=set)
    """Names whose logins it refuses, whatever their password is."""
    not_admitted: set[str] = field(default_factory=set)
    """Names that its setup admits no login of."""
    limited: set[str] = field(default_factory=set)
    """Names that may have no connection."""
    is_full: bool = False
    unanswered: set[Endpoint] = field(default_factory=set)
    """Where no login gets an answer."""
    keeps_sessions: bool = False
    """Whether no session ends."""
    half_closed: set[str] = field(default_factory=set)
    """Names that keep their password when they are closed."""
    stale: dict[Endpoint, dict[str, Value]] = field(default_factory=dict)
    """Poolers with a list of passwords of their own."""
    mixed: set[Endpoint] = field(default_factory=set)
    """Where one address accepts a login and another one refuses it."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Operations wait until it is set."""
    calls: list[str] = field(default_factory=list)
    """The operations in their order; probes and proofs as `prove <login>`."""
    inside: Callable[[], None] = lambda: None
    """Called with the lock held, after the fence."""

    def __post_init__(self) -> None:
        self.open.set()

    async def enter(self, operation: str) -> None:
        self.calls.append(operation)
        await self.open.wait()
        if self.is_down:
            raise Unreachable("Unreachable", "the server does not answer")
        if self.error:
            raise self.error

    def accepts(self, name: str, password: str) -> bool:
        """Whether an application can log in."""
        return self.answer(Login(name, Value.of_text(password)), HOST) is Answer.ACCEPTED

    def answer(self, login: Login, endpoint: Endpoint) -> Answer:
        if (listed := self.stale.get(endpoint)) is not None:
            return Answer.ACCEPTED if listed.get(login.name) == login.password else Answer.REFUSED
        role = self.roles.get(login.name)
        if role is None or login.name in self.refuses:
            return Answer.REFUSED
        if login.password not in (role.password, *role.others):
            return Answer.REFUSED
        return Answer.ACCEPTED if role.may_login else Answer.LOCKED


class MemoryEngine(Engine):
    """The engine of a server in memory."""

    kind: ClassVar = "postgresql"

    capacity = Postgresql.capacity

    def __init__(
        self, server: MemoryServer, also_at: Iterable[Endpoint] = (), limits: Limits | None = None
    ) -> None:
        admin = Login("admin", Value.of_text("admin"))
        also = tuple(also_at)
        super().__init__(EngineSettings(HOST, "orders", admin, also_at=also, limits=limits or Limits()))
        self.server = server

    async def check(self) -> Server:
        await self.server.enter("check")
        return Server("18")

    async def find(self, account: Account) -> Found:
        await self.server.enter("find")
        roles = self.server.roles
        logins = tuple(
            FoundLogin(
                name,
                exists=name in roles,
                is_open=name in roles and roles[name].may_login,
                is_marked=name in roles and roles[name].mark == account.mark,
                obstacle=self._obstacle(name),
            )
            for name in account.names
        )
        mark = roles[account.owner].mark if account.owner in roles else ""
        taken = self._is_taken(account)
        forbidden = ("AccountTaken", "it belongs to another ManagedSecret") if taken else None
        return Found(logins, mark, forbidden, clients=tuple(self.server.clients))

    def _obstacle(self, name: str) -> str:
        if name not in self.server.roles:
            return "does not exist"
        if not self.server.roles[name].may_login:
            return "has NOLOGIN"
        return "has CONNECTION LIMIT 0" if name in self.server.limited else ""

    def _is_taken(self, account: Account) -> bool:
        marks = {self.server.roles[name].mark for name in account.names if name in self.server.roles}
        return bool(marks - {"", account.mark})

    async def create(
        self,
        account: Account,
        template: Template | None,
        fence: Fence,
        proven: frozenset[str] = frozenset(),
    ) -> Found:
        found = await self.find(account)
        await self._lock("create", account, fence)
        if account.owner not in self.server.roles and template is None:
            raise Missing("AccountMissing", "there is no such role")
        if found.forbidden:
            raise Forbidden(*found.forbidden)
        self._check_in_use(account, proven)
        for name in account.names:
            self.server.roles.setdefault(name, Role()).mark = account.mark
        return found

    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        await self._lock("bring", account, fence)
        if missing := [name for name in account.names if name not in self.server.roles]:
            raise Missing("AccountMissing", f"there is no role {missing[0]}")
        if self.server.roles[account.owner].mark != account.mark:
            raise Forbidden("AccountNotClaimed", "the account was not claimed")
        self._check_in_use(account)
        for name in account.names:
            role, passwords = self.server.roles[name], [one.password for one in live if one.name == name]
            assert len(passwords) <= account.capacity.values_per_name, "there is no room for another"
            kept = role.password if name in self.server.half_closed else None
            role.password, role.others = passwords[0] if passwords else kept, tuple(passwords[1:])
            role.may_login = bool(passwords)
        if not self.server.keeps_strays:
            self.server.strays -= {login.name for login in live}

    async def prove(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        self.server.calls.append(f"prove {login.name}")
        await self.server.open.wait()
        if self.server.is_down or (endpoint or HOST) in self.server.unanswered:
            return Verdict(Answer.UNKNOWN, "Unreachable", "the server does not answer", is_silence=True)
        if endpoint in self.server.mixed:
            return Verdict(
                Answer.UNKNOWN, ANSWERS_DIFFER, "10.0.0.1 accepts the login, and 10.0.0.2 refuses it"
            )
        if login.name in self.server.not_admitted:
            return Verdict(Answer.UNKNOWN, "NotAdmitted", NOT_ADMITTED)
        answer = self.server.answer(login, endpoint or HOST)
        if answer is Answer.ACCEPTED and (self.server.is_full or login.name in self.server.limited):
            return Verdict(Answer.UNKNOWN, NO_CONNECTION_LEFT, "there is no free connection")
        if answer is Answer.ACCEPTED and login.acts_as and login.name in self.server.strays:
            return Verdict(
                Answer.WRONG_ROLE, message=f"sessions of {login.name} do not act as {login.acts_as}"
            )
        return Verdict(answer)

    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        await self._lock("end_sessions", account, fence)
        if not self.server.keeps_sessions:
            self.server.clients = [one for one in self.server.clients if one.login != login]
        return sum(one.count for one in self.server.clients if one.login == login)

    async def retire(self, account: Account, fence: Fence) -> None:
        await self._lock("retire", account, fence)
        for name in account.names:
            if name in self.server.roles and self.server.roles[name].mark == account.mark:
                self.server.roles[name] = Role()

    def marking(self, account: Account) -> str:
        return f"MARK {account.owner}"

    def closing(self, login: str) -> str:
        return f"CLOSE {login}"

    async def _lock(self, operation: str, account: Account, fence: Fence) -> None:
        await self.server.enter(operation)
        if self.server.is_locked:
            raise Busy
        await fence()
        self.server.inside()
        marks = [self.server.roles[name].mark for name in account.names if name in self.server.roles]
        others = [mark for mark in marks if mark not in {"", account.mark}]
        if others and operation != "retire":
            raise Forbidden("AccountTaken", f"the account has the mark {others[0]}")

    def _check_in_use(self, account: Account, proven: frozenset[str] = frozenset()) -> None:
        for name in account.logins:
            role = self.server.roles.get(name, Role())
            if name not in {account.owner, *proven} and role.may_login and not role.mark:
                raise Forbidden("AccountInUse", f"{name} logs in and has no mark")


@dataclass(slots=True)
class MemoryDatabases:
    """One server for every target: what the operator has as `context.databases`."""

    server: MemoryServer = field(default_factory=MemoryServer)
    also_at: tuple[Endpoint, ...] = ()
    limits: Limits = field(default_factory=Limits)
    problem: Exception | None = None
    """Why there is no engine."""
    version: str = "1"
    """Changes with the target, and when its server is restarted."""
    credentials: str = "1"
    """Changes with the Secrets of the target."""
    owner: ObjectKey | None = None
    """The ManagedSecret that has the account, if it is another one."""
    doubts: int = 0
    """How often the operator has asked for a new check."""

    def identity(self, ref: TargetRef, namespace: str) -> TargetIdentity:
        return TargetIdentity(f"{namespace} {ref.name} {self.version}", self.credentials)

    def taken_by(self, key: ObjectKey) -> ObjectKey | None:
        return self.owner if self.owner != key else None

    def doubt(self, ref: TargetRef, namespace: str) -> None:
        del ref, namespace
        self.doubts += 1

    async def engine(
        self, ref: TargetRef, namespace: str, username: str, template: Template | None = None
    ) -> Engine:
        del ref, namespace, username, template
        if self.problem:
            raise self.problem
        return MemoryEngine(self.server, self.also_at, self.limits)
