"""Targets on an API server and database servers of this process, which the tests change as they like."""

import base64
from itertools import count
from typing import Any, ClassVar

from keyturn.api.account import TargetKind, TargetRef
from keyturn.core.keys import CLUSTER_DATABASE_TARGET, DATABASE_TARGET, ObjectKey, TargetKey
from keyturn.core.observation.external import HealthEvents
from keyturn.databases import Databases
from keyturn.databases.base import Engine, EngineSettings, Server
from keyturn.databases.engines.postgresql import Postgresql
from keyturn.databases.errors import DatabaseError
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.runtime.reach import AllowedHost, Reach

OPERATOR = "keyturn-system"
REF = TargetRef(name="orders")
SHARED = TargetRef(kind=TargetKind.CLUSTER_DATABASE_TARGET, name="orders")
KEY = TargetKey(DATABASE_TARGET, "shop", "orders")
CLUSTER_KEY = TargetKey(CLUSTER_DATABASE_TARGET, "", "orders")

_versions = count(1)


class FakeEngine(Engine):
    """A server that answers what the test wants."""

    kind = "postgresql"
    problem: ClassVar[DatabaseError | None] = None
    server: ClassVar[Server] = Server("18.1")
    checks: ClassVar[int] = 0
    closed: ClassVar[int] = 0

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        FakeEngine.last = settings

    last: ClassVar[EngineSettings]

    capacity = Postgresql.capacity

    @classmethod
    def reset(cls) -> None:
        cls.problem, cls.server, cls.checks, cls.closed = None, Server("18.1"), 0, 0

    async def check(self) -> Server:
        FakeEngine.checks += 1
        if FakeEngine.problem is not None:
            raise FakeEngine.problem
        return FakeEngine.server

    async def close(self) -> None:
        FakeEngine.closed += 1

    find = create = bring = prove = end_sessions = retire = None  # type: ignore[assignment]  # not called
    marking = closing = None  # type: ignore[assignment]


class FakeApi:
    """The Secrets of a cluster."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.reads: list[str] = []
        self.is_away = False

    async def get(self, path: str) -> dict[str, Any]:
        self.reads.append(path)
        if self.is_away:
            raise errors.ApiError("get", path, 503, "ServiceUnavailable")
        if path not in self.secrets:
            raise errors.NotFound("get", path, 404, "NotFound")
        return self.secrets[path]


class FakeTargets:
    """Databases with fakes on both sides."""

    def __init__(self, *allowed: str) -> None:
        self.api = FakeApi()
        self.cache = InformerCache()
        reach = Reach(namespace=OPERATOR, allowed=[AllowedHost.parse(one) for one in allowed])
        self.databases = Databases(self.api, self.cache, reach)  # type: ignore[arg-type]  # a fake
        self.turned: list[TargetKey] = []
        self.recovered: list[TargetKey] = []
        self.databases.health_events = HealthEvents(self.turned.append, self.recovered.append)

    def secret(self, name: str = "db-admin", namespace: str = "shop", **data: str) -> None:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        version = str(next(_versions))
        metadata = {"name": name, "uid": name, "resourceVersion": version}
        self.api.secrets[paths.secret(namespace, name)] = {"metadata": metadata, "data": encoded}

    def target(
        self,
        key: TargetKey = KEY,
        *,
        server: dict[str, Any] | None = None,
        status: dict[str, Any] | None = None,
        **spec: Any,
    ) -> None:
        version = next(_versions)
        metadata = {
            "name": key.name,
            "namespace": key.namespace,
            "uid": "u",
            "generation": version,
            "resourceVersion": str(version),
        }
        host = "db" if key.namespace else "db.example.com"
        body = {
            "postgresql": {"host": host, "database": "orders", **(server or {})},
            "adminCredentials": {"secretRef": {"name": "db-admin"}},
            **({} if key.namespace else {"allowedUsernames": ["orders_app"]}),
            **spec,
        }
        self.cache.put_external(key, {"metadata": metadata, "spec": body, "status": status or {}})

    def user(
        self,
        key: ObjectKey,
        username: str = "orders_app",
        created: str = "2026-01-01T00:00:00Z",
        kind: str = "",
        **more: Any,
    ) -> None:
        version = str(next(_versions))
        metadata = {
            "name": key.name,
            "namespace": key.namespace,
            "uid": key.name,
            "creationTimestamp": created,
            "resourceVersion": version,
        }
        database = {"targetRef": {"name": "orders", **({"kind": kind} if kind else {})}, "username": username}
        self.cache.put_managed({"metadata": metadata, "spec": {"account": database}, **more})

    async def engine(
        self, ref: TargetRef = REF, namespace: str = "shop", username: str = "orders_app"
    ) -> Engine:
        return await self.databases.engine(ref, namespace, username)
