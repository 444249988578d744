"""Cost of a whole system: processor of the control plane and of one controller, and the controller's API calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from sandbox.commands import API_SERVER, ETCD

from .process import cpu_of

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import ControlPlane

__all__ = ["CONTROLLER", "PROCESSES", "AuditLog", "Reading", "System"]

CONTROLLER = "controller"
_OTHERS = "others"
_GROUPS = {API_SERVER: "api_server", ETCD: "etcd"}
PROCESSES = (*_GROUPS.values(), CONTROLLER, _OTHERS)
"""The parts of a system; the others are the controller manager, the scheduler and kwok."""

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_APART = frozenset({"leases", "selfsubjectaccessreviews"})
"""The leader election, and a check of permissions at the start: neither grows with the objects."""
_SETTLED = 4.0
_SETTLED_WITHIN = 180.0
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


@dataclass(frozen=True, slots=True)
class Reading:
    """What a system has used up to a moment, or between two."""

    at: float
    cpu: dict[str, float]
    """Seconds by part, in user and kernel."""
    calls: int
    writes: int

    def since(self, before: Reading) -> Reading:
        cpu = {part: seconds - before.cpu[part] for part, seconds in self.cpu.items()}
        return Reading(self.at - before.at, cpu, self.calls - before.calls, self.writes - before.writes)


class System:
    """A control plane, and one controller or none."""

    def __init__(self, plane: ControlPlane, controller: int | None = None, user: str = "") -> None:
        self._pids: dict[str, list[int]] = {part: [] for part in PROCESSES}
        self._pids[CONTROLLER] = [] if controller is None else [controller]
        for name, program in plane.programs().items():
            if program.ended is None and program.pid != controller:
                self._pids[_GROUPS.get(name, _OTHERS)].append(program.pid)
        self._log = AuditLog(plane.audit_log, user)

    def reading(self) -> Reading:
        self._log.read()
        cpu = {part: sum(map(cpu_of, pids)) for part, pids in self._pids.items()}
        return Reading(asyncio.get_running_loop().time(), cpu, self._log.calls, self._log.writes)

    async def has_called(self) -> None:
        """Wait for the controller's first call."""
        while not self.reading().calls:  # noqa: ASYNC110  # a file has no event
            await asyncio.sleep(_LOOK)

    async def is_settled(self) -> Reading:
        """Wait until the controller has written nothing for a while; return what was used when that began.

        Work that follows the last status, such as events, is in it.
        """
        async with asyncio.timeout(_SETTLED_WITHIN):
            settled = self.reading()
            while (now := self.reading()).at - settled.at < _SETTLED:
                if now.writes != settled.writes:
                    settled = now
                await asyncio.sleep(_LOOK)
        return settled
