"""How the event loop gets a processor and the interpreter lock while threads of the same process compute."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Final

__all__ = ["favour_event_loop", "yield_processor"]

_SWITCH_SECONDS: Final = 0.0005
_LOWEST: Final = 19


def favour_event_loop() -> None:
    """Shorten how long a computing thread keeps the interpreter lock to a tenth of Python's own interval.

    Each step of the loop waits for the lock, and an event of a watch takes several steps.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def yield_processor() -> None:
    """Give this thread the lowest priority: the nice value 19 of setpriority(2), which Linux keeps for each thread.

    It is for work without the interpreter lock, such as a key of 8,192 bits, which takes seconds of a processor. A
    thread that waits for a processor with the lock in hand would hold up the loop.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox that forbids the call is no reason to make no keys
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
