"""Data of a cluster for the checklist: each read once, with the caller's permissions, and without values."""

import asyncio
import contextlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import SecretClass
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import UNREADABLE_TYPES
from keyturn.core.policy.checklist import POINTS, Finding, Point, Verdict, reported_violations
from keyturn.core.spec.desired import Desired, resolve_spec, secret_of
from keyturn.core.status.summary import condition
from keyturn.core.value import Value
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.client import Api
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.wire import Body

from .strength_estimate import is_public, is_weak

_PAGE_SIZE = 50
"""Secrets per page: each can have 1 MiB."""
_LEFT_OUT: Final = frozenset({*UNREADABLE_TYPES, "helm.sh/release.v1", "bootstrap.kubernetes.io/token"})
"""Types that Kubernetes, Helm or Vault generates, and state Secrets, whose values are judged in the target."""
_WITHOUT_LOGIN: Final = re.compile(rb"\s*[a-z][a-z0-9+.-]*://[^@]*", re.IGNORECASE)
_MIN_COMPARED_LENGTH: Final = 8
_METRICS: Final = "/metrics"

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Held:
    """One key of a Secret: what the points need of its value, which is dropped."""

    namespace: str
    secret: str
    key: str
    owner: str
    """ManagedSecret by the Secret's label; empty without one."""
    is_written: bool
    """Whether Keyturn has written the Secret; a copy by another user, with label and all, was not."""
    is_weak: bool
    mark: bytes
    """Equal for equal values; empty for a value that may be shared."""

    @property
    def where(self) -> str:
        return f"{self.namespace}/{self.secret}"


@dataclass(frozen=True, slots=True)
class Declared:
    """A ManagedSecret with its class and resolved spec; None if invalid, or if its class is unknown."""

    managed: ManagedSecret
    secret_class: SecretClass | None
    desired: Desired | None

    @property
    def where(self) -> str:
        return f"{self.managed.metadata.namespace}/{self.managed.metadata.name}"

    @property
    def secret(self) -> ObjectKey:
        return ObjectKey(self.managed.metadata.namespace, secret_of(self.managed))

    @property
    def generated(self) -> frozenset[str]:
        """Keys that a recipe has generated; the recipe is checked against the minimum strength beforehand.

        None if the operator has not written the Secret by the spec as it is.
        """
        status, generation = self.managed.status, self.managed.metadata.generation
        is_observed = status.revision is not None and status.observed_generation == generation
        is_followed = is_observed and condition(self.managed, "Stalled") is None
        items = self.desired.items if self.desired and is_followed else ()
        return frozenset(key for item in items if item.recipe for key in item.keys.values())


@dataclass(frozen=True, slots=True)
class Facts:
    """One cluster, or one namespace of it."""

    api: Api
    namespace: str | None
    now: Callable[[], datetime]
    mark: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Key under which values are compared: random, and in memory only."""
    _read: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"namespace {self.namespace}" if self.namespace else "the cluster"

    async def list_declared(self) -> list[Declared]:
        """Return all ManagedSecrets."""
        return await self._once("declared", self._read_declared)

    async def list_classes(self) -> list[Body]:
        """Return all SecretClasses."""
        return await self._once("classes", lambda: self._all(paths.secret_classes()))

    async def list_held(self) -> list[Held]:
        """Return what the points need of all values."""
        return await self._once("held", self._read_held)

    async def environments(self) -> dict[str, str]:
        """Return the environments by the labels of namespaces."""
        return await self._once("environments", self._environments)

    async def metrics(self) -> str:
        """Return the metrics of the API server."""
        return await self._once("metrics", lambda: self.api.text("/metrics"))

    async def _once(self, what: str, read: Callable[[], Coroutine[Any, Any, _Read]]) -> _Read:
        """Read once for all points; a failure is kept as well."""
        if what not in self._read:
            self._read[what] = asyncio.ensure_future(read())
        found: _Read = await self._read[what]
        return found

    async def _read_declared(self) -> list[Declared]:
        cache, found = InformerCache(), list[ObjectKey]()
        for body in await self._all(paths.managed_secrets(self.namespace)):
            cache.put_managed(body)
            found.append(ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"]))
        # What classes add is missing without the right; a point that needs it lists the classes as well.
        with contextlib.suppress(errors.Forbidden):
            for body in await self.list_classes():
                cache.put_class(body)
        return [_declared_in(cache, key) for key in found]

    async def _read_held(self) -> list[Held]:
        found: list[Held] = []
        async for page in self.api.pages(paths.secrets(self.namespace), limit=_PAGE_SIZE):
            if page.first:
                found.clear()
            for body in page.items:
                found += held_in(body, self.mark)
            page.items.clear()
        return found

    async def _environments(self) -> dict[str, str]:
        cache = InformerCache()
        bodies = await self._all(paths.namespaces(), metadata_only=True)
        for body in bodies:
            cache.put_namespace(body)
        names = [body["metadata"]["name"] for body in bodies]
        return {name: found for name in names if (found := cache.environment(name))}

    async def _all(self, path: str, *, metadata_only: bool = False) -> list[Body]:
        found: list[Body] = []
        async for page in self.api.pages(path, metadata_only=metadata_only):
            if page.first:
                found.clear()
            found += page.items
        return found


def _declared_in(cache: InformerCache, key: ObjectKey) -> Declared:
    known = cache.managed(key)
    assert known is not None, "it was just put in"  # noqa: S101
    managed, _ = known
    secret_class, desired = None, None
    try:
        name = cache.class_name(managed.spec.class_name)
        secret_class = cache.secret_class(name) if name else None
        if secret_class or not name:  # without the class that it names, a spec cannot be followed
            of_values = cache.classes_of_values(managed)
            desired = resolve_spec(
                managed, secret_class, lambda recipe: generator_for(recipe).outputs, of_values
            )
    except Stalled:
        pass  # its status has the error
    return Declared(managed, secret_class, desired)


def held_in(body: Body, mark: bytes) -> Iterator[Held]:
    """Judge the values of a Secret; none of them is needed afterwards."""
    if body.get("type") in _LEFT_OUT:
        return
    meta = meta_of(body)
    for key, text in (body.get("data") or {}).items():
        value = Value.from_base64(text)
        yield Held(
            namespace=meta.namespace,
            secret=meta.name,
            key=key,
            owner=meta.owner,
            is_written=meta.written,
            is_weak=is_weak(key, value),
            mark=hmac.digest(mark, value.reveal(), "sha256") if _is_compared(key, value) else b"",
        )


def _is_compared(key: str, value: Value) -> bool:
    content = value.reveal()
    is_short = len(content) < _MIN_COMPARED_LENGTH
    return not (is_short or is_public(key, value) or _WITHOUT_LOGIN.fullmatch(content))


def reported(one: Declared, point: Point, but: Collection[str] = ()) -> Iterator[Finding]:
    """Return the rules of a point that a status reports as violated, except those that are checked otherwise."""
    for violation in reported_violations(one.managed.status):
        if POINTS[violation.rule] is point and violation.rule not in but:
            evidence = f"it violates the rule {violation.rule}: {violation.message}"
            yield Finding(point, Verdict.FAIL, evidence, "change the spec or rotate", one.where)


async def find_or_explain(
    point: Point, find: Callable[[], Awaitable[list[Finding]]], *, quiet: bool = False
) -> list[Finding]:
    """Check a point, or return why that failed; with `quiet` a cluster without Keyturn gives no finding."""
    try:
        return await find()
    except errors.Forbidden as refused:
        return [_forbidden(point, refused)]
    except errors.Unavailable as trouble:
        if trouble.status != HTTPStatus.NOT_FOUND:
            raise
        if quiet:
            return []
        if trouble.path == _METRICS:
            evidence, remedy = (
                "the API server serves no /metrics to you",
                "ask the administrator of the cluster",
            )
        else:
            evidence, remedy = "Keyturn is not installed there", "install it: kubectl apply -k manifests/base"
        return [Finding(point, Verdict.UNKNOWN, evidence, remedy)]


def _forbidden(point: Point, refused: errors.ApiError) -> Finding:
    if refused.path == _METRICS:
        what = "get /metrics of the API server"
        remedy = "ask for a ClusterRole with nonResourceURLs: [/metrics] and verbs: [get]"
    else:
        parts = refused.path.split("/")
        place = parts[parts.index("namespaces") + 1 :][:1] if "namespaces" in parts[:-1] else []
        where = f"in namespace {place[0]}" if place else "in all namespaces"
        what = f"{refused.verb} {paths.resource(refused.path)} {where}"
        remedy = f"ask for the right to {what}"
    return Finding(point, Verdict.UNKNOWN, f"you may not {what}", remedy)
