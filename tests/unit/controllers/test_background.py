"""Background jobs of a worker that is cancelled."""

from __future__ import annotations

import asyncio

from keyturn.controllers.background import begin


async def test_a_cancelled_worker_ends_its_job_first() -> None:
    ends: list[str] = []

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append("job")

    worker = asyncio.create_task(begin("Apply", job(), lambda: None))
    worker.add_done_callback(lambda _: ends.append("worker"))
    for _ in range(5):
        await asyncio.sleep(0)  # the job begins
    worker.cancel()
    await asyncio.wait([worker])

    assert worker.cancelled()
    assert ends == ["job", "worker"]
