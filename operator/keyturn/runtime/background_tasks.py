"""Background tasks that outlive their callers: referenced until they end, cancelled with the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from . import logs

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_log = structlog.get_logger()


class Tasks:
    """Set of background tasks; an error of one is logged."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_end)
        return task

    async def end(self, *, after: float = 0.0) -> None:
        """Wait up to `after` seconds for the tasks, then cancel them and wait for their end."""
        if after and self._running:
            await asyncio.wait(list(self._running), timeout=after)
        while running := list(self._running):
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("task failed", **logs.describe(error))
