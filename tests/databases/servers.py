"""Servers that tests share, one per release and process, with an admin of an engine, and accounts of a test's own."""

import json
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeAlias

import psycopg
import pymysql
import redis

from keyturn.core.spec.references import Capacity
from keyturn.core.value import Value
from keyturn.databases.base import (
    Account,
    Answer,
    Endpoint,
    EngineSettings,
    Limits,
    Login,
    Template,
    Tls,
    Verdict,
)
from keyturn.databases.engines.mariadb import Mariadb
from keyturn.databases.engines.postgresql import Postgresql
from keyturn.databases.engines.redis import Redis
from keyturn.databases.engines.redis.guards import key_of
from keyturn.databases.errors import Fenced, Overloaded
from sandbox.databases import PostgresServer
from sandbox.databases.mariadb import MariadbServer
from sandbox.databases.redis import Keeps, RedisServer

PATIENT: Final = {"connect_timeout": 60.0, "statement_timeout": 60.0, "idle_timeout": 60.0}
"""Time limits that a server which answers never exceeds, also where a process is held up for ten seconds."""
TEMPLATE: Final = Template(("public",), ("CREATE",), ("~orders:*", "+@read", "+@write"))
"""What a new account of each engine may do."""
LEAST: Final = (
    "+acl|setuser +acl|getuser +acl|list +acl|save +config|get +config|rewrite +info +client|list +client|kill"
    " +multi +exec +discard +watch +unwatch +get +set +del ~keyturn:*"
)
"""What an admin of Redis needs, as docs/redis.md has it."""
MARKS: Final = (
    "CREATE DATABASE keyturn",
    (
        "CREATE TABLE keyturn.marks (username VARCHAR(128) PRIMARY KEY, mark VARCHAR(512) NOT NULL, is_complete"
        " BOOLEAN NOT NULL DEFAULT TRUE) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    ),
)
"""What an administrator of MariaDB creates once, as docs/mariadb.md has it."""
LEAST_OF_MARIADB: Final = (
    "CREATE USER, PROCESS, CONNECTION ADMIN ON *.*",
    "SELECT ON mysql.global_priv",
    "SELECT, INSERT, UPDATE, DELETE ON keyturn.marks",
)
_LONGER: Final = (1, 10, 60)
"""Multiples of a short limit of time."""

SETTINGS: Final = {
    "log_statement": "all",
    "log_connections": "on",
    "log_min_error_statement": "debug5",
    "log_min_duration_statement": "0",
    "log_parameter_max_length_on_error": "-1",
}
"""A server that logs as much as it can; the last one from release 13 on."""

LOGS_OF_MARIADB: Final = (
    "--general-log",
    "--general-log-file=general.log",
    "--slow-query-log",
    "--slow-query-log-file=slow.log",
    "--long-query-time=0",
    "--log-bin=binary",
    "--log-warnings=9",
)
"""The same; the logs are in the data folder."""


class Servers:
    """Starts each server when the first test asks for it."""

    def __init__(self) -> None:
        self._running: dict[str, PostgresServer] = {}
        self._redis: dict[str, RedisServer] = {}
        self._mariadb: dict[str, MariadbServer] = {}

    def redis(self, release: str) -> RedisServer:
        if release not in self._redis:
            self._redis[release] = RedisServer(release).__enter__()
        return self._redis[release]

    def mariadb(self, release: str) -> MariadbServer:
        if release not in self._mariadb:
            self._mariadb[release] = MariadbServer(release, settings=LOGS_OF_MARIADB).__enter__()
            self._mariadb[release].execute(*MARKS, "CREATE DATABASE public")
        return self._mariadb[release]

    def of(self, release: str) -> PostgresServer:
        if release not in self._running:
            known = {
                name: value for name, value in SETTINGS.items() if release != "12" or "parameter" not in name
            }
            self._running[release] = PostgresServer(release, settings=known).__enter__()
        return self._running[release]

    def end(self) -> None:
        for server in self._running.values():
            server.remove()
        for other in self._redis.values():
            other.remove()
        for third in self._mariadb.values():
            third.remove()


@dataclass(frozen=True, slots=True)
class Place:
    """An engine with an admin of a server."""

    server: PostgresServer
    admin: Login
    database: str = "postgres"
    settings: dict[str, float] = field(default_factory=dict)
    """Time limits that differ from the patient ones."""

    @classmethod
    def of_superuser(cls, server: PostgresServer) -> Self:
        return cls(server, Login(server.admin, Value.of_text(server.password)))

    @classmethod
    def of_new_admin(cls, server: PostgresServer, attributes: str = "CREATEROLE") -> Self:
        """Create an admin that is no superuser."""
        login = new_login(f"admin_{secrets.token_hex(4)}")
        server.execute(
            f"CREATE ROLE {login.name} LOGIN {attributes} PASSWORD '{plain(login)}'",
            f"GRANT USAGE, CREATE ON SCHEMA public TO {login.name} WITH GRANT OPTION",
        )
        return cls(server, login)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.server.host, self.server.port)

    def engine(self, limits: Limits | None = None) -> Postgresql:
        settings = EngineSettings(
            self.endpoint,
            self.database,
            self.admin,
            Tls(self.server.ca),
            **(PATIENT | self.settings),  # type: ignore[arg-type]  # names of numbers
        )
        return Postgresql(replace(settings, limits=limits) if limits else settings)

    def session(self, login: Login) -> psycopg.Connection:
        """Log in as an application does."""
        patience = int(PATIENT["connect_timeout"])
        return self.server.connect(
            self.database, user=login.name, password=plain(login), connect_timeout=patience
        )

    def account(self) -> Account:
        return account()

    def lock(self, name: str) -> None:
        """Close a login as another administrator does, and leave its password."""
        self.server.execute(f"ALTER ROLE {name} NOLOGIN")

    def drop(self, name: str) -> None:
        self.server.execute(f"DROP ROLE {name}")

    def mark(self, owned: Account, mark: str = "", *names: str) -> None:
        """Give names of an account another mark, or none."""
        text = f"'keyturn.dev/managed-secret: {mark}'" if mark else "NULL"
        self.server.execute(*(f"COMMENT ON ROLE {name} IS {text}" for name in names or owned.names))

    def is_alive(self, session: Any) -> bool:
        found: bool = session.execute("SELECT 1").fetchone() == (1,)
        return found

    def powers(self, name: str) -> tuple[bool, bool]:
        """Return whether a role may log in, and whether it has a password."""
        query = f"SELECT rolcanlogin, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = '{name}'"  # noqa: S608
        ((may_log_in, has_password),) = self.server.execute(query)
        return may_log_in, has_password


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """The same for Redis and Valkey."""

    server: RedisServer
    admin: Login
    replicas: tuple[RedisServer, ...] = ()
    own: dict[str, str] = field(default_factory=dict)
    settings: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_new_admin(cls, *servers: RedisServer, rules: str = LEAST, **own: str) -> Self:
        """Create an admin with the least rights at a primary and its replicas."""
        login = new_login(f"admin_{secrets.token_hex(4)}")
        for server in servers:
            server.execute(f"ACL SETUSER {login.name} on >{plain(login)} {rules}")
            if server.keeps is Keeps.FILE_OF_USERS:
                server.execute("ACL SAVE")
        return cls(servers[0], login, servers[1:], own)

    @classmethod
    def of_default(cls, server: RedisServer) -> Self:
        """Return a place whose admin is there after each start, of a server that keeps nothing."""
        return cls(server, Login(server.admin, Value.of_text(server.password)), own={"persistence": "None"})

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.server.host, self.server.port)

    def engine(self, limits: Limits | None = None) -> Redis:
        settings = EngineSettings(
            self.endpoint,
            "",
            self.admin,
            Tls(self.server.ca) if self.server.ca else None,
            tuple(Endpoint(one.host, one.port) for one in self.replicas),
            own=self.own,
            **(PATIENT | self.settings),  # type: ignore[arg-type]  # names of numbers
        )
        return Redis(replace(settings, limits=limits) if limits else settings)

    def session(self, login: Login) -> AbstractContextManager[redis.Redis]:
        return self.server.session(login.name, plain(login))

    def account(self) -> Account:
        owner = f"app_{secrets.token_hex(4)}"
        return Account(owner, Capacity((owner,), 2), f"shop/{owner}/cluster")

    def lock(self, name: str) -> None:
        self.server.execute(f"ACL SETUSER {name} off")

    def drop(self, name: str) -> None:
        self.server.execute(f"ACL DELUSER {name}")

    def mark(self, owned: Account, mark: str = "", *_: str) -> None:
        self.server.execute(f"SET {key_of(owned)} {mark}" if mark else f"DEL {key_of(owned)}")

    def is_alive(self, session: Any) -> bool:
        return session.get("orders:1") is None

    def powers(self, name: str) -> tuple[bool, bool]:
        reply = self.server.execute(f"ACL GETUSER {name}")
        facts = dict(zip(reply[::2], reply[1::2], strict=False))
        return "on" in facts["flags"], bool(facts["passwords"])


@dataclass(frozen=True, slots=True)
class MariadbPlace:
    """The same for MariaDB."""

    server: MariadbServer
    admin: Login
    settings: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_new_admin(cls, server: MariadbServer, *grants: str) -> Self:
        """Create an admin with the least rights, and those to create accounts of `TEMPLATE`."""
        login = new_login(f"admin_{secrets.token_hex(4)}")
        server.execute(
            f"CREATE USER {login.name} IDENTIFIED BY '{plain(login)}'",
            *(f"GRANT {grant} TO {login.name}" for grant in grants or LEAST_OF_MARIADB),
            *([] if grants else [f"GRANT CREATE ON public.* TO {login.name} WITH GRANT OPTION"]),
        )
        return cls(server, login)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.server.host, self.server.port)

    def engine(self, limits: Limits | None = None) -> Mariadb:
        settings = EngineSettings(
            self.endpoint,
            "",
            self.admin,
            Tls(self.server.ca),
            **(PATIENT | self.settings),  # type: ignore[arg-type]  # names of numbers
        )
        return Mariadb(replace(settings, limits=limits) if limits else settings)

    def session(self, login: Login) -> AbstractContextManager[Any]:
        return self.server.session(login.name, plain(login))

    def account(self) -> Account:
        owner = f"app_{secrets.token_hex(4)}"
        return Account(owner, Capacity((owner,), 2), f"shop/{owner}/cluster")

    def lock(self, name: str) -> None:
        self.server.execute(f"ALTER USER {name} ACCOUNT LOCK")

    def drop(self, name: str) -> None:
        self.server.execute(f"DROP USER {name}")

    def mark(self, owned: Account, mark: str = "", *_: str) -> None:
        removal = f"DELETE FROM keyturn.marks WHERE username = '{owned.owner}'"  # noqa: S608
        values = f"('{owned.owner}', '{mark}')"
        change = f"REPLACE INTO keyturn.marks (username, mark) VALUES {values}"  # noqa: S608
        self.server.execute(change if mark else removal)

    def is_alive(self, session: Any) -> bool:
        with suppress(pymysql.MySQLError), session.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchall() == ((1,),))
        return False

    def powers(self, name: str) -> tuple[bool, bool]:
        kept = self.kept(name)
        return not kept["account_locked"], kept["authentication_string"] != "invalid"

    def kept(self, name: str) -> dict[str, Any]:
        """Return what the server keeps of a user."""
        query = f"SELECT Priv FROM mysql.global_priv WHERE User = '{name}'"  # noqa: S608
        ((kept,),) = self.server.execute(query)
        found: dict[str, Any] = json.loads(kept)
        return found


AnyPlace: TypeAlias = Place | RedisPlace | MariadbPlace


class Fences:
    """A fence that counts, and refuses from a number on."""

    def __init__(self, refused_from: int = 1_000_000) -> None:
        self.calls = 0
        self._refused_from = refused_from

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls >= self._refused_from:
            raise Fenced


async def open_fence() -> None:
    """Let everything pass."""


async def prove_patiently(settings: EngineSettings, login: Login) -> Verdict:
    """Log in with a short limit of time, and with a longer one if no thread was free within it."""
    for times in _LONGER:
        longer = replace(settings, connect_timeout=settings.connect_timeout * times)
        with suppress(Overloaded):
            return await Postgresql(longer).prove(login)
    raise AssertionError(f"no thread was free within {longer.connect_timeout:g} s")


def account(capacity: Callable[[str], Capacity] = Capacity.alternating) -> Account:
    """Return an account that no other test has."""
    owner = f"app_{secrets.token_hex(4)}"
    return Account(owner, capacity(owner), f"cluster/shop/{owner}")


def new_value() -> Value:
    return Value.of_text(secrets.token_urlsafe(24))


def new_login(name: str) -> Login:
    return Login(name, new_value())


def plain(login: Login) -> str:
    return login.password.reveal().decode()


def both(owned: Account) -> tuple[str, str]:
    """Return the names of the two logins that an account may have at the same time: two, or one twice."""
    first, second, *_ = owned.logins * 2
    return first, second


async def answers(place: AnyPlace, *logins: Login) -> list[Answer]:
    engine = place.engine()
    return [(await engine.prove(login)).answer for login in logins]


async def opened(place: AnyPlace, owned: Account, *names: str) -> tuple[Login, ...]:
    """Create the account, and open some of its names."""
    engine = place.engine()
    await engine.create(owned, TEMPLATE, open_fence)
    live = tuple(new_login(name) for name in names)
    await engine.bring(owned, live, open_fence)
    return live
