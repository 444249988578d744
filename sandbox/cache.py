"""Fills a cache folder once, by one process, completely or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import SandboxError


def root() -> Path:
    """Return the folder of everything that is built once for this user."""
    chosen = os.environ.get("KEYTURN_CACHE")
    if chosen:
        return Path(chosen) / "sandbox"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "keyturn" / "sandbox"


def filled(key: str, what: str, fill: Callable[[Path], None]) -> Path:
    """Return the cache folder `key`; `fill` fills it first, in a scratch folder, if this machine never did.

    A folder under its final name is complete: a killed build leaves a scratch folder, which the next removes.
    """
    folder = root() / key
    if folder.exists():
        return folder
    try:
        with only_builder(folder, what):
            if not folder.exists():
                _fill(folder, fill)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SandboxError(
            f"no room is left for {folder}: make some, or set KEYTURN_CACHE to a folder on another disk"
        ) from error
    return folder


@contextmanager
def only_builder(folder: Path, what: str) -> Iterator[None]:
    """Let one process at a time fill `folder`; the others wait, and say for what."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"sandbox: another process builds {what}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(folder: Path, fill: Callable[[Path], None]) -> None:
    prefix = f".{folder.name}-"
    for leftover in folder.parent.glob(f"{prefix}*"):  # of a build that was killed; we hold the lock
        shutil.rmtree(leftover)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    try:
        fill(scratch)
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
