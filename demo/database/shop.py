"""The PostgreSQL server of the demo: its roles, its table, and which logins it takes."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import psycopg

from sandbox.databases import PostgresServer
from sandbox.harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from demo.terminal import Terminal

TABLE: Final = (
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, placed_by text NOT NULL,"
    " placed_at timestamptz NOT NULL DEFAULT now())"
)
_ADMIN: Final = "keyturn_admin"
_DATABASE: Final = "shop"
_REFUSED: Final = "password authentication failed"
_ROLES: Final = (
    "SELECT rolname, rolcanlogin, rolpassword IS NOT NULL FROM pg_authid"
    " WHERE rolname LIKE 'orders\\_app%' ORDER BY 1"
)


class Server(ABC):
    """A server with the table `orders`."""

    def roles(self) -> list[str]:
        """Describe the roles of the account, as the server has them."""
        return [_described(*row) for row in self._execute(_ROLES)]

    def rows(self) -> int:
        ((count,),) = self._execute("SELECT count(*) FROM orders")
        return int(count)

    def accepts(self, login: str, password: str) -> bool:
        """Log in once, and say whether the server took it.

        Raises:
            HarnessError: It answered something else than that the password is wrong.
        """
        try:
            self._log_in(login, password)
        except psycopg.OperationalError as error:
            if _REFUSED not in str(error):
                raise HarnessError(f"the server does not say whether {login} may log in") from None
            return False
        return True

    @abstractmethod
    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser, and return its rows."""

    @abstractmethod
    def _log_in(self, login: str, password: str) -> None:
        """Log in, and end the session.

        Raises:
            psycopg.OperationalError: The server refused it.
        """


class Shop(Server):
    """A server on this machine that lives as long as its block."""

    def __init__(self) -> None:
        self._server = PostgresServer()
        self._password = secrets.token_urlsafe(24)

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._server.execute(
            f"CREATE ROLE {_ADMIN} LOGIN CREATEROLE PASSWORD '{self._password}'",
            f"CREATE DATABASE {_DATABASE} OWNER {_ADMIN}",
        )
        self._server.execute(f"SET ROLE {_ADMIN}", TABLE, database=_DATABASE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def version(self) -> str:
        return self._server.release

    @property
    def environment(self) -> Mapping[str, str]:
        """What the application knows about the server, besides its login."""
        return {"DB_SERVER": psycopg.conninfo.make_conninfo(**self._address)}

    @property
    def _address(self) -> dict[str, Any]:
        known = self._server.conninfo(_DATABASE)
        return {name: known[name] for name in ("host", "port", "dbname", "sslmode", "sslrootcert")}

    def create_secrets(self, terminal: Terminal) -> None:
        """Create what the DatabaseTarget refers to; the values come through standard input, not as arguments."""
        data = {
            "db-admin": {"username": _ADMIN, "password": self._password},
            "db-ca": {"ca.crt": self._server.ca.decode()},
        }
        for name, texts in data.items():
            metadata = {"name": name, "namespace": "shop"}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": texts}
            terminal.kubectl("create", "-f", "-", given=body)

    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self._server.execute(statement, database=_DATABASE)

    def _log_in(self, login: str, password: str) -> None:
        psycopg.connect(**self._address, user=login, password=password, connect_timeout=5).close()


def _described(name: str, can_login: bool, has_password: bool) -> str:  # noqa: FBT001 - two columns of a row
    login, password = "LOGIN" if can_login else "NOLOGIN", "a password" if has_password else "no password"
    return f"{name:14} {login:8} {password}"
