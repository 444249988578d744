"""Fresh control planes, with Keyturn installed as shipped or without it, and their clients."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import orjson

from keyturn.core import labels
from keyturn.kube import config, paths
from keyturn.kube.client import Api
from sandbox import ControlPlane
from sandbox.harness import Kubectl, installation

from .process import are_quiet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    import aiohttp

    from release.container import Container

NAMESPACE = "bench"
ACCOUNT = (installation.NAMESPACE, "keyturn")
"""Namespace and name of the operator's ServiceAccount in `manifests/base`."""
Planes: TypeAlias = "Callable[[], AbstractAsyncContextManager[Cluster]]"
"""Where a benchmark gets its control planes from."""

T = TypeVar("T")
_CONNECTIONS = 32
_SETTLED = 2.0
_PULSE = 0.25
"""What a control plane at rest uses of a core: heartbeats, leases, compaction."""


class RefusedError(Exception):
    """The API server refuses a call."""


class Bare:
    """Calls without anything around them: the floor, and the hand that makes the objects."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def create(self, path: str, body: dict[str, Any]) -> None:
        await self._call("POST", path, "application/json", body)

    async def merge(self, path: str, body: dict[str, Any]) -> None:
        await self._call("PATCH", path, "application/merge-patch+json", body)

    async def delete(self, path: str) -> None:
        await self._call("DELETE", path, "application/json", {})

    async def _call(self, method: str, path: str, content_type: str, body: dict[str, Any]) -> None:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        url = self._server + path
        async with self._session.request(method, url, data=orjson.dumps(body), headers=headers) as answer:
            text = await answer.read()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"{method} {path}: {answer.status} {_message(text)}")


def _message(text: bytes) -> str:
    """Return the message of a Status, or the start of any other answer."""
    try:
        return str(orjson.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One control plane that is up, and nothing of ours in it yet but the installation."""

    operator_kubeconfig: Path
    folder: Path
    bare: Bare
    api: Api
    plane: ControlPlane
    image: Container | None = None
    """The operator's image, or None if the operator runs with the interpreter of the benchmark."""


@asynccontextmanager
async def fresh(image: Container | None = None) -> AsyncIterator[Cluster]:
    """Start a control plane, install Keyturn, and take everything away at the end.

    Args:
        image: The operator runs from it.
    """
    async with prepared(_install) as cluster:
        yield replace(cluster, image=image)


@asynccontextmanager
async def prepared(install: Callable[[ControlPlane, Path], Path]) -> AsyncIterator[Cluster]:
    """Start a control plane, install into it, and take everything away at the end.

    Args:
        install: Gets the plane and a folder; returns the kubeconfig of the controller to be measured.
    """
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


def managed_secret(name: str, **spec: Any) -> dict[str, Any]:
    """Make a ManagedSecret with one generated password."""
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"data": [{"name": "password", "generate": {"password": {}}}], **spec},
    }


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
