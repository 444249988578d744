"""What a list costs in memory, whatever tenants have put into the objects: 512 MiB are what manifests/base gives.

The API server is a fake one: 500 MB of StatefulSets are more than etcd takes.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from tests.support.api_servers import serving
from tests.support.cases import case, cases

_MOST_MIB = 400


def _metadata(number: int, **more: Any) -> dict[str, Any]:
    name = f"large-{number:05}"
    return {
        "name": name,
        "namespace": f"shop-{number % 14}",
        "uid": name,
        "generation": 1,
        "resourceVersion": str(number + 1),
        "creationTimestamp": "2026-11-27T00:00:00Z",
        **more,
    }


def _managed(number: int) -> dict[str, Any]:
    """Return a ManagedSecret with all that its spec may hold of literals."""
    texts = [{"name": f"text-{one}", "literal": "x" * 16384} for one in range(4)]
    return {"metadata": _metadata(number), "spec": {"data": texts}}


def _labelled(number: int) -> dict[str, Any]:
    """Return a ManagedSecret as heavy as an object may be: no schema bounds its labels."""
    labels = {f"label-{one:05}-{'x' * 50}": "x" * 60 for one in range(10_000)}
    return {"metadata": _metadata(number, labels=labels), "spec": {"data": [{"name": "a", "literal": "x"}]}}


def _stateful_set(number: int, size: int) -> dict[str, Any]:
    """Return a StatefulSet with a mebibyte of environment, in values of some size."""
    env = [{"name": f"TEXT_{one}", "value": "x" * size} for one in range(1024 * 1024 // (size + 32))]
    pod = {"containers": [{"name": "app", "image": "app", "env": env}]}
    return {
        "metadata": _metadata(number),
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": {"spec": pod}},
    }


class Server:
    """An API server with objects of one kind."""

    def __init__(self, plural: str, count: int, make: Callable[[int], dict[str, Any]]) -> None:
        self._plural, self._count, self._make = plural, count, make

    async def handle(self, request: web.Request) -> web.StreamResponse:
        count = self._count if request.path.endswith(f"/{self._plural}") else 0
        start = int(request.query.get("continue", "0"))
        end = min(start + int(request.query["limit"]), count)
        metadata = {"resourceVersion": "99999"} | ({"continue": str(end)} if end < count else {})
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # what is too large is not read to its end
            await answer.write(b'{"metadata":' + orjson.dumps(metadata) + b',"items":[')
            for number in range(start, end):
                await answer.write((b"," if number > start else b"") + orjson.dumps(self._make(number)))
            await answer.write(b"]}")
        return answer


@cases(
    ("plural", "count", "make"),
    case("1,000 of the largest specs", "managedsecrets", 1000, _managed),
    case("200 of the heaviest objects", "managedsecrets", 200, _labelled),
    case("500 large workloads", "statefulsets", 500, lambda number: _stateful_set(number, 65536)),
    case("50 of many small parts", "statefulsets", 50, lambda number: _stateful_set(number, 1)),
)
async def test_a_list_of_large_objects_fits_into_memory(
    plural: str,
    count: int,
    make: Callable[[int], dict[str, Any]],
    record_property: Callable[[str, object], None],
) -> None:
    async with serving(Server(plural, count, make).handle) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.unit.controllers.list_memory", server, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    known, most = map(int, output.split())
    record_property(f"MiB at most for a list of {count} {plural}", most)
    assert known == count
    assert most <= _MOST_MIB
