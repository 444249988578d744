"""Which call held up the event loop, for how long, and where: everything else waits meanwhile.

Each call is timed in the loop's thread, or where that cannot be, another thread asks the loop for answers. That one
looks, while a call goes on, at what is being done; it takes names of files and functions, and never what these hold.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import clock_gettime, monotonic, pthread_getcpuclockid, thread_time
from typing import TYPE_CHECKING, Final

import structlog

from . import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["LONGEST", "HoldUp", "told", "watched"]

LONGEST: Final = 0.1
"""Seconds that one call may take."""
_LOOK_EVERY: Final = 0.05
_IS_SHORT: Final = 0.01
_IS_LONG: Final = 1.0
"""Seconds after which it is no matter whether the call has worked, or waited for a processor."""
_TOLD_EVERY: Final = 60.0
_MOST_PLACES: Final = 256
_OURS: Final = str(Path(__file__).parent)

_log = structlog.get_logger()
_told: Final[dict[str, float]] = {}


@dataclass(frozen=True, slots=True)
class HoldUp:
    """A call that took too long."""

    place: str
    """The file, line and function of ours, and those further inside where it was not ours."""
    seconds: float
    processor: float
    """Seconds of processor time, of which up to 0.05 can be those of calls right before.

    Much less than `seconds` means that it waited, or that the machine had no time for it.
    """


class _Watch:
    """One event loop in the thread that it runs in.

    Each call pays for two readings of a cheap clock; that of the processor is read by the other thread, now and then.
    """

    def __init__(self, tell: Callable[[HoldUp], None], longest: float) -> None:
        self._tell = tell
        self._longest = longest
        self._thread = threading.get_ident()
        self._clock = pthread_getcpuclockid(self._thread)
        self._used = thread_time()
        self._began: float | None = None
        self._seen: tuple[float, str] | None = None
        self._ended = threading.Event()

    def run(self, handle: asyncio.Handle, run: Callable[[asyncio.Handle], None]) -> None:
        """Make a call of the loop, and tell of it where it takes too long."""
        self._began = began = monotonic()
        try:
            run(handle)
        finally:
            self._began = None
            seconds = monotonic() - began
            if seconds > self._longest:
                before, self._used = self._used, thread_time()
                self._tell(HoldUp(self._place(began, handle), seconds, self._used - before))

    def look(self) -> None:
        """Look again and again at a call that takes long, until the end."""
        while not self._ended.wait(_LOOK_EVERY):
            began = self._began
            if began is None or monotonic() - began < _IS_SHORT:
                self._used = clock_gettime(self._clock)
                continue
            if monotonic() - began <= self._longest or self._has_seen(began):
                continue
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001  # documented, for such a purpose
            if frame is not None and self._began == began:
                self._seen = began, _place_of(frame)
            del frame  # it holds values

    def end(self) -> None:
        self._ended.set()

    def _has_seen(self, began: float) -> bool:
        return self._seen is not None and self._seen[0] == began

    def _place(self, began: float, handle: asyncio.Handle) -> str:
        seen = self._seen
        return seen[1] if seen is not None and seen[0] == began else _name_of(handle)


class _Beat:
    """One event loop whose calls cannot be timed, as uvloop's: another thread asks again and again for an answer."""

    def __init__(self, tell: Callable[[HoldUp], None], longest: float) -> None:
        self._tell = tell
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._answered = threading.Event()
        self._ended = threading.Event()

    def look(self) -> None:
        """Ask, and tell of each answer that comes late, until the end."""
        while not self._ended.wait(_LOOK_EVERY):
            self._answered.clear()
            began, processor = monotonic(), self._used()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop has ended
                return
            if not self._answered.wait(self._longest):
                place = self._place()
                self._wait()
                one = HoldUp(place, monotonic() - began, self._used() - processor)
                if not self._ended.is_set():
                    self._tell(one)

    def end(self) -> None:
        self._ended.set()
        self._answered.set()

    def _wait(self) -> None:
        while not (self._answered.wait(1.0) or self._ended.is_set()):
            pass

    def _place(self) -> str:
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001  # documented, for such a purpose
        return _place_of(frame) if frame is not None else "unknown"

    def _used(self) -> float:
        return time.clock_gettime(self._clock)


@contextmanager
def watched(tell: Callable[[HoldUp], None], longest: float = LONGEST) -> Iterator[None]:
    """Tell of what holds up the running loop for longer than `longest` seconds: of each call, where those are seen.

    Of uvloop, which the operator runs on, only how late its answers are is seen.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.BaseEventLoop):
        with _timed(loop, _Watch(tell, longest)):
            yield
        return
    beat = _Beat(tell, longest)
    with _looking(beat):
        yield


@contextmanager
def _timed(loop: asyncio.AbstractEventLoop, watch: _Watch) -> Iterator[None]:
    run = asyncio.Handle._run  # noqa: SLF001  # asyncio has no hook for this

    def timed(handle: asyncio.Handle) -> None:
        if handle._loop is loop:  # type: ignore[attr-defined]  # noqa: SLF001
            watch.run(handle, run)
        else:
            run(handle)

    asyncio.Handle._run = timed  # type: ignore[assignment,method-assign]  # noqa: SLF001  # for as long as it lasts
    try:
        with _looking(watch):
            yield
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001  # as it was


@contextmanager
def _looking(one: _Watch | _Beat) -> Iterator[None]:
    thread = threading.Thread(target=one.look, name="holdups", daemon=True)
    thread.start()
    try:
        yield
    finally:
        one.end()
        thread.join()


def told(one: HoldUp) -> None:
    """Count it, and log it with its place, each place once in a minute."""
    metrics.LOOP_HELD.observe(one.seconds)
    now = monotonic()
    was_told = _told.get(one.place, now - _TOLD_EVERY) > now - _TOLD_EVERY
    if was_told or (one.processor < LONGEST and one.seconds < _IS_LONG):
        return
    if len(_told) >= _MOST_PLACES:
        _told.clear()
    _told[one.place] = now
    _log.warning(
        "event loop held up",
        place=one.place,
        seconds=round(one.seconds, 3),
        processor_seconds=round(one.processor, 3),
    )


def _place_of(frame: FrameType) -> str:
    """Name the innermost function, and the innermost one of ours where that is another."""
    inside = itertools.takewhile(lambda one: one.f_code.co_filename != __file__, _outwards(frame))
    ours = next((one for one in inside if one.f_code.co_filename.startswith(_OURS)), frame)
    return " > ".join(dict.fromkeys((_written(ours), _written(frame))))


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _written(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{path.parent.name}/{path.name}:{frame.f_lineno} {frame.f_code.co_name}"


def _name_of(handle: asyncio.Handle) -> str:
    """Name what was called where nobody saw it: what holds the interpreter's lock is seen by no other thread."""
    callback = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001
    owner = getattr(callback, "__self__", None)
    doing = owner.get_coro() if isinstance(owner, asyncio.Task) else callback
    return str(getattr(doing, "__qualname__", type(doing).__name__))
