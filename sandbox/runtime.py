"""Folders of running planes, below a folder that only this user can enter, and of programs of another user."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import SandboxError
from .node import machine

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_ALIVE = "alive.lock"
_LONGEST_ROOT = 53  # a socket's path has at most 107 bytes: this, the name's 40, and "/…/control.sock"
# Below the range that outgoing connections get: otherwise a client that knocks while the API server
# restarts can be given the server's own port, talk to itself and keep the server from coming back.
_PORTS = range(20_000, 30_000)


@dataclass(frozen=True, slots=True)
class Claim:
    """A new folder and its lock: it is in use, and its name is taken, as long as a process holds the lock."""

    folder: Path
    lock: IO[bytes]


def root() -> Path:
    """Return this user's folder for running planes, made if absent."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        folder = Path(runtime) / "keyturn-sandbox"
    else:
        folder = Path(tempfile.gettempdir()) / f"keyturn-sandbox-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if len(str(folder)) > _LONGEST_ROOT:
        raise SandboxError(f"{folder} is too long a path for a socket; set XDG_RUNTIME_DIR or TMPDIR")
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077 or folder.is_symlink():
        raise SandboxError(f"{folder} belongs to another user or is open to others; remove it")
    return folder


def folder_of(name: str) -> Path:
    """Return the folder of the plane `name`, whether it is there or not."""
    if not _NAME.fullmatch(name):
        raise SandboxError(f"{name!r} is no name: lower-case letters, digits and dashes, at most 40")
    return root() / name


def claim(name: str) -> Claim:
    """Make the folder of a new plane, sweeping away what killed planes left behind."""
    folder = folder_of(name)
    sweep()
    with _alone():
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise SandboxError(f"a control plane {name!r} is already up") from None
        lock = (folder / _ALIVE).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Claim(folder, lock)


def claim_temporary(prefix: str) -> Claim:
    """Make a folder that another user can be let into, sweeping away those whose process was killed."""
    for older in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # One without a lock is just being made.
        if os.access(older / _ALIVE, os.R_OK) and not is_alive(older):
            shutil.rmtree(older, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    unseen = folder / ".lock"
    lock = unseen.open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    unseen.rename(folder / _ALIVE)
    return Claim(folder, lock)


def sweep() -> None:
    """Remove what planes whose supervisor is gone have left."""
    with _alone():
        home = root()
        names = {folder.name for folder in home.iterdir() if folder.is_dir()}
        for name in names | machine.planes_with_cgroups(home):
            if not is_alive(home / name):
                remove(home / name)


def remove(folder: Path) -> None:
    """Remove what a plane that has ended left in the file system; absent is success."""
    shutil.rmtree(folder, ignore_errors=True)
    machine.remove_cgroups_of(folder)


def remove_dead(folder: Path) -> None:
    """Remove what a plane that has ended left, unless another has taken its name since."""
    with _alone():
        if not is_alive(folder):
            remove(folder)


def is_alive(folder: Path) -> bool:
    """Return whether a process holds the lock of `folder`."""
    try:
        with (folder / _ALIVE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def free_ports(count: int) -> tuple[int, ...]:
    """Return different free ports of the loopback interface, which no other process gets while this one runs.

    A server with SO_REUSEADDR, which all servers here set, can listen on them.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, k=len(_PORTS)):
        if _reserves(port):
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise SandboxError(f"fewer than {count} ports are free between {_PORTS.start} and {_PORTS.stop}")


def _reserves(port: int) -> bool:
    """Bind a socket to a port until this process ends, and never listen; return whether the port was free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        # After the bind, so that only a server shares it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.detach()
    return True


@contextmanager
def _alone() -> Iterator[None]:
    with (root() / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
