"""Benchmark of values that change in their store: from the request to read them again until all pods are new."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

from .awslike import change_values, value_of
from .cluster import NAMESPACE, for_each
from .errors import PeerError
from .load import create_all, percentiles
from .process import are_quiet
from .rotation import deployment, is_rolled
from .speed import sampled
from .watching import has_condition, watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from .contender import Contender
    from .system import Reading, System
    from .watching import Crowd

PODS = 3
REST = 10.0
"""Seconds in which the use of processor at rest is measured."""
_DEPLOYMENTS = paths.workloads("Deployment", NAMESPACE)
_CONSENT = {"reloader.stakater.com/auto": "true"}
"""The annotation by which Reloader restarts a Deployment; Keyturn needs none."""
_QUIET = 2.0
_PULSE = 0.25
"""What a control plane at rest, with a controller at rest, uses of a core."""


async def change(contender: Contender, store: str, objects: int, patience: float) -> dict[str, float]:
    """Change the values of all objects in the store, and wait until all pods are new and all work is done.

    Each object has a Deployment of its own that reads its Secret.

    Raises:
        PeerError: The controller ended, did not bring the values into all pods in time, or restarted some before.
    """
    return await contender.unless_it_ends(_measure(contender, store, objects, patience))


async def _measure(contender: Contender, store: str, objects: int, patience: float) -> dict[str, float]:
    names = [f"changed-{number:05}" for number in range(objects)]
    system = contender.system()
    await contender.is_up(system)
    path = await contender.template.path(contender.cluster.api, NAMESPACE)
    await _prepare(contender, path, names, patience)
    rest = await _rest(system)
    async with sampled() as speed:
        before = system.reading()
        waits = await _change(contender, path, names, await change_values(store), patience)
        memory = contender.memory()
        used = (await contender.is_settled(system, patience)).since(before)
    return {"objects": objects, **waits, **used.beyond(rest).each(objects), **memory, "work_ms": speed.ms}


async def _prepare(contender: Contender, path: str, names: list[str], patience: float) -> None:
    """Have every object done and the pods of every Deployment available."""
    cluster, template = contender.cluster, contender.template

    async def make(name: str) -> None:
        await cluster.bare.create(path, template.body(name))

    async def deploy(name: str) -> None:
        body = deployment(name, PODS)
        body["metadata"]["annotations"] = _CONSENT
        await cluster.bare.create(_DEPLOYMENTS, body)

    async with watching(cluster, path, has_condition(contender.condition)) as ready:
        await create_all(contender, names, make)
        await contender.brings(ready, len(names), patience, f"make its objects {contender.condition}")
    async with watching(cluster, _DEPLOYMENTS, is_rolled) as rolled:
        await for_each(names, deploy)
        await contender.brings(rolled, len(names), patience, "let Deployments become available")


async def _rest(system: System) -> Reading:
    """Wait until the system is at rest, and return what it uses then."""
    await are_quiet(system.pids, _QUIET, _PULSE)
    before = system.reading()
    await asyncio.sleep(REST)
    return system.reading().since(before)


async def _change(
    contender: Contender, path: str, names: list[str], version: int, patience: float
) -> dict[str, float]:
    """Request at once that all objects are read again, and time what follows."""
    cluster, loop = contender.cluster, asyncio.get_running_loop()
    is_patched = await _has_another_template(contender)
    requested: dict[str, float] = {}

    async def request(name: str) -> None:
        requested[name] = loop.time()
        await cluster.bare.merge(
            f"{path}/{name}", {"metadata": {"annotations": {contender.refresh: f"version-{version}"}}}
        )

    async with (
        watching(cluster, paths.secrets(NAMESPACE), _has_value(version)) as published,
        watching(cluster, _DEPLOYMENTS, is_patched) as patched,
        watching(cluster, _DEPLOYMENTS, lambda body: is_patched(body) and is_rolled(body)) as rolled,
    ):
        began = loop.time()
        await for_each(names, request)
        figures = {"seconds_to_request": loop.time() - began}
        for part, crowd, done in (
            ("published", published, "bring the new values into the Secrets"),
            ("patched", patched, "restart the Deployments"),
            ("rolled", rolled, "roll the Deployments"),
        ):
            last = await contender.brings(crowd, len(names), patience, done)
            figures[f"seconds_until_{part}"] = last - began
            waited = [crowd.passed[name] - at for name, at in requested.items()]
            figures |= {f"{part}_{key}": figure for key, figure in percentiles(waited).items()}
    _check_order(contender, published, patched)
    return figures


async def _has_another_template(contender: Contender) -> Callable[[dict[str, Any]], bool]:
    """Make the test of a Deployment for a pod template that differs from the current one."""
    templates = {
        body["metadata"]["name"]: body["spec"]["template"]
        async for page in contender.cluster.api.pages(_DEPLOYMENTS)
        for body in page.items
    }
    return lambda body: body["spec"]["template"] != templates[body["metadata"]["name"]]


def _has_value(version: int) -> Callable[[dict[str, Any]], bool]:
    """Make the test of a Secret for the value that the store has for its name."""

    def has(body: dict[str, Any]) -> bool:
        value = value_of(f"bench/{body['metadata']['name']}", version)
        return base64.b64encode(value.encode()).decode() in body.get("data", {}).values()

    return has


def _check_order(contender: Contender, published: Crowd, patched: Crowd) -> None:
    """Check that no pod template changed before the value that its pods are to read.

    Raises:
        PeerError: One did: its pods may have the earlier value.
    """
    early = [name for name, version in patched.versions.items() if version < published.versions[name]]
    if early:
        raise PeerError(
            f"{contender.name} restarted {len(early)} Deployments before their Secrets had the new value"
        )
