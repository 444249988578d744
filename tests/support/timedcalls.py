"""Measures the processor time of each call of the asyncio loop, to find calls that block it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from time import thread_time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


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
