"""Load for any controller: creates objects at once, times each until it is Ready, and counts what all that costs."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .cluster import NAMESPACE, RefusedError, for_each
from .errors import PeerError
from .process import are_quiet, memory_of
from .speed import sampled
from .system import PROCESSES, System
from .watching import has_condition, watching

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path
    from typing import NoReturn

    from .cluster import Cluster
    from .system import Reading
    from .template import Template
    from .watching import Crowd

__all__ = ["Contender", "load", "percentiles"]

T = TypeVar("T")
_QUIET = 2.0
_STARTED_WITHIN = 120.0
_LOOK = 0.5
_LINES = 5
_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Contender:
    """A controller that runs on a control plane of its own, and the objects that it makes Ready."""

    name: str
    cluster: Cluster
    pid: int
    user: str
    """The controller's user at the API server."""
    template: Template
    condition: str
    """The type of the condition that says that an object is done."""
    exit_code: Callable[[], int | None]
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
        return "\n  ".join(("its log ends with:", *lines)) if lines else "its log is empty"

    async def fails_at_its_end(self) -> NoReturn:
        """Wait until the controller has ended, which is an error."""
        while (code := await asyncio.to_thread(self.exit_code)) is None:  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(_LOOK)
        raise PeerError(
            f"{self.name} ended with exit code {code} before its objects were done; {self.last_words()}"
        )


async def load(contender: Contender, objects: int, patience: float) -> dict[str, float]:
    """Create objects as fast as the API server takes them, and wait until all are Ready and all work is done.

    Raises:
        PeerError: The controller ended, or did not make all objects Ready in time.
    """
    system = System(contender.cluster.plane, contender.pid, contender.user)
    return await _before(contender.fails_at_its_end(), _measured(contender, system, objects, patience))


async def _before(alarm: Coroutine[None, None, NoReturn], work: Coroutine[None, None, T]) -> T:
    """Return what the work returns, or raise what the alarm raises before."""
    tasks = (asyncio.ensure_future(work), asyncio.ensure_future(alarm))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[1].done():
            tasks[1].result()
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _measured(contender: Contender, system: System, objects: int, patience: float) -> dict[str, float]:
    await _is_up(contender, system)
    created: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    path = await contender.template.path(contender.cluster.api, NAMESPACE)

    async def create(name: str) -> None:
        body = contender.template.body(name)
        created[name] = loop.time()
        await contender.cluster.bare.create(path, body)

    passes = has_condition(contender.condition)
    async with sampled() as speed:
        before = system.reading()
        async with watching(contender.cluster, path, passes) as ready:
            await _create_all(contender, objects, create)
            last = await _last_ready(contender, ready, objects, patience)
        memory = memory_of(contender.pid)
        used = (await _settled(contender, system)).since(before)
    waited = [ready.passed[name] - began for name, began in created.items()]
    return {
        "objects": objects,
        "per_second": objects / (last - min(created.values())),
        **percentiles(waited),
        **_costs(used, objects),
        "rss_mib": memory["rss"],
        "peak_mib": memory["peak"],
        "work_ms": speed.ms,
    }


async def _create_all(contender: Contender, objects: int, create: Callable[[str], Awaitable[None]]) -> None:
    try:
        await for_each((f"secret-{number:05}" for number in range(objects)), create)
    except ExceptionGroup as group:
        if refused := group.subgroup(RefusedError):
            first = refused.exceptions[0]
            raise PeerError(f"the API server refuses an object of {contender.name}: {first}") from None
        raise


async def _last_ready(contender: Contender, ready: Crowd, objects: int, patience: float) -> float:
    try:
        return await ready.counts(objects, patience)
    except TimeoutError as error:
        reason = f"{contender.name} did not make its objects {contender.condition}: {error}"
        raise PeerError(f"{reason}; {contender.last_words()}") from None


async def _settled(contender: Contender, system: System) -> Reading:
    try:
        return await system.is_settled()
    except TimeoutError:
        raise PeerError(f"{contender.name} keeps writing when all of its objects are done") from None


async def _is_up(contender: Contender, system: System) -> None:
    """Wait until the controller has called the API server, and then rests."""
    try:
        async with asyncio.timeout(_STARTED_WITHIN):
            await system.has_called()
            await are_quiet([contender.pid], _QUIET)
    except TimeoutError:
        raise PeerError(
            f"{contender.name} did not come to rest within {_STARTED_WITHIN:.0f} s of its start;"
            f" {contender.last_words()}"
        ) from None


def percentiles(waited: list[float]) -> dict[str, float]:
    """Return the median of waits, and the longest but for one in a hundred."""
    if len(waited) == 1:
        waited = waited * 2
    hundredths = statistics.quantiles(waited, n=_PERCENT, method="inclusive")
    return {"p50_seconds": hundredths[49], "p99_seconds": hundredths[98]}


def _costs(used: Reading, objects: int) -> dict[str, float]:
    """Return processor milliseconds by part, and calls, for each object."""
    each = {f"{part}_ms": used.cpu[part] * 1000 / objects for part in PROCESSES}
    return {
        **each,
        "system_ms": sum(each.values()),
        "calls": used.calls / objects,
        "writes": used.writes / objects,
    }
