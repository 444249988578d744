"""Cost of a whole system: processor of the control plane and of one controller, and the controller's API calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson

from sandbox.commands import API_SERVER, ETCD

from .process import cpu_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox import ControlPlane

CONTROLLER = "controller"
RELOADER = "reloader"
"""A second program of a controller, which restarts workloads."""
_OTHERS = "others"
_GROUPS = {API_SERVER: "api_server", ETCD: "etcd"}
_PLANE = (*_GROUPS.values(), _OTHERS)
"""The parts of a control plane; the others are the controller manager, the scheduler and kwok."""

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_APART = frozenset({"leases", "selfsubjectaccessreviews"})
"""The leader election, and a check of permissions at the start: neither grows with the objects."""
_SETTLED = 4.0
_LOOK = 0.5


class AuditLog:
    """The completed calls of one user in the audit log of an API server, from the first reading on."""

    def __init__(self, path: Path, user: str) -> None:
        self._path = path
        self._user = user
        self._named = orjson.dumps(user)
        self._offset = path.stat().st_size
        self.calls = 0
        """Without watches and without what `_APART` names."""
        self.writes = 0

    def read(self) -> None:
        """Count what has been added."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # the API server is still writing it
                self._offset += len(line)
                if self._named in line:
                    self._count(line)

    def _count(self, line: bytes) -> None:
        event = orjson.loads(line)
        is_call = event["stage"] == "ResponseComplete" and event["verb"] != "watch"
        resource = event.get("objectRef", {}).get("resource")
        if is_call and event["user"]["username"] == self._user and resource not in _APART:
            self.calls += 1
            self.writes += event["verb"] in _WRITES


class Client(NamedTuple):
    """A program of a controller."""

    pid: int
    user: str
    """Its user at the API server."""


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
    """A control plane, and one controller or none."""

    def __init__(self, plane: ControlPlane, controller: Mapping[str, Client] | None = None) -> None:
        clients = controller or {}
        self._pids: dict[str, list[int]] = {part: [] for part in _PLANE}
        self._pids |= {part: [client.pid] for part, client in clients.items()}
        known = {client.pid for client in clients.values()}
        for name, program in plane.programs().items():
            if program.ended is None and program.pid not in known:
                self._pids[_GROUPS.get(name, _OTHERS)].append(program.pid)
        self._logs = {part: AuditLog(plane.audit_log, client.user) for part, client in clients.items()}

    def reading(self) -> Reading:
        for log in self._logs.values():
            log.read()
        return Reading(
            asyncio.get_running_loop().time(),
            {part: sum(map(cpu_of, pids)) for part, pids in self._pids.items()},
            {part: log.calls for part, log in self._logs.items()},
            {part: log.writes for part, log in self._logs.items()},
        )

    @property
    def pids(self) -> list[int]:
        """The programs of the control plane and of the controller."""
        return [pid for pids in self._pids.values() for pid in pids]

    async def has_called(self) -> None:
        """Wait for the first call of each program of the controller."""
        while not all(self.reading().calls.values()):  # noqa: ASYNC110  # a file has no event
            await asyncio.sleep(_LOOK)

    async def is_settled(self, within: float) -> Reading:
        """Wait until the controller has written nothing for a while; return what was used when that began.

        Work that follows the last status, such as events, is in it.
        """
        async with asyncio.timeout(within):
            settled = self.reading()
            while (now := self.reading()).at - settled.at < _SETTLED:
                if now.writes != settled.writes:
                    settled = now
                await asyncio.sleep(_LOOK)
        return settled
