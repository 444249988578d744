"""A controller that is measured: its programs, the objects that it works on, and what all that costs the system."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import orjson
import yaml

from keyturn.core import labels
from keyturn.kube import errors
from sandbox.commands import API_SERVER, ETCD
from sandbox.harness import Kubectl

from . import process
from .cluster import ACCOUNT, NAMESPACE, BenchmarkError, RefusedError, fresh
from .process import are_quiet, cpu_of, memory_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from sandbox import ControlPlane

    from .cluster import Body, Cluster, Planes

T = TypeVar("T")
CONTROLLER = "controller"
RELOADER = "reloader"
"""A second program of a controller, which restarts workloads."""
SHIPPED = Path(__file__).with_name("templates")
_NAME = "${name}"
_OTHERS = "others"
_GROUPS = {API_SERVER: "api_server", ETCD: "etcd"}
_PLANE = (*_GROUPS.values(), _OTHERS)
"""The parts of a control plane; the others are the controller manager, the scheduler and kwok."""
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_APART = frozenset({"leases", "selfsubjectaccessreviews"})
"""The leader election, and a check of permissions at the start: neither grows with the objects."""
_SETTLED = 4.0
_STARTED_WITHIN = 120.0
_LOOK = 0.5


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

    def with_spec(self, **more: Any) -> Template:
        """Return the template with more fields in the spec of its object."""
        body = self.body(_NAME)
        return replace(self, each=json.dumps({**body, "spec": {**body["spec"], **more}}))

    def prepare(self, kubectl: Kubectl) -> None:
        """Create what is needed once."""
        for body in self.once:
            kubectl("apply", "-n", NAMESPACE, "-f", "-", given=body)


@dataclass(frozen=True, slots=True)
class Running:
    """A program of a controller that runs."""

    name: str
    pid: int
    user: str
    """Its user at the API server."""
    exit_code: Callable[[], int | None]
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return "\n  ".join((f"the log of {self.name} ends with:", *lines))

    async def fail_at_end(self) -> None:
        """Wait until it has ended, which is an error."""
        while (code := await asyncio.to_thread(self.exit_code)) is None:  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(_LOOK)
        raise BenchmarkError(f"{self.name} ended with exit code {code} before its objects were done")


@dataclass(frozen=True, slots=True)
class Contender:
    """A controller that runs on a control plane of its own, and the objects that it makes Ready."""

    name: str
    cluster: Cluster
    programs: Mapping[str, Running]
    """By part of the system: the controller, and perhaps one that restarts workloads."""
    template: Template
    condition: str
    """The type of the condition that says that an object is done."""
    refresh: str
    """The annotation of an object whose new text requests that its values are read again."""

    def memory(self) -> dict[str, float]:
        """Return MiB of all programs together now and at most, and of each further one alone."""
        found = {part: memory_of(program.pid) for part, program in self.programs.items()}
        return {
            "rss_mib": sum(one["rss"] for one in found.values()),
            "peak_mib": sum(one["peak"] for one in found.values()),
            **{f"{part}_rss_mib": one["rss"] for part, one in found.items() if part != CONTROLLER},
        }

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
        alarms = [asyncio.ensure_future(one.fail_at_end()) for one in self.programs.values()]
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait((task, *alarms), return_when=asyncio.FIRST_COMPLETED)
            for one in done - {task}:
                one.result()
            return task.result()
        except (BenchmarkError, TimeoutError) as error:
            words = "; ".join(one.last_words() for one in self.programs.values())
            raise BenchmarkError(f"{self.name}: {error}; {words}") from None
        except ExceptionGroup as group:
            if refused := group.subgroup(RefusedError):
                first = refused.exceptions[0]
                raise BenchmarkError(f"the API server refuses an object of {self.name}: {first}") from None
            raise
        finally:
            for one in (task, *alarms):
                one.cancel()
            await asyncio.gather(task, *alarms, return_exceptions=True)


@asynccontextmanager
async def keyturn(
    values: str, store: str = "", planes: Planes = fresh, **spec: Any
) -> AsyncIterator[Contender]:
    """Run Keyturn as shipped, with `generated` values, or `pulled` ones; `spec` has more fields of its objects."""
    template = Template.read(SHIPPED / f"keyturn-{values}.yaml", store=store).with_spec(**spec)
    flags = (f"--allow-host={urlsplit(store).netloc}",) if values == "pulled" else ()
    user = f"system:serviceaccount:{':'.join(ACCOUNT)}"
    async with planes() as cluster, process.running(cluster, *flags) as operator:
        template.prepare(Kubectl(cluster.plane.kubeconfig))
        program = Running("Keyturn", operator.pid, user, lambda: operator.exit_code, operator.log)
        yield Contender("Keyturn", cluster, {CONTROLLER: program}, template, "Ready", labels.REFRESH)


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
    """What a system has used up to a moment, or between two."""

    at: float
    cpu: dict[str, float]
    """Seconds by part, in user and kernel."""
    calls: dict[str, int]
    """By program of the controller."""
    writes: dict[str, int]

    def since(self, before: Reading) -> Reading:
        return Reading(
            self.at - before.at,
            {part: seconds - before.cpu[part] for part, seconds in self.cpu.items()},
            {part: calls - before.calls[part] for part, calls in self.calls.items()},
            {part: writes - before.writes[part] for part, writes in self.writes.items()},
        )

    def beyond(self, rest: Reading) -> Reading:
        """Return the same without the processor that the system uses at rest in as much time."""
        share = self.at / rest.at
        cpu = {part: max(0.0, seconds - rest.cpu[part] * share) for part, seconds in self.cpu.items()}
        return Reading(self.at, cpu, self.calls, self.writes)

    def each(self, objects: int) -> dict[str, float]:
        """Return processor milliseconds by part, and calls, for each object; `controller` is all of its programs."""
        ms = {part: seconds * 1000 / objects for part, seconds in self.cpu.items()}
        figures = {f"{part}_ms": ms[part] for part in _PLANE}
        for part in self.calls.keys() - {CONTROLLER}:
            figures[f"{part}_ms"] = ms[part]
            figures[f"{part}_calls"] = self.calls[part] / objects
            figures[f"{part}_writes"] = self.writes[part] / objects
        return {
            **figures,
            f"{CONTROLLER}_ms": sum(ms[part] for part in self.calls),
            "system_ms": sum(ms.values()),
            "calls": sum(self.calls.values()) / objects,
            "writes": sum(self.writes.values()) / objects,
        }


class System:
    """A control plane and a controller on it."""

    def __init__(self, plane: ControlPlane, programs: Mapping[str, Running]) -> None:
        self._pids: dict[str, list[int]] = {part: [] for part in _PLANE}
        self._pids |= {part: [program.pid] for part, program in programs.items()}
        self._own = [program.pid for program in programs.values()]
        for name, program in plane.programs().items():
            if program.ended is None and program.pid not in self._own:
                self._pids[_GROUPS.get(name, _OTHERS)].append(program.pid)
        self._logs = {part: AuditLog(plane.audit_log, program.user) for part, program in programs.items()}

    def reading(self) -> Reading:
        for log in self._logs.values():
            log.read()
        return Reading(
            asyncio.get_running_loop().time(),
            {part: sum(map(cpu_of, pids)) for part, pids in self._pids.items()},
            {part: log.calls for part, log in self._logs.items()},
            {part: log.writes for part, log in self._logs.items()},
        )

    async def is_up(self) -> None:
        """Wait until each program of the controller has called the API server, and then rests."""
        async with asyncio.timeout(_STARTED_WITHIN):
            while not all(self.reading().calls.values()):  # noqa: ASYNC110  # a file has no event
                await asyncio.sleep(_LOOK)
            await are_quiet(self._own, 2.0)

    async def at_rest(self, seconds: float, pulse: float) -> Reading:
        """Wait until the system uses at most `pulse` of a core, and return what it then uses in so many seconds."""
        await are_quiet([pid for pids in self._pids.values() for pid in pids], 2.0, pulse)
        before = self.reading()
        await asyncio.sleep(seconds)
        return self.reading().since(before)

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
