"""How the memory of the process stays its own: no core file, and no look into it by another process of its user.

Values are in it while they are generated and published. The limit alone does not keep them from a program that the
machine's `core_pattern` starts, since the kernel minds a limit of 0 for files only; a process that is not dumpable is
handed to neither (https://man7.org/linux/man-pages/man5/core.5.html). It is not traced either, but by root with
CAP_SYS_PTRACE (https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html).
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

__all__ = ["keep_memory_unseen"]

_PR_SET_DUMPABLE: Final = 4


def keep_memory_unseen() -> None:
    """Turn core dumps off for good, and with them the look of other processes that are not root's."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
