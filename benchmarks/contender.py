"""A controller that is measured: its program, the objects that it works on, and what all that costs the system."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import orjson
import yaml

from keyturn.kube import errors
from sandbox import ControlPlane
from sandbox.commands import API_SERVER, ETCD
from sandbox.harness import Kubectl

from .cluster import (
    ACCOUNT,
    NAMESPACE,
    BenchmarkError,
    Body,
    Cluster,
    Planes,
    RefusedError,
    are_quiet,
    cpu_of,
    fresh,
    running,
)

T = TypeVar("T")
CONTROLLER = "controller"
SHIPPED = Path(__file__).with_name("templates")
_NAME = "${name}"
_OTHERS = "others"
_GROUPS = {API_SERVER: "api_server", ETCD: "etcd"}
"""The parts of a control plane; the others are the controller manager, the scheduler and kwok."""
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_APART = frozenset({"leases", "selfsubjectaccessreviews"})
"""The leader election, and a check of permissions at the start: neither grows with the objects."""
_SETTLED, _STARTED_WITHIN, _LOOK = 4.0, 120.0, 0.5


@dataclass(frozen=True, slots=True)
class Template:
    """What a controller needs once, and the object that is created many times, with `${name}` in its JSON."""

    once: tuple[Body, ...]
    each: str

    @classmethod
    def read(cls, path: Path, **placeholders: str) -> Template:
        """Read a YAML file; the one document with `${name}` is created many times, all others once."""
        text = path.read_text(encoding="utf-8")
        for placeholder, value in placeholders.items():
            text = text.replace(f"${{{placeholder}}}", value)
        documents = [one for one in yaml.safe_load_all(text) if one]
        (each,) = (one for one in documents if _NAME in str(one["metadata"]))
        return cls(tuple(one for one in documents if one is not each), json.dumps(each))

    def body(self, name: str) -> Body:
        body: Body = orjson.loads(self.each.replace(_NAME, name))
        return body

    def prepare(self, kubectl: Kubectl) -> None:
        """Create what is needed once."""
        for body in self.once:
            kubectl("apply", "-n", NAMESPACE, "-f", "-", given=body)


@dataclass(frozen=True, slots=True)
class Running:
    """The program of a controller, which runs."""

    pid: int
    user: str
    """Its user at the API server."""
    exit_code: Callable[[], int | None]
    log: Path

    async def fail_at_end(self) -> None:
        """Wait until it has ended, which is an error."""
        while (code := await asyncio.to_thread(self.exit_code)) is None:  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(_LOOK)
        raise BenchmarkError(f"it ended with exit code {code} before its objects were done")


@dataclass(frozen=True, slots=True)
class Contender:
    """A controller that runs on a control plane of its own, and the objects that it makes Ready."""

    name: str
    cluster: Cluster
    program: Running
    template: Template

    async def path(self) -> str:
        """Return the collection of its objects, as the API server names it.

        Raises:
            BenchmarkError: The API server does not serve the kind.
        """
        body = self.template.body("any")
        version, kind = body["apiVersion"], body["kind"]
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            resources = (await self.cluster.api.get(group))["resources"]
        except errors.ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            resources = []
        for resource in resources:
            if resource["kind"] == kind and "/" not in resource["name"]:
                within = f"namespaces/{NAMESPACE}/" if resource["namespaced"] else ""
                return f"{group}/{within}{resource['name']}"
        raise BenchmarkError(f"the API server does not serve {version} {kind}: no CRD has it")

    async def measured(self, work: Coroutine[None, None, T]) -> T:
        """Return what the work returns.

        Raises:
            BenchmarkError: A program ended before, something did not happen in time, or an object was refused.
        """
        task, alarm = asyncio.ensure_future(work), asyncio.ensure_future(self.program.fail_at_end())
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if alarm.done():
                alarm.result()
            return task.result()
        except (BenchmarkError, TimeoutError) as error:
            lines = self.program.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise BenchmarkError("\n  ".join((f"{self.name}: {error}; its log ends with:", *lines))) from None
        except ExceptionGroup as group:
            if refused := group.subgroup(RefusedError):
                first = refused.exceptions[0]
                raise BenchmarkError(f"the API server refuses an object of {self.name}: {first}") from None
            raise
        finally:
            task.cancel()
            alarm.cancel()
            await asyncio.gather(task, alarm, return_exceptions=True)


@asynccontextmanager
async def keyturn(values: str, store: str = "", planes: Planes = fresh) -> AsyncIterator[Contender]:
    """Run Keyturn as shipped, with `generated` values, or `pulled` ones."""
    template = Template.read(SHIPPED / f"keyturn-{values}.yaml", store=store)
    flags = (f"--allow-host={urlsplit(store).netloc}",) if values == "pulled" else ()
    user = f"system:serviceaccount:{':'.join(ACCOUNT)}"
    async with planes() as cluster, running(cluster, *flags) as operator:
        template.prepare(Kubectl(cluster.plane.kubeconfig))
        program = Running(operator.pid, user, lambda: operator.exit_code, operator.log)
        yield Contender("Keyturn", cluster, program, template)


# The cost of the system


class AuditLog:
    """The completed calls of one user in the audit log of an API server."""

    def __init__(self, path: Path, user: str) -> None:
        self._path, self._user = path, user
        self._offset = 0
        self.calls = 0
        """Without watches and without what `_APART` names."""
        self.writes = 0

    def read(self) -> None:
        """Count what has been added."""
        named = orjson.dumps(self._user)
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # the API server is still writing it
                self._offset += len(line)
                if named in line:
                    self._count(orjson.loads(line))

    def _count(self, event: Body) -> None:
        is_call = event["stage"] == "ResponseComplete" and event["verb"] != "watch"
        resource = event.get("objectRef", {}).get("resource")
        if is_call and event["user"]["username"] == self._user and resource not in _APART:
            self.calls += 1
            self.writes += event["verb"] in _WRITES


@dataclass(frozen=True, slots=True)
class Reading:
    """What a system has used up to a moment."""

    at: float
    cpu: dict[str, float]
    """Seconds by part, in user and kernel."""
    calls: int
    writes: int

    def each(self, objects: int, before: Reading) -> dict[str, float]:
        """Return processor milliseconds by part, and calls, for each object since an earlier reading."""
        ms = {
            f"{part}_ms": (seconds - before.cpu[part]) * 1000 / objects for part, seconds in self.cpu.items()
        }
        return {
            **ms,
            "system_ms": sum(ms.values()),
            "calls": (self.calls - before.calls) / objects,
            "writes": (self.writes - before.writes) / objects,
        }


class System:
    """A control plane and a controller on it."""

    def __init__(self, plane: ControlPlane, program: Running) -> None:
        self._pids: dict[str, list[int]] = {part: [] for part in (*_GROUPS.values(), _OTHERS)}
        self._pids[CONTROLLER] = [program.pid]
        for name, one in plane.programs().items():
            if one.ended is None and one.pid != program.pid:
                self._pids[_GROUPS.get(name, _OTHERS)].append(one.pid)
        self._log = AuditLog(plane.audit_log, program.user)

    def reading(self) -> Reading:
        self._log.read()
        return Reading(
            asyncio.get_running_loop().time(),
            {part: sum(map(cpu_of, pids)) for part, pids in self._pids.items()},
            self._log.calls,
            self._log.writes,
        )

    async def is_up(self) -> None:
        """Wait until the controller has called the API server, and then rests."""
        async with asyncio.timeout(_STARTED_WITHIN):
            while not self.reading().calls:  # noqa: ASYNC110  # a file has no event
                await asyncio.sleep(_LOOK)
            await are_quiet(self._pids[CONTROLLER], 2.0)

    async def is_settled(self, within: float) -> Reading:
        """Wait until the controller has written nothing for a while; return what was used when that began.

        Work that follows the last status, such as Events, is in it.

        Raises:
            BenchmarkError: It keeps writing.
        """
        try:
            async with asyncio.timeout(within):
                settled = self.reading()
                while (now := self.reading()).at - settled.at < _SETTLED:
                    if now.writes != settled.writes:
                        settled = now
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise BenchmarkError("it keeps writing when all of its objects are done") from None
        return settled
