"""Speed of the machine during a measurement: `python -m benchmarks.speed` samples a fixed piece of work."""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PAUSE = 0.1
_ROUNDS = 40
_RECORD = {"name": "x" * 20, "list": list(range(50)), "nested": {str(number): number for number in range(50)}}


class Speed:
    """The processor time of the fixed work, sampled while a block lasted."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    @property
    def ms(self) -> float:
        """Milliseconds of processor for one piece of work, on average: less is a faster machine."""
        return statistics.fmean(self.samples) * 1000


@asynccontextmanager
async def sampled() -> AsyncIterator[Speed]:
    """Sample the machine's speed in a process of its own, which uses about 3 % of a core, until the block ends."""
    speed = Speed()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.speed",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    reading = asyncio.create_task(_read(process, speed))
    try:
        yield speed
    finally:
        if process.stdin:
            process.stdin.close()  # it ends with its input, also if this process is killed
        await reading
        await process.wait()


async def _read(process: asyncio.subprocess.Process, speed: Speed) -> None:
    while process.stdout and (line := await process.stdout.readline()):
        speed.samples.append(float(line))


def _work() -> float:
    """Do the fixed work: what an operator and an API server do most, which is to encode, hash and build objects."""
    began = time.thread_time()
    for _ in range(_ROUNDS):
        text = json.dumps(_RECORD, sort_keys=True)
        hashlib.sha256(text.encode()).hexdigest()
        json.loads(text)
    return time.thread_time() - began


async def _sample() -> None:
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        print(_work(), flush=True)
        await asyncio.sleep(_PAUSE)


if __name__ == "__main__":
    asyncio.run(_sample())
