"""A fresh control plane and the operator on it: what a benchmark writes, how it watches for the result, the cost."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import aiohttp
import orjson

from keyturn.core import labels
from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api
from keyturn.kube.session import SessionTransport, open_session
from sandbox import ControlPlane, harness
from sandbox.harness import Kubectl, installation

NAMESPACE = "bench"
LOCAL = "--allow-host=127.0.0.1"
"""The option that lets the operator connect to a server of this machine."""
ACCOUNT = (installation.NAMESPACE, "keyturn")
"""Namespace and name of the operator's ServiceAccount in `manifests/base`."""
Body: TypeAlias = "dict[str, Any]"
Test: TypeAlias = "Callable[[Body], bool]"
Planes: TypeAlias = "Callable[[], AbstractAsyncContextManager[Cluster]]"
"""Where a benchmark gets its control planes from."""

T = TypeVar("T")
_CONNECTIONS = 32
_PULSE = 0.25
"""What a control plane at rest uses of a core: heartbeats, leases, compaction."""
_START_TIMEOUT, _QUIET_WITHIN = 180.0, 900.0
_REQUESTS = re.compile(
    r'^keyturn_api_requests_total\{code="\d+",resource="([^"]*)",verb="([^"]*)"\} (\S+)$', re.MULTILINE
)
_STREAMS = frozenset({"list", "watch"})
_READS = _STREAMS | {"get"}


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
async def prepared(install: Callable[[ControlPlane, Path], Path]) -> AsyncIterator[Cluster]:
    """Run a control plane until the block ends; `install` returns the kubeconfig of the controller to be measured."""
    with tempfile.TemporaryDirectory(prefix="keyturn-benchmark-") as folder:
        plane = await asyncio.to_thread(ControlPlane.start)
        try:
            kubeconfig = await asyncio.to_thread(install, plane, Path(folder))
            await are_quiet([one.pid for one in plane.programs().values()], 2.0, _PULSE)
            async with connected(plane, kubeconfig, Path(folder)) as cluster:
                yield cluster
        finally:
            await asyncio.to_thread(plane.stop)


@asynccontextmanager
async def connected(plane: ControlPlane, kubeconfig: Path, folder: Path) -> AsyncIterator[Cluster]:
    """Connect to a control plane as its administrator; `kubeconfig` is that of the controller."""
    connection = await config.load(str(plane.kubeconfig))
    async with open_session(connection) as session:
        bare, api = Bare(session, connection.server), Api(SessionTransport(session), connection.server)
        yield Cluster(kubeconfig, folder, bare, api, plane)


def _install(plane: ControlPlane, folder: Path) -> Path:
    """Install the shipped manifests; return a kubeconfig with exactly the rights that they give."""
    kubectl = Kubectl(plane.kubeconfig)
    installation.install_crds(kubectl)
    installation.install(kubectl)  # without pods: the measured operator is a process of this machine
    installation.create_namespace(kubectl, NAMESPACE)
    return plane.service_account_kubeconfig(*ACCOUNT, folder / "operator.kubeconfig")


fresh: Planes = partial(prepared, _install)
"""Run a control plane with Keyturn installed until the block ends."""


# What is created


def names(kind: str, objects: int) -> list[str]:
    return [f"{kind}-{number:05}" for number in range(objects)]


def managed_secret(name: str, **spec: Any) -> Body:
    """Make a ManagedSecret with one generated password."""
    return keyturn_object(
        "ManagedSecret", name, {"data": [{"name": "password", "generate": {"password": {}}}], **spec}
    )


def keyturn_object(kind: str, name: str, spec: Body) -> Body:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "keyturn.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def secret(name: str, data: Mapping[str, bytes], **metadata: Any) -> Body:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata |= {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


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


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Work while the block lasts; what is not done at its end is cancelled."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


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
    async with beside(_follow(cluster, path, page.resource_version, crowd, params)):
        yield crowd


async def _follow(
    cluster: Cluster, path: str, version: str, crowd: Crowd, params: Mapping[str, str] | None
) -> None:
    while True:
        changes = cluster.api.watch(path, version, params, timeout_seconds=60)
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
    return lambda body: bool(
        (body["metadata"].get("annotations") or {}).get("keyturn.dev/revision") == str(revision)
    )


def is_ready(body: Body) -> bool:
    conditions = body.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


# The operator as a process, and its cost: processor, memory and calls to the API server


class Usage(NamedTuple):
    """What a process has used up to a moment, or between two."""

    cpu: float
    """Seconds, of all threads, in user and kernel."""
    calls: float
    """To the API server, without lists, watches and what the lease takes."""
    writes: float
    """Those of the calls that write."""
    lease_writes: float
    requests: float
    """The calls, and each page of a list and each watch."""

    def since(self, before: Usage) -> Usage:
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


class Operator:
    """One operator process that runs, and what it uses."""

    def __init__(self, process: harness.Operator) -> None:
        self._process = process
        self.pid, self.log = process.pid, process.log

    async def has_logged(self, event: str) -> None:
        """Wait until the process logs an event."""
        await asyncio.to_thread(self._process.wait_for_log, event, _START_TIMEOUT)

    async def is_quiet(self, seconds: float = 2.0) -> float:
        """Wait until it has used next to no processor for `seconds`; return when that began (loop time)."""
        return await are_quiet([self.pid], seconds)

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def usage(self) -> Usage:
        cpu = cpu_of(self.pid)  # before the question, which itself takes some with many objects
        counts = [(what, verb, int(float(n))) for what, verb, n in _REQUESTS.findall(await self.metrics())]
        # A review of rights is answered and not stored: a start asks for each right once.
        ours = [(verb, n) for what, verb, n in counts if what not in {"leases", "selfsubjectaccessreviews"}]
        return Usage(
            cpu,
            calls=sum(n for verb, n in ours if verb not in _STREAMS),
            writes=sum(n for verb, n in ours if verb not in _READS),
            lease_writes=sum(n for what, verb, n in counts if what == "leases" and verb not in _READS),
            requests=sum(n for _, n in ours),
        )

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self._process.port('metrics_port')}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()


@asynccontextmanager
async def running(
    cluster: Cluster, *arguments: str, name: str = "operator", event: str = "leading"
) -> AsyncIterator[Operator]:
    """Run the operator as it is shipped, with the rights that it is shipped with, until the block ends.

    It begins when the process has logged an event, which for a standby is `watching`. The log has the process's name.
    """
    log, env = cluster.folder / f"{name}.log", {"POD_NAMESPACE": installation.NAMESPACE}
    process = harness.Operator(cluster.operator_kubeconfig, log, "--all-namespaces", *arguments, env=env)
    try:
        process.begin()
        operator = Operator(process)
        await operator.has_logged(event)
        yield operator
    finally:
        await asyncio.to_thread(process.end)


async def are_quiet(pids: Collection[int], seconds: float, share: float = 0.02) -> float:
    """Wait until processes have used no more than a share of a core for `seconds`; return when that began.

    Only the kernel is asked, so that the question costs them nothing.
    """
    loop = asyncio.get_running_loop()
    began, used = loop.time(), sum(map(cpu_of, pids))
    async with asyncio.timeout(_QUIET_WITHIN):
        while loop.time() - began < seconds:
            await asyncio.sleep(0.1)
            now = sum(map(cpu_of, pids))
            if now - used > share * max(1.0, loop.time() - began):
                began, used = loop.time(), now
    return began


def cpu_of(pid: int) -> float:
    """Return the seconds of processor that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> dict[str, float]:
    """Return MiB: what a process holds now, and the most that it ever held."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return {"rss": int(found["VmRSS"]) / 1024, "peak": int(found["VmHWM"]) / 1024}
