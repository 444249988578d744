"""Loads for any controller: new objects, and values that change in their store; the cost of an object by commit."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from keyturn.kube import paths

from . import results
from .cluster import NAMESPACE, BenchmarkError, for_each, fresh, has_condition, names, watching
from .contender import System, keyturn
from .rotation import DEPLOYMENTS, deployment, is_rolled
from .servers import change_values, sampled, value_of
from .stores import percentiles

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from .cluster import Body, Crowd, Test
    from .contender import Contender

_SETTLED_WITHIN = 180.0


async def load(contender: Contender, objects: int, patience: float) -> dict[str, float]:
    """Create objects as fast as the API server takes them, and wait until all are Ready and all work is done.

    Raises:
        BenchmarkError: The controller ended, or did not make all objects Ready in time.
    """
    return await contender.measured(_load(contender, objects, patience))


async def _load(contender: Contender, objects: int, patience: float) -> dict[str, float]:
    system, path = System(contender.cluster.plane, contender.programs), await contender.path()
    await system.is_up()
    created: dict[str, float] = {}

    async def create(name: str) -> None:
        body = contender.template.body(name)
        created[name] = asyncio.get_running_loop().time()
        await contender.cluster.bare.create(path, body)

    async with sampled() as speed:
        before = system.reading()
        async with watching(contender.cluster, path, has_condition(contender.condition)) as ready:
            await for_each(names("secret", objects), create)
            last = await _all(ready, objects, patience, f"{contender.condition}")
        memory = contender.memory()
        used = (await system.is_settled(_SETTLED_WITHIN)).since(before)
    return {
        "objects": objects,
        "per_second": objects / (last - min(created.values())),
        **percentiles([ready.passed[name] - began for name, began in created.items()]),
        **used.each(objects),
        **memory,
        "work_ms": speed.ms,
    }


async def _all(crowd: Crowd, objects: int, patience: float, state: str) -> float:
    try:
        return await crowd.counts(objects, patience)
    except TimeoutError as error:
        raise BenchmarkError(f"its objects did not become {state}: {error}") from None


# Changed values

PODS = 3
REST = 10.0
"""Seconds in which the use of processor at rest is measured."""
_PULSE = 0.25
"""What a control plane at rest, with a controller at rest, uses of a core."""


async def change(contender: Contender, store: str, objects: int, patience: float) -> dict[str, float]:
    """Change the values of all objects in the store, and wait until all pods are new and all work is done.

    Each object has a Deployment of its own that reads its Secret.

    Raises:
        BenchmarkError: The controller ended, did not bring the values into all pods, or restarted some before.
    """
    return await contender.measured(_change(contender, store, objects, patience))


async def _change(contender: Contender, store: str, objects: int, patience: float) -> dict[str, float]:
    system = System(contender.cluster.plane, contender.programs)
    await system.is_up()
    path, chosen = await contender.path(), names("changed", objects)
    await _prepare(contender, path, chosen, patience)
    rest = await system.at_rest(REST, _PULSE)
    async with sampled() as speed:
        before = system.reading()
        waits = await _refresh(contender, path, chosen, await change_values(store), patience)
        memory = contender.memory()
        used = (await system.is_settled(patience)).since(before)
    return {"objects": objects, **waits, **used.beyond(rest).each(objects), **memory, "work_ms": speed.ms}


async def _prepare(contender: Contender, path: str, chosen: list[str], patience: float) -> None:
    """Have every object done and the pods of every Deployment available."""
    cluster, template = contender.cluster, contender.template
    # The annotation by which Reloader restarts a Deployment; Keyturn needs none.
    consent = {"reloader.stakater.com/auto": "true"}
    async with watching(cluster, path, has_condition(contender.condition)) as ready:
        await for_each(chosen, lambda name: cluster.bare.create(path, template.body(name)))
        await _all(ready, len(chosen), patience, contender.condition)
    async with watching(cluster, DEPLOYMENTS, is_rolled) as rolled:
        await for_each(
            chosen, lambda name: cluster.bare.create(DEPLOYMENTS, deployment(name, PODS, **consent))
        )
        await _all(rolled, len(chosen), patience, "available")


async def _refresh(
    contender: Contender, path: str, chosen: list[str], version: int, patience: float
) -> dict[str, float]:
    """Request at once that all objects are read again, and time what follows."""
    cluster, loop = contender.cluster, asyncio.get_running_loop()
    templates = {
        body["metadata"]["name"]: body["spec"]["template"]
        async for page in cluster.api.pages(DEPLOYMENTS)
        for body in page.items
    }
    requested: dict[str, float] = {}
    asked = {"metadata": {"annotations": {contender.refresh: f"version-{version}"}}}

    def is_patched(body: Body) -> bool:
        return bool(body["spec"]["template"] != templates[body["metadata"]["name"]])

    async def request(name: str) -> None:
        requested[name] = loop.time()
        await cluster.bare.merge(f"{path}/{name}", asked)

    async with (
        watching(cluster, paths.secrets(NAMESPACE), _has_value(version)) as published,
        watching(cluster, DEPLOYMENTS, is_patched) as patched,
        watching(cluster, DEPLOYMENTS, lambda body: is_patched(body) and is_rolled(body)) as rolled,
    ):
        began = loop.time()
        await for_each(chosen, request)
        figures: dict[str, float] = {}
        for part, crowd in {"published": published, "patched": patched, "rolled": rolled}.items():
            figures[f"seconds_until_{part}"] = await _all(crowd, len(chosen), patience, part) - began
            waited = percentiles([crowd.passed[name] - at for name, at in requested.items()])
            figures |= {f"{part}_{key}": figure for key, figure in waited.items()}
    early = [name for name, version in patched.versions.items() if version < published.versions[name]]
    if early:
        raise BenchmarkError(f"it restarted {len(early)} Deployments before their Secrets had the new value")
    return figures


def _has_value(version: int) -> Test:
    """Make the test of a Secret for the value that the store has for its name."""

    def has(body: Body) -> bool:
        value = value_of(f"bench/{body['metadata']['name']}", version)
        return base64.b64encode(value.encode()).decode() in body.get("data", {}).values()

    return has


# Commit by commit

Run: TypeAlias = "dict[str, float]"
_PARTS = ("controller_ms", "api_server_ms", "etcd_ms")
_MOST = 1.10


async def check(options: argparse.Namespace) -> None:
    """Compare the cost of a new object with the last counters that are kept for as many objects; or keep these.

    A counter is seconds of processor in parts of a fixed piece of work that is sampled meanwhile: a machine that is
    half as fast, or busy, doubles both. The least of several runs counts.

    Raises:
        BenchmarkError: A counter has grown by more than a tenth, or none is kept.
    """
    objects, runs = options.objects or 1000, list[Run]()
    for number in range(1, options.runs + 1):
        async with keyturn("generated", planes=fresh) as contender:
            figures = await load(contender, objects, max(60.0, objects / 10))
        runs.append({key: figures[key] for key in (*_PARTS, "calls", "work_ms")})
        print(f"check {number}/{options.runs}: {results.rounded(runs[-1])}", flush=True)
    if options.keep:
        keep(options.results, objects, runs)
        return
    before = kept(options.results, objects)
    if before is None:
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


def keep(folder: Path, objects: int, runs: Sequence[Run]) -> None:
    """Add an entry for this commit."""
    entry = {**results.circumstances(), "objects": objects, "runs": list(runs)}
    _file(folder).parent.mkdir(parents=True, exist_ok=True)
    _file(folder).write_bytes(orjson.dumps([*_entries(folder), entry], option=orjson.OPT_INDENT_2) + b"\n")


def kept(folder: Path, objects: int) -> dict[str, Any] | None:
    """Return the last entry for that many objects."""
    return next((one for one in reversed(_entries(folder)) if one["objects"] == objects), None)


def _entries(folder: Path) -> list[dict[str, Any]]:
    file = _file(folder)
    entries: list[dict[str, Any]] = orjson.loads(file.read_bytes()) if file.exists() else []
    return entries


def _file(folder: Path) -> Path:
    return folder / "counters" / "creation.json"
