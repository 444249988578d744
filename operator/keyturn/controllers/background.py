"""Background jobs of one ManagedSecret: store operations and key generation that do not block a worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_WORKER_WAIT: Final = 0.1
"""Seconds that a worker waits before it leaves a job to the background; a healthy store answers within that time."""


@dataclass(frozen=True, slots=True)
class BackgroundJob(Generic[T]):
    """A job that runs in its own task."""

    name: str
    """What the job is about; the result of a job with another name is not used."""
    task: asyncio.Task[T]


async def begin(name: str, work: Coroutine[Any, Any, T], wake: Callable[[], None]) -> BackgroundJob[T]:
    """Start a job and wait up to 0.1 s for it; a job that takes longer calls `wake` when it ends.

    A worker that is cancelled meanwhile ends the job, which nothing else knows yet.
    """
    job = BackgroundJob(name, asyncio.create_task(work))
    try:
        await asyncio.wait([job.task], timeout=_WORKER_WAIT)
    except asyncio.CancelledError:
        job.task.cancel()
        await asyncio.wait([job.task])
        raise
    if not job.task.done():
        job.task.add_done_callback(lambda _: wake())
    return job
