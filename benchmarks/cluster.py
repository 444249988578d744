"""A fresh control plane with Keyturn installed: what a benchmark writes to it, and how it watches for the result."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import orjson

from keyturn.core import labels
from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api
from sandbox import ControlPlane
from sandbox.harness import Kubectl, installation

from .process import are_quiet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    import aiohttp

NAMESPACE = "bench"
ACCOUNT = (installation.NAMESPACE, "keyturn")
"""Namespace and name of the operator's ServiceAccount in `manifests/base`."""
Body: TypeAlias = "dict[str, Any]"
Test: TypeAlias = "Callable[[Body], bool]"
Planes: TypeAlias = "Callable[[], AbstractAsyncContextManager[Cluster]]"
"""Where a benchmark gets its control planes from."""

T = TypeVar("T")
_CONNECTIONS = 32
_SETTLED = 2.0
_PULSE = 0.25
"""What a control plane at rest uses of a core: heartbeats, leases, compaction."""
_WATCH_SECONDS = 60


class BenchmarkError(Exception):
    """A benchmark ends without a figure, or with a bad one; the message is for the user."""


class RefusedError(Exception):
    """The API server refuses a call."""


class Bare:
    """A client that decides and reads nothing: the floor, and the one that creates the objects."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def create(self, path: str, body: Body) -> None:
        await self._call("POST", path, "application/json", body)

    async def merge(self, path: str, body: Body) -> None:
        await self._call("PATCH", path, "application/merge-patch+json", body)

    async def delete(self, path: str) -> None:
        await self._call("DELETE", path, "application/json", {})

    async def _call(self, method: str, path: str, content_type: str, body: Body) -> None:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        url = self._server + path
        async with self._session.request(method, url, data=orjson.dumps(body), headers=headers) as answer:
            text = await answer.text()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"{method} {path}: {answer.status} {text[:1000]}")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One control plane."""

    operator_kubeconfig: Path
    folder: Path
    bare: Bare
    api: Api
    plane: ControlPlane


@asynccontextmanager
async def fresh() -> AsyncIterator[Cluster]:
    """Run a control plane with Keyturn installed until the block ends."""
    async with prepared(_install) as cluster:
        yield cluster


@asynccontextmanager
async def prepared(install: Callable[[ControlPlane, Path], Path]) -> AsyncIterator[Cluster]:
    """Run a control plane until the block ends; `install` returns the kubeconfig of the controller to be measured."""
    with tempfile.TemporaryDirectory(prefix="keyturn-benchmark-") as folder:
        plane = await asyncio.to_thread(ControlPlane.start)
        try:
            kubeconfig = await asyncio.to_thread(install, plane, Path(folder))
            await are_quiet([one.pid for one in plane.programs().values()], _SETTLED, _PULSE)
            async with connected(plane, kubeconfig, Path(folder)) as cluster:
                yield cluster
        finally:
            await asyncio.to_thread(plane.stop)


@asynccontextmanager
async def connected(plane: ControlPlane, kubeconfig: Path, folder: Path) -> AsyncIterator[Cluster]:
    """Connect to a control plane as its administrator; `kubeconfig` is that of the controller."""
    connection = await config.load(str(plane.kubeconfig))
    async with config.session(connection) as session:
        bare, api = Bare(session, connection.server), Api(session, connection.server)
        yield Cluster(kubeconfig, folder, bare, api, plane)


def _install(plane: ControlPlane, folder: Path) -> Path:
    """Install the shipped manifests; return a kubeconfig with exactly the rights that they give."""
    kubectl = Kubectl(plane.kubeconfig)
    installation.install_crds(kubectl)
    installation.install(kubectl)  # without pods: the measured operator is a process of this machine
    installation.create_namespace(kubectl, NAMESPACE)
    return plane.service_account_kubeconfig(*ACCOUNT, folder / "operator.kubeconfig")


# What is created


def names(kind: str, objects: int) -> list[str]:
    return [f"{kind}-{number:05}" for number in range(objects)]


def managed_secret(name: str, **spec: Any) -> Body:
    """Make a ManagedSecret with one generated password."""
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"data": [{"name": "password", "generate": {"password": {}}}], **spec},
    }


async def create_managed(
    names: Collection[str], cluster: Cluster, body_of: Callable[[str], Body] = managed_secret
) -> None:
    """Create objects as fast as the API server takes them, and wait until all are Ready."""
    async with watching(cluster, paths.managed_secrets(NAMESPACE), among(names, is_ready)) as ready:
        await for_each(
            names, lambda name: cluster.bare.create(paths.managed_secrets(NAMESPACE), body_of(name))
        )
        await ready.counts(len(names), max(180, len(names) / 10))


async def request_rotation(name: str, cluster: Cluster, request: str = "now") -> None:
    """Request a rotation by annotation; each further one of an object needs another text."""
    change = {"metadata": {"annotations": {labels.ROTATE: request}}}
    await cluster.bare.merge(paths.managed_secret(NAMESPACE, name), change)


async def for_each(
    items: Iterable[T], call: Callable[[T], Awaitable[None]], at_once: int = _CONNECTIONS
) -> None:
    """Make one call for each item, by default as many at a time as there are connections."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await call(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


# What is watched


class Crowd:
    """The objects of a collection that pass a test, and when each first did; and when each was deleted."""

    def __init__(self, passes: Test) -> None:
        self._passes = passes
        self._changed = asyncio.Event()
        self.passed: dict[str, float] = {}
        self.gone: dict[str, float] = {}

    def take(self, kind: str, body: Body) -> None:
        """Take an event of the watch; a bookmark has no name."""
        name, now = body["metadata"].get("name", ""), asyncio.get_running_loop().time()
        if kind == "DELETED":
            self.gone[name] = now
            self._changed.set()
        elif kind in {"ADDED", "MODIFIED"} and name not in self.passed and self._passes(body):
            self.passed[name] = now
            self._changed.set()

    async def counts(self, number: int, patience: float) -> float:
        """Wait until that many have passed; return the loop time of the last."""
        try:
            await self._until(lambda: len(self.passed) >= number, patience)
        except TimeoutError:
            raise TimeoutError(f"{len(self.passed)} of {number} within {patience:.0f} s") from None
        return max(self.passed.values())

    async def loses(self, names: Collection[str], patience: float) -> float:
        """Wait until objects are deleted; return the loop time of the last."""
        await self._until(lambda: self.gone.keys() >= set(names), patience)
        return max(self.gone[name] for name in names)

    async def _until(self, is_so: Callable[[], bool], patience: float) -> None:
        async with asyncio.timeout(patience):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def watching(
    cluster: Cluster, path: str, passes: Test, params: Mapping[str, str] | None = None
) -> AsyncIterator[Crowd]:
    """Watch a collection from now on while the block lasts; `params` may have a `labelSelector`."""
    crowd = Crowd(passes)
    page = await anext(aiter(cluster.api.pages(path, params, limit=1)))
    task = asyncio.create_task(_follow(cluster, path, page.resource_version, crowd, params))
    try:
        yield crowd
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(
    cluster: Cluster, path: str, version: str, crowd: Crowd, params: Mapping[str, str] | None
) -> None:
    while True:
        changes = cluster.api.watch(path, version, params, timeout_seconds=_WATCH_SECONDS)
        try:
            async with aclosing(changes):
                async for kind, body in changes:
                    version = body["metadata"]["resourceVersion"]
                    crowd.take(kind, body)
        except errors.Throttled:
            await asyncio.sleep(0.1)  # the API server has just begun to serve this kind


def among(names: Collection[str], passes: Test) -> Test:
    """Make the test for objects of these names alone; others of the collection change as well."""
    known = frozenset(names)
    return lambda body: body["metadata"]["name"] in known and passes(body)


def has_revision(revision: int) -> Test:
    """Make the test of a Secret for a published revision."""

    def has(body: Body) -> bool:
        annotations = body["metadata"].get("annotations") or {}
        return bool(annotations.get("keyturn.dev/revision") == str(revision))

    return has


def is_ready(body: Body) -> bool:
    conditions = body.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
