"""Load for any controller: creates objects at once, times each until it is Ready, and counts what all that costs."""

from __future__ import annotations

import asyncio
import statistics
from typing import TYPE_CHECKING

from .cluster import NAMESPACE, RefusedError, for_each
from .errors import PeerError
from .speed import sampled
from .watching import has_condition, watching

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .contender import Contender

_SETTLED_WITHIN = 180.0
_PERCENT = 100


async def load(contender: Contender, objects: int, patience: float) -> dict[str, float]:
    """Create objects as fast as the API server takes them, and wait until all are Ready and all work is done.

    Raises:
        PeerError: The controller ended, or did not make all objects Ready in time.
    """
    return await contender.unless_it_ends(_measure(contender, objects, patience))


async def _measure(contender: Contender, objects: int, patience: float) -> dict[str, float]:
    system = contender.system()
    await contender.is_up(system)
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
            await create_all(contender, (f"secret-{number:05}" for number in range(objects)), create)
            done = f"make its objects {contender.condition}"
            last = await contender.brings(ready, objects, patience, done)
        memory = contender.memory()
        used = (await contender.is_settled(system, _SETTLED_WITHIN)).since(before)
    waited = [ready.passed[name] - began for name, began in created.items()]
    return {
        "objects": objects,
        "per_second": objects / (last - min(created.values())),
        **percentiles(waited),
        **used.each(objects),
        **memory,
        "work_ms": speed.ms,
    }


async def create_all(
    contender: Contender, names: Iterable[str], create: Callable[[str], Awaitable[None]]
) -> None:
    """Create an object of each name.

    Raises:
        PeerError: The API server refuses one.
    """
    try:
        await for_each(names, create)
    except ExceptionGroup as group:
        if refused := group.subgroup(RefusedError):
            first = refused.exceptions[0]
            raise PeerError(f"the API server refuses an object of {contender.name}: {first}") from None
        raise


def percentiles(waited: list[float]) -> dict[str, float]:
    """Return the median of waits, and the longest but for one in a hundred."""
    if len(waited) == 1:
        waited = waited * 2
    hundredths = statistics.quantiles(waited, n=_PERCENT, method="inclusive")
    return {"p50_seconds": hundredths[49], "p99_seconds": hundredths[98]}
