"""What the operator says of database targets, on a real API server and with a real PostgreSQL."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.databases import PostgresServer
from sandbox.harness import eventually
from tests.cluster.namespace import Space


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer("18") as server:
        yield server


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a test with its Secrets, and an administrator of its own at the server."""

    space: Space
    server: PostgresServer
    admin: str
    password: str

    def login(self, password: str | None = None) -> None:
        """Write the Secret of the administrator."""
        data = {"username": self.admin, "password": password or self.password}
        self._secret("db-admin", data)

    def authority(self, pem: bytes | None = None) -> None:
        self._secret("db-ca", {"ca.crt": (pem or self.server.ca).decode()})

    def write(self, **more: Any) -> None:
        postgresql = {
            "host": self.server.host,
            "port": self.server.port,
            "database": "postgres",
            "tls": {"caRef": {"name": "db-ca"}},
            **more,
        }
        spec = {"postgresql": postgresql, "adminCredentials": {"secretRef": {"name": "db-admin"}}}
        if found := self.space.find("DatabaseTarget", "orders"):
            del found
            self.space.edit("DatabaseTarget", "orders", lambda body: body.update(spec=spec))
        else:
            self.space.create({"kind": "DatabaseTarget", "metadata": {"name": "orders"}, "spec": spec})

    def status(self) -> dict[str, Any]:
        return dict(self.space.get("DatabaseTarget", "orders").get("status") or {})

    def condition(self, type_: str) -> dict[str, Any] | None:
        found = self.status().get("conditions", ())
        return next((one for one in found if one["type"] == type_), None)

    def until(self, reason: str) -> str:
        """Wait for a reason of Ready, and return its message."""
        eventually(lambda: (self.condition("Ready") or {}).get("reason") == reason, f"Ready by {reason}")
        return str((self.condition("Ready") or {})["message"])

    def _secret(self, name: str, data: dict[str, str]) -> None:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        if self.space.find("Secret", name):
            self.space.edit("Secret", name, lambda body: body.update(data=encoded))
        else:
            self.space.create({"kind": "Secret", "metadata": {"name": name}, "data": encoded})


@pytest.fixture
def target(space: Space, server: PostgresServer) -> Target:
    """Everything but the target itself."""
    admin, password = f"admin_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    server.execute(f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{password}'")
    target = Target(space, server, admin, password)
    target.login()
    target.authority()
    return target


def test_a_server_that_accepts_the_administrator_is_ready(target: Target) -> None:
    target.write()

    assert target.until("Valid") == "the last check of the server succeeded"

    status = target.status()
    assert status["version"].startswith("18.")
    assert (status["engine"], status["observedGeneration"]) == ("postgresql", 1)
    assert [one["type"] for one in status["conditions"]] == ["Ready"]


def test_a_refused_administrator_stalls_the_target_until_the_secret_is_right(target: Target) -> None:
    target.login("not-the-password")
    target.write()

    assert "adminCredentials" in target.until("AuthenticationFailed")
    stalled = target.condition("Stalled")
    assert stalled
    assert stalled["reason"] == "AuthenticationFailed"
    assert target.space.until_event("TargetNotReady", "orders").startswith("AuthenticationFailed: ")

    target.login()

    target.until("Valid")
    assert target.condition("Stalled") is None


def test_a_service_of_another_namespace_is_not_reached(target: Target) -> None:
    target.write(host="db.kube-system.svc")

    assert target.until("HostNotAllowed").startswith(
        "db.kube-system.svc is a Service of the namespace 'kube-system'; write a target there"
    )


def account(username: str, target: str = "orders") -> dict[str, Any]:
    schemas = {"schemas": ["public"], "privileges": ["SELECT"]}
    return {"targetRef": {"name": target}, "username": username, "postgresql": {"template": schemas}}


def password() -> dict[str, Any]:
    return {"name": "password", "generate": {"password": {}}}


def test_the_older_of_two_objects_keeps_an_account(target: Target) -> None:
    username = f"app_{secrets.token_hex(4)}"
    target.write()
    target.space.managed(password(), name="first", account=account(username))

    target.space.manage(password(), name="second", account=account(username))

    assert f"{target.space.namespace}/first" in target.space.stalled("AccountTaken", "second")


def test_a_target_that_is_created_later_is_used_at_once(target: Target) -> None:
    username = f"app_{secrets.token_hex(4)}"
    target.space.manage(password(), account=account(username))
    assert "there is no DatabaseTarget 'orders'" in target.space.stalled("TargetNotReady")

    target.write()

    target.space.settled()
    assert target.space.values()["username"].reveal() == f"{username}_a".encode()
