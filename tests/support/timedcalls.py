"""Measures the processor time of each call of the asyncio loop, to find calls that block it."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from time import thread_time
from typing import Final, NamedTuple, ParamSpec

from keyturn.runtime.event_loop_stalls import LONGEST

P = ParamSpec("P")

_RUNS: Final = 3


class Call(NamedTuple):
    name: str
    processor: float
    """Seconds."""


@contextmanager
def timed() -> Iterator[list[Call]]:
    """Note each call of a loop from now on; asyncio has no hook for this."""
    run, calls = asyncio.Handle._run, list[Call]()

    def noting(handle: asyncio.Handle) -> None:
        began = thread_time()
        try:
            run(handle)
        finally:
            calls.append(Call(_name_of(handle), thread_time() - began))

    asyncio.Handle._run = noting  # type: ignore[assignment,method-assign]  # for as long as it lasts
    try:
        yield calls
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


def _name_of(handle: asyncio.Handle) -> str:
    callback = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    doing = owner.get_coro() if isinstance(owner, asyncio.Task) else callback
    return str(getattr(doing, "__qualname__", type(doing).__name__))


def holds_no_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Decorate a test during which no call may block the loop.

    A busy machine makes any call slow once; a call that blocks does so in each of several runs.
    """

    @wraps(test)
    async def timed_test(*args: P.args, **named: P.kwargs) -> None:
        gc.collect()
        gc.freeze()  # a pass over all objects of the test process is no work of the call
        try:
            for _ in range(_RUNS):
                with timed() as calls:
                    await test(*args, **named)
                long = [call for call in calls if call.processor > LONGEST]
                if not long:
                    return
        finally:
            gc.unfreeze()
        raise AssertionError(f"calls hold up the event loop: {long}")

    return timed_test
