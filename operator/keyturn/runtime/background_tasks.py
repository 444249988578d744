"""What goes on for everybody, whoever stopped waiting for it: held here until it ends, and ended with the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from . import logs

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Tasks"]

T = TypeVar("T")

_log = structlog.get_logger()


class Tasks:
    """Tasks without a waiter of their own."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self, *, after: float = 0.0) -> None:
        """End them all, those that do not end by themselves `after` a while, and wait for their ends."""
        if after and self._running:
            await asyncio.wait(list(self._running), timeout=after)
        while running := list(self._running):
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("task failed", **logs.describe(error))
