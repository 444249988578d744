"""New objects as a load for any controller; the cost of an object by commit."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import orjson

from . import results
from .cluster import BenchmarkError, for_each, is_ready, memory_of, names, watching
from .contender import Contender, System, keyturn
from .servers import sampled
from .stores import percentiles

_SETTLED_WITHIN = 180.0
PATIENCE = 60.0
"""Seconds until all are Ready; more than 600 objects have longer."""


async def load(contender: Contender, objects: int) -> dict[str, float]:
    """Create objects as fast as the API server takes them, and wait until all are Ready and all work is done.

    Raises:
        BenchmarkError: The controller ended, or did not make all objects Ready in time.
    """
    return await contender.measured(_load(contender, objects))


async def _load(contender: Contender, objects: int) -> dict[str, float]:
    system, path = System(contender.cluster.plane, contender.program), await contender.path()
    await system.is_up()
    created: dict[str, float] = {}

    async def create(name: str) -> None:
        body = contender.template.body(name)
        created[name] = asyncio.get_running_loop().time()
        await contender.cluster.bare.create(path, body)

    async with sampled() as speed:
        before = system.reading()
        async with watching(contender.cluster, path, is_ready) as ready:
            await for_each(names("secret", objects), create)
            try:
                last = await ready.counts(objects, max(PATIENCE, objects / 10))
            except TimeoutError as error:
                raise BenchmarkError(f"its objects did not become Ready: {error}") from None
        memory = memory_of(contender.program.pid)
        used = await system.is_settled(_SETTLED_WITHIN)
    return {
        "objects": objects,
        "per_second": objects / (last - min(created.values())),
        **percentiles([ready.passed[name] - began for name, began in created.items()]),
        **used.each(objects, before),
        "rss_mib": memory["rss"],
        "peak_mib": memory["peak"],
        "work_ms": speed.ms,
    }


# Commit by commit

Run: TypeAlias = "dict[str, float]"
_PARTS = ("controller_ms", "api_server_ms", "etcd_ms")
_MOST = 1.10


async def check(options: argparse.Namespace) -> None:
    """Compare the cost of a new object with the counters that are kept for as many objects; or keep these.

    A counter is seconds of processor in parts of a fixed piece of work that is sampled meanwhile: a machine that is
    half as fast, or busy, doubles both. The least of several runs counts.

    Raises:
        BenchmarkError: A counter has grown by more than a tenth, or none is kept.
    """
    objects, runs, file = options.objects or 1000, list[Run](), options.results / "counters" / "creation.json"
    for number in range(1, options.runs + 1):
        async with keyturn("generated") as contender:
            figures = await load(contender, objects)
        runs.append({key: figures[key] for key in (*_PARTS, "calls", "work_ms")})
        print(f"check {number}/{options.runs}: {results.rounded(runs[-1])}", flush=True)
    if options.keep:
        results.keep(file.stem, runs, file.parent, objects=objects)
        return
    before = orjson.loads(file.read_bytes()) if file.exists() else {}
    if before.get("objects") != objects:
        raise BenchmarkError(f"no counters of {objects} objects are kept; --keep keeps these")
    for fact in ("processor", "versions"):
        if before[fact] != (here := results.circumstances()[fact]):
            print(f"the kept counters are of other {fact}: {before[fact]}, here {here}", flush=True)
    if found := grown(before["runs"], runs):
        raise BenchmarkError(f"an object costs more than at commit {before['commit']}: {'; '.join(found)}")


def grown(before: Sequence[Run], now: Sequence[Run]) -> list[str]:
    """Name each counter that is more than a tenth above its kept value."""
    was = _counters(before)
    parts = {key: counter / was[key] for key, counter in _counters(now).items()}
    return [f"{key} is {part:.2f} of what it was" for key, part in parts.items() if part > _MOST]


def _counters(runs: Sequence[Run]) -> Run:
    """Return the least of each counter; processor is in parts of the fixed work."""
    least = {key: min(run[key] / run["work_ms"] for run in runs) for key in _PARTS}
    return {**least, "calls": min(run["calls"] for run in runs)}
