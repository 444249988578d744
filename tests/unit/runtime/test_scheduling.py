from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn.runtime.scheduling import yield_processor


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def lower_from(nice: int) -> int:
    """Return the nice value after a call in a thread that has the given one."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    yield_processor()
    return priority()


@pytest.mark.parametrize("steps", [0, 2])
def test_a_thread_keeps_a_third_of_the_share_of_the_thread_that_started_it(steps: int) -> None:
    nice = min(priority() + steps, 19)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lower_from, nice).result() == min(nice + 5, 19)


def test_at_the_lowest_priority_a_thread_stays_there() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lower_from, 19).result() == 19


def test_a_sandbox_that_forbids_it_prevents_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbid)
    before = priority()

    yield_processor()

    assert priority() == before
