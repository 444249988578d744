"""Benchmark of the audit endpoint: events per second of processor time, over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import ssl
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from cryptography import x509

from keyturn.endpoints import server as web
from keyturn.endpoints.audit.audit import Endpoint
from keyturn.endpoints.audit.classifier import Watcher
from keyturn.endpoints.connections import ServerTls
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.secret_informer import SecretMeta
from sandbox.pki import Authority

from .process import cpu_of

_SECRETS = 1_000
_NAMESPACES = 20
_BATCH = 400  # as an API server has it
_AT_ONCE = 2


async def access(events: int) -> dict[str, float]:
    """Send events as fast as they are taken; half of them are about managed Secrets."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = _write_files(folder)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.access", name), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout  # noqa: S101
            port = int(await process.stdout.readline())
            await _send(2 * _BATCH, port, token, folder)  # what is loaded on first use is loaded
            before, began = cpu_of(process.pid), time.monotonic()
            size = await _send(events, port, token, folder)
            seconds, used = time.monotonic() - began, cpu_of(process.pid) - before
        finally:
            process.terminate()
            await process.wait()
    return {
        "events_per_cpu_second": events / used,
        "events_per_second": events / seconds,
        "bytes_per_event": size / events,
        "core_for_2000_per_second": 2_000 * used / events,
    }


def _write_files(folder: Path) -> str:
    authority = Authority.new("audit")
    authority.pair.write(folder, "ca")
    authority.issue("keyturn", names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]).write(
        folder, "server"
    )
    token = secrets.token_hex(32)
    (folder / "token").write_text(token)
    return token


async def _send(events: int, port: int, token: str, folder: Path) -> int:
    """Send events in batches, some at a time, again where there was too much; return how many bytes they took."""
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    batches = [_batch(number) for number in range(min(10, events // _BATCH))]
    waiting = [batches[number % len(batches)] for number in range(events // _BATCH)]
    size = sum(map(len, waiting))
    url, headers = f"https://127.0.0.1:{port}/audit", {"Authorization": f"Bearer {token}"}

    async def sender(session: aiohttp.ClientSession) -> None:
        while waiting:
            batch = waiting.pop()
            async with session.post(url, data=batch, headers=headers) as answer:
                if answer.status != HTTPStatus.OK:
                    waiting.append(batch)
                    await asyncio.sleep(0.05)

    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(sender(session))
    return size


def _batch(number: int) -> bytes:
    items = [_event(number * _BATCH + place) for place in range(_BATCH)]
    return orjson.dumps(
        {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}
    )


def _event(number: int) -> dict[str, Any]:
    """Return an event as kube-apiserver 1.37 writes it at level Metadata; every other is about another Secret."""
    namespace = f"team-{number % _NAMESPACES}"
    name = f"secret-{number % _SECRETS}" if number % 2 else f"helm-release-{number}"
    account = f"system:serviceaccount:{namespace}:app-{number % 50}"
    uid, now = str(uuid.uuid4()), datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "level": "Metadata",
        "auditID": uid,
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/{namespace}/secrets/{name}",
        "verb": "get",
        "user": {
            "username": account,
            "uid": uid,
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
                "system:authenticated",
            ],
            "extra": {
                "authentication.kubernetes.io/credential-id": [f"JTI={uid}"],
                "authentication.kubernetes.io/node-name": ["worker-1"],
                "authentication.kubernetes.io/pod-name": ["app-7d9f5c9d6-x2x4v"],
                "authentication.kubernetes.io/pod-uid": [uid],
            },
        },
        "sourceIPs": ["10.244.3.17"],
        "userAgent": "app/v1.2.3 (linux/amd64) kubernetes/9e644106",
        "objectRef": {"resource": "secrets", "namespace": namespace, "name": name, "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": now,
        "stageTimestamp": now,
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": f'RBAC: allowed by RoleBinding "app/{namespace}" of Role "app"',
        },
    }


async def _serve(folder: Path) -> None:
    """Run the endpoint and all behind it, with as many managed secrets as a larger cluster has."""
    cache = InformerCache()
    for number in range(_SECRETS):
        namespace, name = f"team-{number % _NAMESPACES}", f"secret-{number}"
        metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"}
        cache.put_managed({"metadata": metadata, "spec": {}})
        cache.put_secret(SecretMeta(namespace, name, "1", name, name, 1, None))
    watcher = Watcher(cache, partial(datetime.now, UTC), timedelta(days=14))
    endpoint = Endpoint(folder / "token", watcher.take)
    endpoint.is_ready = True
    tls = ServerTls(folder / "server.crt", folder / "server.key", "audit").context
    async with web.listen(endpoint.routes(), 0, "audit", tls=tls, largest=endpoint.largest_body) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Path(sys.argv[1])))
