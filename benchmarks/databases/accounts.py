"""Accounts of a PostgreSQL server: the objects by which Keyturn owns their passwords, and what these say."""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.cluster import NAMESPACE, managed_secret, request_rotation
from keyturn.kube import paths
from sandbox.databases import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.cluster import Cluster

ALLOWED = "--allow-host=127.0.0.1"
"""The option that lets the operator connect to a server of this machine."""
DATABASE = "shop"
_ADMIN = "keyturn_admin"
_TARGET, _ADMIN_SECRET, _AUTHORITY = "shop", "shop-admin", "shop-ca"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an application logs in with."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shop:
    """A server with a database, and an administrator that is no superuser."""

    server: PostgresServer
    admin: Credentials

    def conninfo(self, login: Credentials | None = None, application: str = "benchmark") -> dict[str, Any]:
        """Return what a client needs to connect, without a login as the superuser."""
        info = {**self.server.conninfo(DATABASE), "application_name": application}
        return {**info, "user": login.username, "password": login.password} if login else info


@contextmanager
def shop() -> Iterator[Shop]:
    """Run a server until the block ends; it ends with the thread that enters it."""
    with PostgresServer() as server:
        admin = Credentials(_ADMIN, secrets.token_urlsafe(24))
        server.execute(
            f"CREATE ROLE {_ADMIN} LOGIN CREATEROLE PASSWORD '{admin.password}'",
            f"CREATE DATABASE {DATABASE} OWNER {_ADMIN}",
        )
        yield Shop(server, admin)


async def create_target(shop: Shop, cluster: Cluster) -> None:
    """Create the DatabaseTarget, the login of its administrator and its authority."""
    admin = {"username": shop.admin.username.encode(), "password": shop.admin.password.encode()}
    await _create_secret(_ADMIN_SECRET, admin, cluster)
    await _create_secret(_AUTHORITY, {"ca.crt": shop.server.ca}, cluster)
    body = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "DatabaseTarget",
        "metadata": {"name": _TARGET, "namespace": NAMESPACE},
        "spec": {
            "postgresql": {
                "host": shop.server.host,
                "port": shop.server.port,
                "database": DATABASE,
                "tls": {"caRef": {"name": _AUTHORITY}},
            },
            "adminCredentials": {"secretRef": {"name": _ADMIN_SECRET}},
        },
    }
    await cluster.bare.create(paths.externals("DatabaseTarget", NAMESPACE), body)


async def _create_secret(name: str, data: dict[str, bytes], cluster: Cluster) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    await cluster.bare.create(paths.secrets(NAMESPACE), body)


def account(name: str, overlap: str, **database: Any) -> dict[str, Any]:
    """Make a ManagedSecret whose password belongs to an account of the target, which Keyturn creates."""
    whole = {
        "targetRef": {"name": _TARGET},
        "username": name.replace("-", "_"),
        "template": {"schemas": ["public"]},
        **database,
    }
    return managed_secret(name, database=whole, rotation={"overlap": overlap}, rollout={"debounce": "0s"})


async def rotate(name: str, revision: int, cluster: Cluster) -> None:
    """Request the rotation that brings a revision."""
    await request_rotation(name, cluster, f"revision-{revision}")


async def read_credentials(name: str, cluster: Cluster) -> Credentials:
    """Read what the Secret says."""
    data = (await cluster.api.get(paths.secret(NAMESPACE, name)))["data"]
    username, password = (base64.b64decode(data[key]).decode() for key in ("username", "password"))
    return Credentials(username, password)


def has_revision(revision: int) -> Callable[[dict[str, Any]], bool]:
    """Make the test of a Secret for a published revision."""

    def has(body: dict[str, Any]) -> bool:
        annotations = body["metadata"].get("annotations") or {}
        return bool(annotations.get("keyturn.dev/revision") == str(revision))

    return has


def is_closed(revision: int) -> Callable[[dict[str, Any]], bool]:
    """Make the test of a ManagedSecret for a credential whose refusal is proven."""

    def closed(body: dict[str, Any]) -> bool:
        credentials = (body.get("status") or {}).get("credentials") or ()
        return any(one["revision"] == revision and one["phase"] == "Closed" for one in credentials)

    return closed
