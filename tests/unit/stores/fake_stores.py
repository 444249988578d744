"""Fake stores whose answers a test sets, and an API server in memory that holds their credentials."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar

from keyturn.api.base import Schema
from keyturn.api.source import StoreRef
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, StoreKey
from keyturn.core.labels import CONSENT
from keyturn.core.observation.external import HealthEvents
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.runtime.reach import Reach
from keyturn.stores import Stores
from keyturn.stores.providers import Capability, Content, Provider, Reference, RemoteValue
from keyturn.stores.providers._refs import KeyRef
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import NotFound, StoreError, Unauthorized

OPERATOR = "keyturn-system"


def now() -> float:
    return asyncio.get_running_loop().time()


def ref(name: str = "vault", kind: str | None = None) -> StoreRef:
    return StoreRef.model_validate({"name": name, "kind": kind})


def cluster_ref(name: str = "vault") -> StoreRef:
    return ref(name, CLUSTER_SECRET_STORE)


def revealed(found: RemoteValue) -> str:
    assert isinstance(found.content, Value)
    return found.content.reveal().decode()


@dataclass
class FakeStoreServer:
    """The server of a store: its values, the login that it accepts, and its requests by time."""

    values: dict[str, str] = field(default_factory=lambda: {"db": "hunter2"})
    knows: str | None = None
    """The only login that it takes; None for all."""
    delay: float = 0.0
    mood: Callable[[int], StoreError | None] = lambda _: None
    """What it answers to its n-th request instead of what it holds."""
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    """When, for what and by whom it was asked."""
    closed: int = 0
    opened: int = 0

    async def answer(self, what: str, login: str) -> None:
        self.asked.append((now(), what, login))
        error = self.mood(len(self.asked))
        await asyncio.sleep(self.delay)
        if error:
            raise error
        if self.knows is not None and login != self.knows:
            raise Unauthorized("Status401")

    def times(self, what: str) -> list[float]:
        return [when for when, asked, _ in self.asked if asked == what]

    def count(self, what: str) -> int:
        return len(self.times(what))


class FakeProviderConfig(Schema):
    """A store of the fake provider."""

    login: KeyRef | None = None
    """The key of a Secret."""
    account: str | None = None
    """A ServiceAccount."""
    by_namespace: bool = False
    """Whether it is another store for each namespace."""
    leases: bool = False
    """Whether each read is lent."""


class FakeProvider(Provider[FakeProviderConfig]):
    """A provider whose server is a `FakeStoreServer`."""

    kind = "kept"
    Config = FakeProviderConfig
    capabilities = frozenset({Capability.WRITE, Capability.VERSIONS})
    rate = 1e6
    server: ClassVar[FakeStoreServer]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server.opened += 1
        self._session: str | None = None

    @classmethod
    def needs(cls, config: FakeProviderConfig) -> tuple[Reference, ...]:
        return (config.login.in_secret(),) if config.login else ()

    @classmethod
    def logs_in_as(cls, config: FakeProviderConfig) -> str | None:
        return config.account

    @classmethod
    def is_personal(cls, config: FakeProviderConfig) -> bool:
        return config.by_namespace or super().is_personal(config)

    @classmethod
    def issues_leases(cls, config: FakeProviderConfig) -> bool:
        return config.leases

    async def revoke_lease(self, key: str, lease: ProviderLease) -> None:
        del key
        await self.server.answer(f"revoke {lease.id}", await self._login())

    async def check(self) -> None:
        await self.server.answer("check", await self._login())

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        place = f"{self.given.namespace}:{key}" if self.config.by_namespace else key
        text = self.server.values.get(place)  # as it is when the request comes, however long the answer takes
        await self.server.answer(f"read {key}", await self._login())
        if text is None:
            raise NotFound("NoSuchKey")
        lease = ProviderLease(f"{key}/1", "", timedelta(hours=1)) if self.config.leases else None
        return RemoteValue(Value.of_text(text), version or "1", lease)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:  # noqa: ARG002
        await self.server.answer(f"write {key}", await self._login())
        assert isinstance(content, Value)
        self.server.values[key] = content.reveal().decode()
        return "2"

    async def _delete(self, key: str) -> None:
        await self.server.answer(f"delete {key}", await self._login())
        self.server.values.pop(key, None)

    async def close(self) -> None:
        self.server.closed += 1

    async def _login(self) -> str:
        if self.config.login:
            found = self.given.referred[self.config.login.in_secret()]
            return revealed(found)
        if self.config.account:
            if self._session is None:
                self._session = await self._session_of(self.config.account)
            return self._session
        return "nobody"

    async def _session_of(self, account: str) -> str:
        keep = self.given.keep
        token = await keep.load() if keep else None
        if token is None:
            token = await self.given.token(account, "https://kept.test")
            if keep:
                await keep.save(token)
        return token.reveal().decode()


class FakeApiServer:
    """The requests of stores to the API server: Secrets, ServiceAccounts and their tokens."""

    fence: Callable[[], float] | None = None

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.tokens: list[str] = []
        self.is_away = self.are_forbidden = False
        self.delay = 0.0
        self.accounts: set[str] | None = None
        """The paths of the tokens that can be made; None for all."""
        self.consent = "other, vault,ClusterSecretStore/vault"
        """What every ServiceAccount is annotated with."""
        self.uid = "account-1"
        """The UID of every ServiceAccount."""
        self.gone: set[str] = set()
        """The paths of ServiceAccounts that were deleted."""
        self._versions = count(1)

    async def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        found = self.bodies.get(path)  # as it is when the request comes, however long the answer takes
        await asyncio.sleep(self.delay)  # also without delay, other tasks run before the answer
        if self.is_away:
            raise api_errors.Unavailable("get", path, 0, "Timeout")
        if self.are_forbidden:
            raise api_errors.Forbidden("get", path, 403, "Forbidden")
        if "/serviceaccounts/" in path:
            if path in self.gone:
                raise api_errors.NotFound("get", path, 404, "NotFound")
            return {"metadata": {"uid": self.uid, "annotations": {CONSENT: self.consent}}}
        if found is None:
            raise api_errors.NotFound("get", path, 404, "NotFound")
        return found

    async def request(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(path)
        if self.accounts is not None and path not in self.accounts:
            raise api_errors.NotFound("request", path, 404, "NotFound")
        namespace = path.split("/")[4]
        self.tokens.append(f"token {len(self.tokens) + 1} of {namespace}")
        spec = {**body["spec"]}
        return {"spec": spec, "status": {"token": self.tokens[-1]}}

    async def create(self, path: str, body: dict[str, Any]) -> None:
        self.put(f"{path}/{body['metadata']['name']}", body)

    async def replace(self, path: str, body: dict[str, Any]) -> None:
        self.put(path, body)

    def put(self, path: str, body: dict[str, Any]) -> None:
        metadata = {"uid": f"uid-{path}", "resourceVersion": str(next(self._versions))}
        self.bodies[path] = {**body, "metadata": metadata}


class FakeStores:
    """`Stores` over a fake provider, a fake API server and an informer cache, with helpers of tests."""

    def __init__(self, reach: Reach | None = None) -> None:
        self.server = FakeStoreServer()
        FakeProvider.server = self.server
        self.api = FakeApiServer()
        self.cache = InformerCache()
        self.cache.sees_namespaces = True
        self.stores = Stores(
            self.api,  # type: ignore[arg-type]  # a fake
            self.cache,
            reach or Reach(namespace=OPERATOR),
        )
        self.turned: list[StoreKey] = []
        self.recovered: list[StoreKey] = []
        self.stores.health_events = HealthEvents(self.turned.append, self.recovered.append)
        self._versions = count(1)

    # What is there

    def store(self, name: str = "vault", namespace: str = "shop", **settings: Any) -> StoreKey:
        return self._put(StoreKey(SECRET_STORE, namespace, name), {}, settings)

    def cluster_store(self, name: str = "vault", **settings: Any) -> StoreKey:
        allowed = {"names": settings.pop("names", ["shop", "office"])}
        if "selector" in settings:
            allowed = {"selector": settings.pop("selector")}
        spec = {"allowedNamespaces": allowed}
        if "prefix" in settings:
            spec["keyPrefix"] = settings.pop("prefix")
        return self._put(StoreKey(CLUSTER_SECRET_STORE, "", name), spec, settings)

    def secret(self, name: str, namespace: str = "shop", type_: str = "Opaque", **data: str) -> None:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        self.api.put(paths.secret(namespace, name), {"type": type_, "data": encoded})

    def namespace(self, name: str, **labels: str) -> None:
        version = str(next(self._versions))
        self.cache.put_namespace({"metadata": {"name": name, "labels": labels, "resourceVersion": version}})

    def _put(self, key: StoreKey, spec: dict[str, Any], settings: dict[str, Any]) -> StoreKey:
        interval, rate = settings.pop("interval", 15.0), settings.pop("rate", None)
        longest = interval if isinstance(interval, str) else timedelta(seconds=interval)
        refresh = {"minInterval": longest} | ({"ratePerSecond": rate} if rate else {})
        provider = {settings.pop("provider", "kept"): settings}
        version = next(self._versions)
        metadata = {
            "name": key.name,
            "namespace": key.namespace,
            "uid": f"uid-{key.name}",
            "generation": version,
            "resourceVersion": str(version),
        }
        body = {"metadata": metadata, "spec": {"provider": provider, "refresh": refresh, **spec}}
        self.cache.put_external(key, body)
        return key

    # What is asked

    async def read(self, key: str = "db", store: StoreRef | None = None, **how: Any) -> str:
        namespace = how.pop("namespace", "shop")
        return revealed(await self.stores.read(store or ref(), namespace, key, **how))

    async def refusal(self, key: str = "db", store: StoreRef | None = None, **how: Any) -> StoreError:
        """Read, and return the error."""
        try:
            await self.read(key, store, **how)
        except StoreError as error:
            return error
        raise AssertionError("it was read")

    def reason(self, key: StoreKey) -> str | None:
        health = self.stores.health(key)
        return health.reason if health else None

    async def until(self, holds: Callable[[], bool], seconds: float = 600.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110  # the world outside sets no events
                await asyncio.sleep(0.05)
