"""Benchmark of a rotation with all generators: cost, and stalls of the event loop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from keyturn.kube import paths

from .cluster import NAMESPACE, managed_secret, request_rotation
from .process import running
from .watching import is_ready, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .cluster import Cluster, Planes
    from .process import Operator

_PATIENCE = 60.0
_ASK_EVERY = 0.005

_LIGHT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("password", {"password": {}}),
    ("token", {"bytes": {}}),
    ("id", {"uuid": {}}),
    ("phrase", {"passphrase": {}}),
    ("ec", {"ecKey": {}}),
    ("ed25519", {"ed25519Key": {}}),
    ("ssh", {"sshKey": {}}),
    ("tls", {"certificate": {"commonName": "bench.test", "issuer": {"selfSigned": {}}}}),
    ("jwks", {"jwks": {}}),
    (
        "registry",
        {"dockerConfig": {"registry": "r.test", "username": "u", "passwordFrom": {"name": "password"}}},
    ),
    ("totp", {"totp": {"issuer": "bench", "account": "a"}}),
    ("hex", {"bytes": {"encoding": "hex"}}),
)
_HEAVY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("rsa", {"rsaKey": {"bits": 4096}}),
    ("login", {"basicAuth": {"username": "u"}}),
)


async def kinds(rotations: int, planes: Planes) -> dict[str, float]:
    """Rotate one object of 12 light values, then one with RSA and bcrypt as well, each some times."""
    async with planes() as cluster, running(cluster) as operator:
        await _create("light", _LIGHT, cluster)
        await _rotate("light", 2, cluster)  # what is loaded on first use is loaded
        await operator.is_quiet()
        before = operator.cpu()
        for revision in range(3, 3 + rotations):
            await _rotate("light", revision, cluster)
        await operator.is_quiet(0.5)
        light = operator.cpu() - before
        await _create("heavy", (*_LIGHT, *_HEAVY), cluster)
        await operator.is_quiet()
        async with _asking(operator) as at_rest:
            await asyncio.sleep(2)
        async with _asking(operator) as busy:
            for revision in range(2, 2 + rotations):
                await _rotate("heavy", revision, cluster)
    return {
        "rotations": rotations,
        "cpu_ms_per_rotation": light * 1000 / rotations,
        "longest_answer_ms": max(busy) * 1000,
        "longest_answer_at_rest_ms": max(at_rest) * 1000,
    }


async def _create(name: str, items: tuple[tuple[str, dict[str, Any]], ...], cluster: Cluster) -> None:
    data = [_item(item, generate) for item, generate in items]
    async with watching(
        cluster, paths.managed_secrets(), lambda one: _is(name, one) and is_ready(one)
    ) as ready:
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name, data=data))
        await ready.counts(1, _PATIENCE)


def _item(name: str, generate: dict[str, Any]) -> dict[str, Any]:
    """Give each output a key of its own."""
    pairs = {"ec", "ed25519", "ssh", "rsa"}
    keys = {output: f"{name}.{output}" for output in ("privateKey", "publicKey")} if name in pairs else {}
    if name == "login":
        keys = {output: f"{name}.{output}" for output in ("username", "password", "auth")}
    return {"name": name, "generate": generate, **({"keys": keys} if keys else {})}


async def _rotate(name: str, revision: int, cluster: Cluster) -> None:
    def is_done(one: dict[str, Any]) -> bool:
        return _is(name, one) and any(entry["revision"] == revision for entry in one["status"]["history"])

    async with watching(cluster, paths.managed_secrets(), is_done) as done:
        await request_rotation(name, cluster, f"{revision}")
        await done.counts(1, _PATIENCE)


def _is(name: str, body: dict[str, Any]) -> bool:
    return bool(body["metadata"]["name"] == name and body.get("status"))


@asynccontextmanager
async def _asking(operator: Operator) -> AsyncIterator[list[float]]:
    """Ask the operator all the time how it is; how long the slowest answer took bounds how long its loop stood."""
    took: list[float] = []

    async def ask(session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            async with session.get(f"http://127.0.0.1:{operator.health_port}/livez") as answer:
                await answer.read()
            took.append(loop.time() - began)
            await asyncio.sleep(_ASK_EVERY)

    async with aiohttp.ClientSession() as session:
        asked = asyncio.create_task(ask(session))
        try:
            yield took
        finally:
            asked.cancel()
