"""Namespaces whose ManagedSecret has an account at a real PostgreSQL server, with a journal of what happens to it."""

import base64
import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.databases import PostgresServer
from sandbox.harness import eventually
from tests.databases.cluster_watch import Subject, record_of
from tests.databases.evidence import Answer
from tests.databases.journal import Journal, Kept
from tests.databases.recorder import answer_to, application
from tests.databases.server_log import SETTINGS, STRANGER
from tests.faults.apiserver import MANAGED, Cluster, values_of
from tests.faults.namespace import NAME, WorkloadNamespace, workload_namespaces
from tests.faults.wire import Wire
from tests.support.kept_operator import KeptOperator
from tests.support.operator import Operator

DATABASE = "shop"
_NUMBERS = itertools.count(100_000)
PASSWORD = "password"  # noqa: S105  # the name of an item
_ADMIN = "keyturn_admin"
_TARGET, _ADMIN_SECRET, _AUTHORITY = "orders", "db-admin", "db-ca"


class Shop:
    """A PostgreSQL server whose log can be judged, with a database and an admin that is no superuser."""

    def __init__(self, release: str = "18") -> None:
        self.server = PostgresServer(release, settings=SETTINGS)
        self.password = secrets.token_urlsafe(24)

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.server.execute(
            f"CREATE ROLE {_ADMIN} LOGIN CREATEROLE PASSWORD '{self.password}'",
            f"CREATE DATABASE {DATABASE} OWNER {_ADMIN}",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def set_password(self, verb: str, login: str, password: str) -> None:
        """Create or alter a login as another administrator than the operator does; the server gets a verifier."""
        with self.server.connect(application_name=STRANGER) as session:
            verifier = session.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
            session.execute(f"{verb} ROLE {login} LOGIN PASSWORD '{verifier.decode()}'".encode())

    @property
    def port(self) -> int:
        """Where operators connect."""
        return self.server.port

    @property
    def application(self) -> dict[str, Any]:
        """How the application of the shop connects."""
        return application(self.server) | {"dbname": DATABASE}

    @property
    def superuser(self) -> dict[str, Any]:
        return self.server.conninfo(DATABASE)


class WiredShop(Shop):
    """A server that operators reach through a network of their own, which applications do not use."""

    def __init__(self, release: str = "18") -> None:
        super().__init__(release)
        self.wire = Wire(self.server.host, self.server.port)

    def __enter__(self) -> Self:
        super().__enter__()
        self.wire.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self.wire.port


@dataclass(frozen=True, slots=True)
class AccountNamespace:
    """One account: its namespace, its server and its journal."""

    space: WorkloadNamespace
    shop: Shop
    username: str
    journal: Journal

    @property
    def namespace(self) -> str:
        return self.space.namespace

    @property
    def subject(self) -> Subject:
        return Subject(self.namespace, NAME, self.journal, PASSWORD)

    def create(self, *, database: Mapping[str, Any] | None = None, **spec: Any) -> None:
        """Create the target with its admin, and the ManagedSecret."""
        self.create_target()
        self._create(MANAGED, "managedsecrets", self.managed_secret(database or {}, spec))

    def remove(self) -> None:
        """Delete what operators act on; the account stays at the server as it is."""
        own = f"{MANAGED}/namespaces/{self.namespace}"
        for path in (self.space.managed, f"{own}/databasetargets/{_TARGET}"):
            self.space.cluster.delete(path)
        for emergency in self.space.cluster.items(f"{own}/emergencyrotations"):
            self.space.cluster.delete(f"{own}/emergencyrotations/{emergency['metadata']['name']}")

    def put_in_use(self) -> None:
        """Let the account be there before its ManagedSecret, with a password that its Secret has."""
        password = self._set_password("CREATE", self.username)
        self.shop.server.execute(f"GRANT {self.username} TO {_ADMIN} WITH ADMIN OPTION")
        self._create_secret(NAME, {"username": self.username.encode(), PASSWORD: password.encode()})

    def change_at_server(self) -> None:
        """Give the published login another password, as another administrator does."""
        published = values_of(self.space.cluster.get(self.space.target))
        self._set_password("ALTER", published["username"].decode())

    def _set_password(self, verb: str, login: str) -> str:
        password = secrets.token_urlsafe(24)
        self.journal.pair(login, password)
        self.shop.set_password(verb, login, password)
        return password

    def create_target(self) -> None:
        admin = {"username": _ADMIN, "password": self.shop.password}
        self._create_secret(_ADMIN_SECRET, {name: text.encode() for name, text in admin.items()})
        self._create_secret(_AUTHORITY, {"ca.crt": self.shop.server.ca})
        self._create(MANAGED, "databasetargets", self._target())

    def managed_secret(self, database: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        account = {
            "targetRef": {"name": _TARGET},
            "username": self.username,
            "postgresql": {"template": {"schemas": ["public"]}},
            **database,
        }
        return {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "ManagedSecret",
            "metadata": {"name": NAME},
            "spec": {
                "data": [{"name": PASSWORD, "generate": {"password": {}}}],
                "account": {name: value for name, value in account.items() if value is not None},
                "rotation": {"trigger": "at-creation", "overlap": "1s"},
                "rollout": {"debounce": "0s"},
                **spec,
            },
        }

    def recorded(self) -> list[Kept]:
        """Return the credentials that the state Secret records."""
        body = self.space.cluster.get(self.space.state)
        return record_of(body, PASSWORD)[1] if body else []

    def phases(self) -> dict[int, str]:
        return {one.revision: one.phase for one in self.recorded()}

    def is_settled(self, revision: int) -> bool:
        """Say whether a revision runs everywhere, and it is the only one that the server accepts."""
        return self.space.is_at(revision) and self.is_alone(revision)

    def is_alone(self, revision: int) -> bool:
        """Say whether a revision has the only credential that is recorded as not closed."""
        return {number for number, phase in self.phases().items() if phase != "Closed"} == {revision}

    def wait_for(
        self, revision: int, timeout: float = 120.0, *, keep: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until a revision is the only one; `keep` is called meanwhile."""

        def look() -> bool:
            keep()
            return self.is_settled(revision)

        eventually(
            look,
            f"revision {revision} alone in {self.namespace}",
            timeout,
            instead=lambda: (self.phases(), self.conditions()),
        )

    def end_lease(self) -> None:
        """End the term of an operator that has its Lease in this namespace, as if it were over."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/keyturn"
        self.space.cluster.delete(path)

    def conditions(self) -> dict[str, str]:
        found = self.space.status().get("conditions") or ()
        return {one["type"]: f"{one['status']} {one['reason']}: {one.get('message', '')}" for one in found}

    def open_logins(self) -> frozenset[str]:
        """Return the logins that the server would accept, by its catalogue."""
        rows = self.shop.server.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin")
        return self.journal.logins & {name for (name,) in rows}

    def login(self) -> Answer:
        """Log in with what the Secret says."""
        data = values_of(self.space.cluster.get(self.space.target))
        return answer_to(data["username"].decode(), data[PASSWORD].decode(), self.shop.application)

    def _target(self) -> dict[str, Any]:
        server = self.shop.server
        return {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "DatabaseTarget",
            "metadata": {"name": _TARGET},
            "spec": {
                "postgresql": {
                    "host": server.host,
                    "port": self.shop.port,
                    "database": DATABASE,
                    "tls": {"caRef": {"name": _AUTHORITY}},
                },
                "adminCredentials": {"secretRef": {"name": _ADMIN_SECRET}},
                "allowedUsernames": ["orders_*"],
            },
        }

    def _create_secret(self, name: str, data: Mapping[str, bytes]) -> None:
        encoded = {key: _encode(value) for key, value in data.items()}
        self._create("/api/v1", "secrets", {"metadata": {"name": name}, "data": encoded})

    def _create(self, group: str, plural: str, body: dict[str, Any]) -> None:
        self.space.cluster.create(f"{group}/namespaces/{self.namespace}/{plural}", body)


def account_namespaces(cluster: Cluster, shop: Shop, count: int) -> list[AccountNamespace]:
    """Make namespaces with their Deployments, each with a name for its account."""
    made = []
    for space in workload_namespaces(cluster, count):
        username = f"orders_{next(_NUMBERS)}"  # a login is in messages, and short enough to be no secret
        journal = Journal(username, f"{username}_a", f"{username}_b")
        made.append(AccountNamespace(space, shop, username, journal))
    return made


def operator_of(
    home: AccountNamespace, kubeconfig: Path, log: Path, *arguments: str, **env: str
) -> KeptOperator:
    """Return an operator that has its Lease in the namespace of an account, and watches that alone.

    Arguments such as `--all-namespaces` make it watch others. It is not started.
    """
    return KeptOperator(kubeconfig, log, *_options(home, arguments), env=_env(home, env))


def single_operator_of(home: AccountNamespace, kubeconfig: Path, log: Path, **env: str) -> Operator:
    """Return an operator that stays ended without its Lease, as one must that the test itself holds up."""
    return Operator(kubeconfig, log, *_options(home, ()), env=_env(home, env))


def _options(home: AccountNamespace, arguments: tuple[str, ...]) -> tuple[str, ...]:
    return (*(arguments or (f"--namespace={home.namespace}",)), "--allow-host=127.0.0.1")


def _env(home: AccountNamespace, env: Mapping[str, str]) -> Mapping[str, str]:
    return {"POD_NAMESPACE": home.namespace, **env}


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()
