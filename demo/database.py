"""The second chapter: the password of a real PostgreSQL rotates under load, fails in its pods, and is revoked."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
import yaml

from sandbox.databases import PostgresServer
from sandbox.harness import HarnessError, eventually
from sandbox.harness.installation import ROOT

from .pods import Clients, Pods
from .terminal import LIMIT, runs, variables, was_rolled_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .terminal import Screen, Terminal

SECRET: Final = "orders-db"  # noqa: S105 - a name
_EXAMPLE: Final = "demo/orders.yaml"
_LOGIN: Final = {"login": "username", "password": "password"}
_SOME: Final = 20
"""Requests, of which some reach each process."""
_REPLICAS: Final = 2
_ADMIN: Final = "keyturn_admin"
_DATABASE: Final = "shop"
_TABLE: Final = (
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, placed_by text NOT NULL,"
    " placed_at timestamptz NOT NULL DEFAULT now())"
)
_ROLES: Final = (
    "SELECT rolname, rolcanlogin, rolpassword IS NOT NULL FROM pg_authid"
    " WHERE rolname LIKE 'orders\\_app%' ORDER BY 1"
)
_FAILS: Final = (
    '{"spec":{"template":{"metadata":{"annotations":{"sandbox.keyturn.dev/fails-with":"orders-db=3"}}}}}'
)
_EMERGENCY: Final = {
    "apiVersion": "keyturn.dev/v1alpha1",
    "kind": "EmergencyRotation",
    "metadata": {"name": "inc-2026-042", "namespace": "shop"},
    "spec": {"reason": "laptop of a database admin stolen", "names": [SECRET], "revoke": "Immediately"},
}


class Server:
    """A server with the table `orders`, and an administrator that is no superuser."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._password = secrets.token_urlsafe(24)
        known = server.conninfo(_DATABASE)
        self.address = {name: known[name] for name in ("host", "port", "dbname", "sslmode", "sslrootcert")}
        server.execute(
            f"CREATE ROLE {_ADMIN} LOGIN CREATEROLE PASSWORD '{self._password}'",
            f"CREATE DATABASE {_DATABASE} OWNER {_ADMIN}",
        )
        server.execute(f"SET ROLE {_ADMIN}", _TABLE, database=_DATABASE)

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

    def roles(self) -> str:
        """Describe the roles of the account, as the server has them."""
        return "\n".join(
            f"{name:14} {'LOGIN' if can_login else 'NOLOGIN':8} {'a' if has_password else 'no'} password"
            for name, can_login, has_password in self._server.execute(_ROLES, database=_DATABASE)
        )

    def rows(self) -> int:
        ((count,),) = self._server.execute("SELECT count(*) FROM orders", database=_DATABASE)
        return int(count)

    def accepts(self, login: str, password: str) -> bool:
        """Log in once, and say whether the server took it.

        Raises:
            HarnessError: It answered something else than that the password is wrong.
        """
        try:
            psycopg.connect(**self.address, user=login, password=password, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                raise HarnessError(f"the server does not say whether {login} may log in") from None
            return False
        return True


@contextmanager
def server(screen: Screen) -> Iterator[Server]:
    """Run a server on this machine until the block ends."""
    screen.title("A PostgreSQL server on this machine")
    with ExitStack() as stack:
        with screen.progress("starting PostgreSQL", "PostgreSQL takes logins"):
            running = stack.enter_context(PostgresServer())
        yield Server(running)


def show_password(terminal: Terminal, server: Server) -> None:
    """Show the life of a database password; a process of the application runs for each pod."""
    environment = {"DB_SERVER": psycopg.conninfo.make_conninfo(**server.address)}
    with Pods(terminal, SECRET, environment) as pods:
        story = _Story(terminal, server, pods)
        story.create()
        first = story.login()
        with story.clients:
            story.rotate()
            story.fail()
            story.declare_emergency()
            story.end(first)


class _Story:
    def __init__(self, terminal: Terminal, server: Server, pods: Pods) -> None:
        self._terminal, self._screen = terminal, terminal.screen
        self._server, self._pods = server, pods
        self.clients = Clients(pods.url)

    def create(self) -> None:
        terminal, screen = self._terminal, self._screen
        screen.title("An account of PostgreSQL, a Secret with its password, and a Deployment that logs in")
        self._server.create_secrets(terminal)
        bodies = list(yaml.safe_load_all((ROOT / _EXAMPLE).read_text(encoding="utf-8")))
        for body in bodies:
            if body["kind"] == "DatabaseTarget":
                body["spec"]["postgresql"]["port"] = self._server.address["port"]
        screen.command(f"kubectl apply -f {_EXAMPLE}")
        given = {"apiVersion": "v1", "kind": "List", "items": bodies}
        screen.output(terminal.kubectl("apply", "-f", "-", given=given))
        with screen.progress("creating the account", "the account exists, and its password is in the Secret"):
            terminal.quiet(f"wait ms/{SECRET} -n shop --for=condition=Ready --timeout=500s")
        terminal.show("get dbt,ms -n shop")
        self._show_roles()
        with screen.progress("starting the application", "two processes serve, one for each pod"):
            eventually(lambda: self._pods.count == _REPLICAS, "two processes of the application", LIMIT)

    def rotate(self) -> None:
        screen = self._screen
        screen.title("Rotate it under load")
        screen.say(
            "Two clients send 40 requests per second; each request is a row that the application writes."
        )
        before = self.login()
        self._terminal.show(f"annotate ms {SECRET} -n shop keyturn.dev/rotate=demo")
        with screen.progress("rotating", "rotated: the new login is in use, the old one is closed"):
            self._follow(lambda status: runs(2)(status) and _is_alone(status, 2))
        self._show_roles()
        used = [before["login"], self.login()["login"]]
        screen.check(f"requests came through {used[0]}, then {used[1]}", list(self.clients.logins) == used)
        self._check_no_failure()

    def fail(self) -> None:
        """Let the next revision fail in the Deployment: Keyturn rolls back, and closes the new login."""
        screen, terminal = self._screen, self._terminal
        screen.title("A rotation that the application does not survive")
        screen.say("Pods of orders shall never become ready with revision 3, and have 12 s for it:")
        terminal.show(f"patch deployment orders -n shop -p '{_FAILS}'")
        terminal.show("rollout status deployment/orders -n shop --timeout=500s")
        before = self.login()
        terminal.show(f"annotate ms {SECRET} -n shop keyturn.dev/rotate=again --overwrite")
        done = "the revision before is back, and the login of the failed one is closed"
        with screen.progress("rotating", done):
            self._follow(lambda status: was_rolled_back(status) and _is_alone(status, 2))
        screen.check("the Secret has the login and the password from before", self.login() == before)
        self._show_roles()
        self._check_no_failure()

    def declare_emergency(self) -> None:
        """Replace the password at once; processes with the old one fail until they are restarted."""
        screen = self._screen
        screen.title("An emergency: the old password ends at once")
        before = self.login()
        screen.command("kubectl apply -f inc-2026-042.yaml   # revoke: Immediately")
        self._terminal.kubectl("apply", "-f", "-", given=_EMERGENCY)
        began = time.monotonic()
        with screen.progress("rotating", "rotated, without overlap"):
            self._follow(lambda status: runs(4)(status) and _is_alone(status, 4))
        screen.check("the password before is refused", not self._server.accepts(**before))
        seconds, failed = time.monotonic() - began, self.clients.failed
        screen.say(f"Everything took {seconds:.1f} s. {failed} requests failed meanwhile:")
        screen.say("revoke: Immediately does not wait for pods with the old password.")
        eventually(lambda: self._pods.is_settled, "the end of the processes with the old password", LIMIT)
        eventually(self._is_served_again, "answers without a failure", LIMIT)

    def end(self, first: dict[str, str]) -> None:
        screen = self._screen
        screen.title("What the server accepts now")
        screen.check("the first password is refused", not self._server.accepts(**first))
        screen.check("the password in the Secret is accepted", self._server.accepts(**self.login()))
        self._show_roles()
        rows = self._server.rows()
        screen.say(f"The table has {rows} rows, all of the owner orders_app, whichever login wrote them.")
        self._check_no_failure()

    def login(self) -> dict[str, str]:
        return variables(self._terminal, SECRET, _LOGIN)

    def _is_served_again(self) -> bool:
        """Count from 0, and say whether the next requests succeed; one that was sent before may still fail."""
        self.clients.start_again()
        eventually(lambda: self.clients.sent >= _SOME, "requests", LIMIT)
        return not self.clients.failed

    def _show_roles(self) -> None:
        self._screen.say("The roles at the server:")
        self._screen.output(self._server.roles())

    def _follow(self, has_ended: Callable[[dict[str, Any]], bool]) -> None:
        """Show each change of the status, with what the clients have counted so far."""
        self._terminal.follow(SECRET, has_ended, _credentials, lambda: f"  {self.clients}")

    def _check_no_failure(self) -> None:
        self._screen.check(f"none of {self.clients.sent} requests failed", not self.clients.failed)


def _is_alone(status: dict[str, Any], revision: int) -> bool:
    phases = {one["revision"]: one["phase"] for one in status.get("credentials", ())}
    return {number for number, phase in phases.items() if phase != "Closed"} == {revision}


def _credentials(status: dict[str, Any]) -> str:
    open_ones = (one for one in status.get("credentials", ()) if one["phase"] != "Closed")
    return "  " + ", ".join(f"{one['login']} {one['phase']}" for one in open_ones)
