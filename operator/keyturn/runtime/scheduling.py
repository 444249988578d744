"""Priority of the event loop over computing threads: interpreter lock and processor."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Final

_SWITCH_SECONDS: Final = 0.0005
_NICE_STEPS: Final = 5
"""Linux gives a thread 5 steps below another about a third of its share of a busy processor: 1.25 ** 5 is 3.05."""
_LOWEST: Final = 19


def favour_event_loop() -> None:
    """Shorten the switch interval of the interpreter lock to a tenth of Python's default, 0.5 ms.

    Each step of the loop waits for the lock, and a watch event takes several steps.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def yield_processor() -> None:
    """Raise this thread's nice value by 5 (setpriority(2), which Linux applies to threads).

    For work without the interpreter lock, such as a key of 8,192 bits, which takes seconds of processor time. A
    thread that waits for a processor while it holds the lock would block the loop. The difference is bounded, because
    at the lowest priority a thread gets 1/68 of the share of any other process: a key of one second takes minutes on
    a busy machine, and exceeds its time limit.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox that forbids the call must not prevent keys
            lowered = os.getpriority(os.PRIO_PROCESS, thread) + _NICE_STEPS
            os.setpriority(os.PRIO_PROCESS, thread, min(lowered, _LOWEST))
