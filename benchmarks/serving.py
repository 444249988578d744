"""Servers that benchmarks start as processes of their own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_START_TIMEOUT = 30.0


@asynccontextmanager
async def serving(module: str, *arguments: str) -> AsyncIterator[str]:
    """Call `serve` of a module in a process until the block ends; yield the address, its first line of output.

    Raises:
        TimeoutError: It has not started in time.
    """
    # With -m, a module that its package imports would be there twice.
    code = f"from {module} import serve; serve()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            line = await process.stdout.readline() if process.stdout else b""
        yield line.decode().strip()
    finally:
        with suppress(ProcessLookupError):  # a signal to the group has ended it as well
            process.terminate()
        await process.wait()
