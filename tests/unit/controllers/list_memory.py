"""A process that lists everything once, as the operator does, and says how many MiB that took at most.

python -m tests.unit.controllers.list_memory http://127.0.0.1:1234
"""

import asyncio
import sys
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import aiohttp

from keyturn.controllers.context import Context
from keyturn.controllers.event_handlers import EventHandlers
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.workqueue import WorkQueue
from keyturn.kube.client import Api
from keyturn.kube.session import SessionTransport


async def _sweep(server: str) -> int:
    """Return how many objects are known at the end."""
    async with aiohttp.ClientSession() as session:
        nothing: Any = None
        now = lambda: datetime.now(UTC)  # noqa: E731
        api = Api(SessionTransport(session), server)
        context = Context(api, nothing, now, WorkQueue(now, owner=attrgetter("namespace")))
        await EventHandlers(context, Memory(context), None).sweep()
    return len(list(context.cache.managed_keys())) + len(context.cache.workload_keys("StatefulSet"))


def _most_mib() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) >> 10


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(_sweep(sys.argv[1]))} {_most_mib()}\n")
