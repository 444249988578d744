"""Fail points for tests: the process dies by SIGKILL at a named step; inactive without an environment variable."""

import os
import signal
from itertools import count

_NAME, _, _TIMES = os.environ.get("KEYTURN_FAILPOINT", "").partition("#")
_SIGNAL = int(signal.SIGKILL)
"""What the process sends itself; tests of a frozen leader replace it by SIGSTOP."""
_seen = count(1)


def reached(moment: str, step: str) -> None:
    """Kill the process at this point if $KEYTURN_FAILPOINT names it.

    Examples: `before:Publish`, or `after:RollOut#2` for the second time.
    """
    if _NAME and f"{moment}:{step}" == _NAME and next(_seen) == int(_TIMES or 1):
        os.kill(os.getpid(), _SIGNAL)
