"""Keeper of a real node: one process holds its namespaces, so that all of it ends with that process.

It runs as a script with the standard library only, on the machine's side. Its child is the first process of a new
process namespace (`inside`): when that one is killed, the kernel kills every program and container of the node and
drops their mounts and network interfaces. What the kernel keeps are the cgroup folders; they are removed here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLONE_NEWPID = 0x2000_0000
_PR_SET_PDEATHSIG = 1
_BUSY_TIMEOUT = 8.0


def remove_cgroups(folders: Iterable[Path]) -> None:
    """Remove cgroup folders with all below them; absent is success, and processes in them have a moment to end."""
    deadline = time.monotonic() + _BUSY_TIMEOUT
    for folder in folders:
        while not _removed(folder) and time.monotonic() < deadline:
            time.sleep(0.02)


def _removed(folder: Path) -> bool:
    # The files of a cgroup cannot be removed and need not be: its folders can, deepest first.
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            Path(path).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _die_with_parent(how: signal.Signals) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, how)


def _begin(command: list[str]) -> int:
    """Start `command` as the first process of a process namespace; return its number on this side.

    Its standard input ends when this process does: that tells it even if this process is killed before the kernel
    knows that it is to die with it.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWPID) != 0:
        sys.exit(f"no process namespace can be made: {os.strerror(ctypes.get_errno())}")
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        _die_with_parent(signal.SIGKILL)
        os.dup2(ours, 0)
        os.execv(command[0], command)  # noqa: S606  # our own script, no shell
    os.close(ours)
    os.set_inheritable(theirs, False)  # noqa: FBT003  # and open as long as this process lives
    return pid


def _asked_to_end(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit


def main(pid_file: str, cgroups: list[str], command: list[str]) -> int:
    """Hold the node until it ends or until this process is asked to end it."""
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, _asked_to_end)
    _die_with_parent(signal.SIGTERM)  # not SIGKILL, which the supervisor set: there are cgroups to remove
    first: int | None = None
    try:
        first = _begin(command)
        Path(pid_file).write_text(str(first))
        _, status = os.waitpid(first, 0)
        first = None
        return os.waitstatus_to_exitcode(status) & 0xFF
    finally:
        for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(ending, signal.SIG_IGN)
        if first is not None:
            os.kill(first, signal.SIGKILL)
            os.waitpid(first, 0)
        remove_cgroups(map(Path, cgroups))


if __name__ == "__main__":
    at = sys.argv.index("--")
    sys.exit(main(sys.argv[1], sys.argv[2:at], sys.argv[at + 1 :]))
