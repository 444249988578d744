"""The operator as a process, and its cost: processor, memory and calls to the API server."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from sandbox import harness
from sandbox.harness import installation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from .cluster import Cluster

_START_TIMEOUT = 180.0
_QUIET_WITHIN = 900.0
_TICKS = os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(
    r'^keyturn_api_requests_total\{code="\d+",resource="([^"]*)",verb="([^"]*)"\} (\S+)$', re.MULTILINE
)
_STREAMS = frozenset({"list", "watch"})
_READS = _STREAMS | {"get"}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used up to a moment, or between two."""

    cpu: float
    """Seconds, of all threads, in user and kernel."""
    calls: int
    """To the API server, without lists, watches and what the lease takes."""
    writes: int
    """Those of the calls that write."""
    lease_writes: int
    requests: int
    """The calls, and each page of a list and each watch."""

    def since(self, before: Usage) -> Usage:
        return Usage(
            self.cpu - before.cpu,
            self.calls - before.calls,
            self.writes - before.writes,
            self.lease_writes - before.lease_writes,
            self.requests - before.requests,
        )


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

    def cpu(self) -> float:
        return cpu_of(self.pid)

    def memory(self) -> dict[str, float]:
        return memory_of(self.pid)

    async def usage(self) -> Usage:
        cpu = self.cpu()  # before the question, which itself takes some with many objects
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
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> dict[str, float]:
    """Return MiB: what a process holds now, and the most that it ever held."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return {"rss": int(found["VmRSS"]) / 1024, "peak": int(found["VmHWM"]) / 1024}
