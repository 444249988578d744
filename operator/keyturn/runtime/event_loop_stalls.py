"""Watchdog of the event loop: measures stalls, and logs the function that blocks.

A thread requests answers from the loop. If one is late, it records files and functions of the loop's stack, never
values. It measures lateness, not single calls: many short calls can delay an answer, too. A loop that was idle for
some seconds answers four times a second, so that a first stall of less than 0.4 s can pass unseen.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final

import structlog

from . import metrics

LONGEST: Final = 0.1
"""Seconds of delay from which on a stall is reported."""
_INTERVAL: Final = 0.05
_IDLE_INTERVAL: Final = 0.25
_IDLE_AFTER: Final = 2.0
_BUSY: Final = 0.005
"""Processor time of the loop between two requests, from which on it is busy; a renewed Lease takes 2 ms."""
_MIN_LOGGED: Final = 1.0
"""Seconds from which on a stall is logged even if the loop used little processor time."""
_LOG_INTERVAL: Final = 60.0
_MAX_PLACES: Final = 256
_OURS: Final = str(Path(__file__).parents[1])

_log = structlog.get_logger()
_last_logged: Final[dict[str, float]] = {}


@dataclass(frozen=True, slots=True)
class Stall:
    """A stall of the event loop."""

    place: str
    """File, line and function of Keyturn's innermost frame, and the innermost frame if that is another."""
    seconds: float
    processor: float
    """Processor time of the loop's thread; much less than `seconds` means that it waited for a processor."""


class _Watchdog:
    """Watchdog of one event loop, as uvloop has no hook to time its calls."""

    def __init__(self, tell: Callable[[Stall], None], longest: float) -> None:
        self._tell = tell
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._busy_at = monotonic()
        self._used_before = self._used()

    def look(self) -> None:
        """Request answers until `end`, and report late ones."""
        while not self._ended.wait(self._interval()):
            self._answered.clear()
            if self._ended.is_set():
                return  # the call of `end` may be cleared, and the loop waits for this thread
            began, processor = monotonic(), self._used()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop has ended
                return
            if self._answered.wait(self._longest):
                continue
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001  # documented for debugging
            place = _place_of(frame) if frame is not None else "unknown"
            self._answered.wait()  # `end` sets it too
            if not self._ended.is_set():
                self._tell(Stall(place, monotonic() - began, self._used() - processor))

    def end(self) -> None:
        self._ended.set()
        self._answered.set()

    def _interval(self) -> float:
        """Return the seconds until the next request; an idle loop has fewer, which cost it 0.5 % of a core."""
        now, used = monotonic(), self._used()
        if used - self._used_before > _BUSY:
            self._busy_at = now
        self._used_before = used
        return _IDLE_INTERVAL if now - self._busy_at > _IDLE_AFTER else _INTERVAL

    def _used(self) -> float:
        return time.clock_gettime(self._clock)


@contextmanager
def watch(tell: Callable[[Stall], None], longest: float = LONGEST) -> Iterator[None]:
    """Report stalls of the running loop of more than `longest` seconds, from another thread, during the context."""
    beat = _Watchdog(tell, longest)
    thread = threading.Thread(target=beat.look, name="holdups", daemon=True)
    thread.start()
    try:
        yield
    finally:
        beat.end()
        thread.join()


def record(one: Stall) -> None:
    """Record a stall in the metric, and log each place at most once a minute."""
    metrics.LOOP_HELD.observe(one.seconds)
    now = monotonic()
    was_told = _last_logged.get(one.place, now - _LOG_INTERVAL) > now - _LOG_INTERVAL
    if was_told or (one.processor < LONGEST and one.seconds < _MIN_LOGGED):
        return
    if len(_last_logged) >= _MAX_PLACES:
        _last_logged.clear()
    _last_logged[one.place] = now
    _log.warning(
        "event loop blocked",
        place=one.place,
        seconds=round(one.seconds, 3),
        processor_seconds=round(one.processor, 3),
    )


def _place_of(frame: FrameType) -> str:
    """Return the innermost frame of Keyturn, followed by the innermost frame if that is another."""
    ours: FrameType | None = frame
    while ours is not None and not ours.f_code.co_filename.startswith(_OURS):
        ours = ours.f_back
    if ours is None or ours.f_code.co_filename == __file__:
        ours = frame
    return " > ".join(dict.fromkeys((_format(ours), _format(frame))))


def _format(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{path.parent.name}/{path.name}:{frame.f_lineno} {frame.f_code.co_name}"
