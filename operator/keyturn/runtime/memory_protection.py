"""Protection of the process's memory: no core dumps, no access by other processes of the same user.

Values are in memory while they are generated and published. RLIMIT_CORE=0 does not apply to a program that
`core_pattern` starts; a process that is not dumpable writes neither
(https://man7.org/linux/man-pages/man5/core.5.html). It can also be traced only by root with CAP_SYS_PTRACE
(https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html).
"""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def keep_memory_unseen() -> None:
    """Disable core dumps permanently, and with them ptrace and /proc/PID/mem for other processes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
