"""What held up the event loop, for how long, and where: everything else waits meanwhile.

Another thread asks the loop for answers. Where one is late, it looks at what is being done; it takes names of files
and functions, and never what these hold. It sees lateness, not calls: many short ones can make an answer late, too.
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
from time import monotonic
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
_IS_LONG: Final = 1.0
"""Seconds after which it is no matter whether the call has worked, or waited for a processor."""
_TOLD_EVERY: Final = 60.0
_MOST_PLACES: Final = 256
_OURS: Final = str(Path(__file__).parents[1])

_log = structlog.get_logger()
_told: Final[dict[str, float]] = {}


@dataclass(frozen=True, slots=True)
class HoldUp:
    """An answer that came too late."""

    place: str
    """The file, line and function of ours, and those further inside where it was not ours."""
    seconds: float
    processor: float
    """Seconds of processor time of the loop's thread: much less means that it, or the whole process, waited."""


class _Beat:
    """One event loop, which another thread asks again and again: uvloop has no hook to time its calls."""

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
    """Tell, from another thread, of what holds up the running loop for longer than `longest` seconds."""
    beat = _Beat(tell, longest)
    thread = threading.Thread(target=beat.look, name="holdups", daemon=True)
    thread.start()
    try:
        yield
    finally:
        beat.end()
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
