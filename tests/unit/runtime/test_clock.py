from __future__ import annotations

import asyncio

from keyturn.runtime.clock import loop_time


class Shifted(asyncio.SelectorEventLoop):
    """An event loop whose time differs from the monotonic clock's."""

    def time(self) -> float:
        return super().time() + 1_000_000.0


def test_the_time_is_the_running_loops() -> None:
    with asyncio.Runner(loop_factory=Shifted) as runner:
        loop = runner.get_loop()
        before = loop.time()
        assert before <= runner.run(read()) <= loop.time()


async def read() -> float:
    return loop_time()
