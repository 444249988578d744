"""Where work is done that would hold up the event loop: in few threads, and nobody's in those of another.

What a tenant has us compute shares a few threads, one for each owner at a time, however much there is to do. What
the operator does for itself, such as its metrics, has threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["for_tenant", "for_us"]

P = ParamSpec("P")
T = TypeVar("T")
_Turns: TypeAlias = "WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, asyncio.Lock]]"

_OURS: Final = ThreadPoolExecutor(2, "ours")
_TENANTS: Final = ThreadPoolExecutor(3, "tenants")
"""Each of them holds what a template may keep; see keyturn.templates.bounds."""
_turns: Final[_Turns] = WeakKeyDictionary()


async def for_us(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do what the operator needs itself."""
    return await asyncio.get_running_loop().run_in_executor(_OURS, _call(doing, *args, **named))


async def for_tenant(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do what `owner` makes us do, after all else that it makes us do; others do not wait for it."""
    loop = asyncio.get_running_loop()
    turn = _turns.setdefault(loop, WeakValueDictionary()).setdefault(owner, asyncio.Lock())
    await turn.acquire()
    # Whoever waits may go away, which ends no thread: the turn lasts as long as the work does.
    work = _TENANTS.submit(_call(doing, *args, **named))
    work.add_done_callback(partial(_release, loop, turn))
    return await asyncio.wrap_future(work)


def _call(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> Callable[[], T]:
    return partial(contextvars.copy_context().run, partial(doing, *args, **named))


def _release(loop: asyncio.AbstractEventLoop, turn: asyncio.Lock, _: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(turn.release)
