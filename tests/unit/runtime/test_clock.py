import asyncio
from itertools import islice

import pytest

from keyturn.runtime import clock
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


@pytest.mark.parametrize(
    ("least", "chance", "pause"), [(0.5, 0, 5), (0.5, 0.5, 7.5), (0.5, 1, 10), (0.2, 0, 2), (0.2, 1, 10)]
)
def test_a_pause_is_a_random_part_of_the_longest(least: float, chance: float, pause: float) -> None:
    assert clock.jittered(10, least, lambda: chance) == pytest.approx(pause)


def test_pauses_grow_without_end_up_to_the_longest() -> None:
    found = list(islice(clock.pauses(1, 30), 40))

    longest = [1, 2, 4, 8, 16, *[30] * 35]
    assert all(most / 2 <= pause <= most for pause, most in zip(found, longest, strict=True))
    assert len(set(found)) > 30
