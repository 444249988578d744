"""An account of a real PostgreSQL server that a ManagedSecret of a test owns, and who may log in to it."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any

import psycopg

from keyturn.core.value import Value
from sandbox.databases.postgresql import PostgresServer
from sandbox.harness import eventually
from tests.cluster.namespace import Space, password
from tests.databases.evidence import Answer
from tests.databases.recorder import answer_to, application
from tests.databases.servers import PATIENT
from tests.support.objects import Body


@dataclass(frozen=True, slots=True)
class Pair:
    """A login with the password that a Secret had."""

    login: str
    password: Value


@dataclass(frozen=True, slots=True)
class DatabaseAccount:
    """One account in a database of its own, which an admin without superuser rights changes."""

    space: Space
    server: PostgresServer
    database: str

    @classmethod
    def prepare(cls, space: Space, server: PostgresServer) -> DatabaseAccount:
        """Create database, admin and DatabaseTarget."""
        name = f"db_{secrets.token_hex(4)}"
        admin, chosen = f"{name}_admin", secrets.token_urlsafe(24)
        server.execute(
            f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{chosen}'",
            f"CREATE DATABASE {name} OWNER {admin}",
        )
        account = cls(space, server, name)
        account.write_target(admin, chosen)
        return account

    @property
    def username(self) -> str:
        return f"{self.database}_app"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.username, f"{self.username}_a", f"{self.username}_b")

    def write_target(self, admin: str, chosen: str) -> None:
        data = {"username": _encoded(admin), "password": _encoded(chosen)}
        self.space.create({"kind": "Secret", "metadata": {"name": "db-admin"}, "data": data})
        ca = {"ca.crt": base64.b64encode(self.server.ca).decode()}
        self.space.create({"kind": "Secret", "metadata": {"name": "db-ca"}, "data": ca})
        postgresql = {
            "host": self.server.host,
            "port": self.server.port,
            "database": self.database,
            "tls": {"caRef": {"name": "db-ca", "key": "ca.crt"}},
        }
        spec = {
            "postgresql": postgresql,
            "adminCredentials": {"secretRef": {"name": "db-admin"}},
            "allowedUsernames": [f"{self.database}_*"],
        }
        self.space.create({"kind": "DatabaseTarget", "metadata": {"name": "orders"}, "spec": spec})

    def manage(self, *, overlap: str = "1h", database: Body | None = None, **spec: Any) -> Body:
        """Create a ManagedSecret of the account, and wait until its first credential is published."""
        self.create(overlap=overlap, database=database, **spec)
        return self.space.settled()

    def create(self, *, overlap: str = "1h", database: Body | None = None, **spec: Any) -> None:
        whole = {
            "targetRef": {"name": "orders"},
            "username": self.username,
            "postgresql": {"template": {"schemas": ["public"], "privileges": ["SELECT"]}},
            **(database or {}),
        }
        whole = {field: part for field, part in whole.items() if part is not None}
        rotation = {"every": "30d", "overlap": overlap, **spec.pop("rotation", {})}
        self.space.manage(password(), account=whole, rotation=rotation, **spec)

    def published(self) -> Pair:
        """Return what the Secret has."""
        values = self.space.values()
        return Pair(values["username"].reveal().decode(), values["password"])

    def accepts(self, pair: Pair) -> bool:
        """Whether an application can log in with it; the server runs, so it has an answer."""
        endpoint = {**application(self.server), "dbname": self.database}
        answer = answer_to(pair.login, pair.password.reveal().decode(), endpoint)
        assert answer is not Answer.UNKNOWN, "the server does not answer"
        return answer is Answer.ACCEPTED

    def connect(self, pair: Pair) -> psycopg.Connection:
        """Open a session as an application does."""
        return self.server.connect(
            self.database,
            user=pair.login,
            password=pair.password.reveal().decode(),
            connect_timeout=int(PATIENT["connect_timeout"]),
        )

    def phases(self) -> dict[str, str]:
        """Return the phase of each recorded credential, by revision."""
        return {str(one["revision"]): one["phase"] for one in self.space.status().get("credentials", ())}

    def until_phases(self, **phases: str) -> None:
        """Wait until the status has these credentials, such as `r1="Closed"`."""
        wanted = {name.removeprefix("r"): phase for name, phase in phases.items()}
        eventually(lambda: self.phases() == wanted, f"credentials are {wanted}", instead=self.phases)

    def open_names(self) -> list[str]:
        """Return the names of the account that may log in, as the server has them."""
        rows = self.server.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1")
        return [name for (name,) in rows if name in self.names]

    def alter(self, *statements: str) -> None:
        """Change something at the server as another administrator."""
        self.server.execute(*statements)

    def use(self, chosen: str) -> Pair:
        """Have an account that an application uses: it logs in, owns a table, and has no mark."""
        self.alter(
            f"CREATE ROLE {self.username} LOGIN PASSWORD '{chosen}'",
            f"GRANT {self.username} TO {self.database}_admin WITH ADMIN OPTION",
        )
        self.server.execute(
            "CREATE TABLE public.orders (id int)",
            f"ALTER TABLE public.orders OWNER TO {self.username}",
            database=self.database,
        )
        return Pair(self.username, Value.of_text(chosen))

    def remove(self) -> None:
        """Drop what the test made, so that the server can be shared."""
        self.server.execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
        for name in (*self.names, f"{self.database}_admin"):
            self.server.execute(f"DROP ROLE IF EXISTS {name}")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
