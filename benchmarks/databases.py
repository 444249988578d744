"""Benchmark of database passwords, on a real PostgreSQL: rotations of one and of many under load."""

from __future__ import annotations

import asyncio
import base64
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import psycopg

from keyturn.kube import paths
from sandbox.databases import PostgresServer, counted_sessions

from .cluster import (
    LOCAL,
    NAMESPACE,
    Body,
    Cluster,
    Operator,
    Planes,
    Test,
    among,
    beside,
    cpu_of,
    create_managed,
    for_each,
    has_revision,
    keyturn_object,
    managed_secret,
    request_rotation,
    running,
    secret,
    watching,
)
from .rotation import DEPLOYMENTS, deployment, is_patched, is_rolled

_DATABASE = _TARGET = "shop"
_ADMIN = "keyturn_admin"
_MANAGED, _SECRETS = paths.managed_secrets(NAMESPACE), paths.secrets(NAMESPACE)
_PATIENCE = 120.0


async def databases(
    accounts: int, planes: Planes, *, rotations: int = 3, overlap: int = 30
) -> dict[str, float]:
    """Rotate one account, then many at once with an `overlap` in seconds."""
    names = [f"account-{number:03}" for number in range(accounts)]
    with shop() as server:
        async with planes() as cluster, running(cluster, LOCAL) as operator:
            await _create_target(server, cluster)
            return {
                "accounts": accounts,
                **await _single(rotations, server, cluster),
                **await _burst(names, overlap, server, cluster, operator),
            }


# The server, and its clients


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

    def accepts(self, login: Credentials) -> bool:
        """Log in once, as an application does."""
        given = {"user": login.username, "password": login.password, "application_name": "application"}
        try:
            with psycopg.connect(**{**self.server.conninfo(_DATABASE), **given}):
                return True
        except psycopg.OperationalError:
            return False


@contextmanager
def shop() -> Iterator[Shop]:
    """Run a server until the block ends; it ends with the thread that enters it."""
    with PostgresServer() as server:
        admin = Credentials(_ADMIN, secrets.token_urlsafe(24))
        server.execute(
            f"CREATE ROLE {_ADMIN} LOGIN CREATEROLE PASSWORD '{admin.password}'",
            f"CREATE DATABASE {_DATABASE} OWNER {_ADMIN}",
        )
        yield Shop(server, admin)


@asynccontextmanager
async def logging_in(names: Sequence[str], shop: Shop, cluster: Cluster) -> AsyncIterator[Counter[str]]:
    """Have applications log in 20 times a second, one account after another, while the block lasts.

    They use what the Secrets have at that moment; the value of the block is how many were `tried` and `failed`.
    """
    logins = Counter[str]()

    async def log_in(name: str) -> None:
        accepted = await asyncio.to_thread(shop.accepts, await _credentials(name, cluster))
        logins["tried"] += 1
        logins["failed"] += not accepted

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for name in itertools.cycle(names):
                group.create_task(log_in(name))
                await asyncio.sleep(0.05)

    async with beside(run()):
        yield logins


async def _credentials(name: str, cluster: Cluster) -> Credentials:
    data = (await cluster.api.get(paths.secret(NAMESPACE, name)))["data"]
    return Credentials(*(base64.b64decode(data[key]).decode() for key in ("username", "password")))


# The objects


async def _create_target(shop: Shop, cluster: Cluster) -> None:
    """Create the DatabaseTarget, the login of its administrator and its authority."""
    admin = {"username": shop.admin.username.encode(), "password": shop.admin.password.encode()}
    for name, data in (("shop-admin", admin), ("shop-ca", {"ca.crt": shop.server.ca})):
        await cluster.bare.create(_SECRETS, secret(name, data))
    spec = {
        "postgresql": {
            "host": shop.server.host,
            "port": shop.server.port,
            "database": _DATABASE,
            "tls": {"caRef": {"name": "shop-ca"}},
        },
        "adminCredentials": {"secretRef": {"name": "shop-admin"}},
    }
    body = keyturn_object("DatabaseTarget", _TARGET, spec)
    await cluster.bare.create(paths.externals("DatabaseTarget", NAMESPACE), body)


def _account(name: str, overlap: str, **account: Any) -> Body:
    """Make a ManagedSecret whose password belongs to an account of the target, which Keyturn creates."""
    whole = {
        "targetRef": {"name": _TARGET},
        "username": name.replace("-", "_"),
        "postgresql": {"template": {"schemas": ["public"]}},
        **account,
    }
    return managed_secret(name, account=whole, rotation={"overlap": overlap}, rollout={"debounce": "0s"})


def _is_closed(revision: int) -> Test:
    """Make the test of a ManagedSecret for a credential whose refusal is proven."""
    return lambda body: any(
        one["revision"] == revision and one["phase"] == "Closed"
        for one in (body.get("status") or {}).get("credentials") or ()
    )


# The measurements

_WITH_PODS = "with-pods"
_PODS = paths.pods(NAMESPACE)
_ITS_PODS = {"labelSelector": f"app={_WITH_PODS}"}
_BETWEEN = 11.0
"""Seconds between two rotations: the operator restarts a workload every ten seconds at the most."""


async def _single(rotations: int, shop: Shop, cluster: Cluster) -> dict[str, float]:
    """Rotate an account whose Deployment has three pods, some times, without debounce and overlap."""
    await create_managed([_WITH_PODS], cluster, partial(_account, overlap="0s"))
    async with watching(cluster, DEPLOYMENTS, is_rolled) as rolled:
        await cluster.bare.create(DEPLOYMENTS, deployment(_WITH_PODS, 3))
        await rolled.counts(1, _PATIENCE)
    async with logging_in([_WITH_PODS], shop, cluster) as logins:
        turns = [await _rotate_with_pods(2, cluster)]
        for revision in range(3, 2 + rotations):
            await asyncio.sleep(_BETWEEN)
            turns.append(await _rotate_with_pods(revision, cluster))
    longest = {name: max(turn[name] for turn in turns) for name in turns[0]}
    return {**longest, "single_logins": logins["tried"], "single_failed_logins": logins["failed"]}


async def _rotate_with_pods(revision: int, cluster: Cluster) -> dict[str, float]:
    """Rotate once; the wait for pods is from the change of the Deployment until the last earlier pod is gone."""
    pages = cluster.api.pages(_PODS, _ITS_PODS, metadata_only=True)
    earlier = [one["metadata"]["name"] async for page in pages for one in page.items]

    async with (
        watching(cluster, _SECRETS, among([_WITH_PODS], has_revision(revision))) as published,
        watching(cluster, DEPLOYMENTS, partial(is_patched, revision=revision)) as patched,
        watching(cluster, DEPLOYMENTS, lambda one: is_patched(one, revision) and is_rolled(one)) as rolled,
        watching(cluster, _PODS, lambda _: False, _ITS_PODS) as pods,
        watching(cluster, _MANAGED, among([_WITH_PODS], _is_closed(revision - 1))) as closed,
    ):
        began = asyncio.get_running_loop().time()
        await request_rotation(_WITH_PODS, cluster, f"revision-{revision}")
        changed = await patched.counts(1, _PATIENCE)
        through = max(await rolled.counts(1, _PATIENCE), await pods.loses(earlier, _PATIENCE))
        ended = await closed.counts(1, _PATIENCE)
        return {
            "single_seconds_until_published": await published.counts(1, _PATIENCE) - began,
            "single_seconds_of_pods": through - changed,
            "single_seconds_own": ended - began - (through - changed),
            "single_seconds": ended - began,
        }


async def _burst(
    names: Sequence[str], overlap: int, shop: Shop, cluster: Cluster, operator: Operator
) -> dict[str, float]:
    """Rotate accounts at once, and wait until the end of each overlap has become a proven refusal."""
    await create_managed(names, cluster, partial(_account, overlap=f"{overlap}s"))
    await operator.is_quiet()
    old = [await _credentials(name, cluster) for name in names]
    before = cpu_of(operator.pid)
    ends: dict[str, float] = {}
    ahead = time.time() - asyncio.get_running_loop().time()

    def is_closed(body: Body) -> bool:
        # The status has the end of an overlap in whole seconds, cut off.
        if until := ((body.get("status") or {}).get("previous") or {}).get("validUntil"):
            ends[body["metadata"]["name"]] = datetime.fromisoformat(until).timestamp() - ahead
        return _is_closed(1)(body)

    with counted_sessions(shop.server) as sessions:
        async with (
            logging_in(names, shop, cluster) as logins,
            watching(cluster, _SECRETS, among(names, has_revision(2))) as published,
            watching(cluster, _MANAGED, among(names, is_closed)) as closed,
        ):
            began = asyncio.get_running_loop().time()
            await for_each(names, lambda name: request_rotation(name, cluster))
            last = await published.counts(len(names), _PATIENCE)
            await closed.counts(len(names), _PATIENCE + overlap)
    used = cpu_of(operator.pid) - before
    return {
        "seconds_until_published": last - began,
        "seconds_from_overlap_until_refused": max(closed.passed[name] - ends[name] for name in names),
        "sessions": max(sessions),
        "logins": logins["tried"],
        "failed_logins": logins["failed"],
        "earlier_passwords_accepted": sum([await asyncio.to_thread(shop.accepts, one) for one in old]),
        "cpu_ms_per_rotation": used * 1000 / len(names),
    }
