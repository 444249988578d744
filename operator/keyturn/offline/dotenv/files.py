"""How files with secrets are read and written: nobody else's eyes, no link followed, all of it or nothing."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PRIVATE", "is_private", "locked", "make_private", "private_folder", "read", "write"]

PRIVATE: Final = 0o600
_OTHERS: Final = 0o077
_LARGEST: Final = 1024 * 1024
_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not hold us up


def read(path: Path) -> bytes | None:
    """Return what a file holds; None where there is none.

    Raises:
        Refused: It cannot be read, is too large, or is a link, a folder or a device.
    """
    with _meaning(path):
        try:
            opened = os.open(path, os.O_RDONLY | _NO_LINK)
        except FileNotFoundError:
            return None
        try:
            _hold_to_files(path, os.fstat(opened))
            with os.fdopen(os.dup(opened), "rb") as file:
                content = file.read(_LARGEST + 1)
        finally:
            os.close(opened)
    if len(content) > _LARGEST:
        raise Refused(f"{path} has more than {_LARGEST} bytes; is it the right file?")
    return content


def write(path: Path, content: bytes, *, instead_of: bytes | None, mode: int = PRIVATE) -> None:
    """Put a file in the place of what was read there, in one step and with its rights from the first byte.

    Raises:
        Refused: It cannot be written, or holds something else by now.
    """
    if read(path) != instead_of:
        raise Refused(f"{path} was changed meanwhile; nothing was written to it; try again")
    with _meaning(path):
        # Beside it, so that the rename is one step; the name falls under the lines of .gitignore as well.
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, PRIVATE & mode)
        try:
            with os.fdopen(opened, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(opened, mode)
                os.fsync(opened)
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        _flush(path.parent)


def is_private(path: Path) -> bool:
    """Say whether nobody but the owner may read or write a file."""
    with _meaning(path):
        return not stat.S_IMODE(os.lstat(path).st_mode) & _OTHERS
    raise AssertionError  # _meaning raises or lets through


def make_private(path: Path) -> None:
    """Take every right from everybody but the owner."""
    with _meaning(path):
        opened = os.open(path, os.O_RDONLY | _NO_LINK)
        try:
            os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) & ~_OTHERS)
        finally:
            os.close(opened)


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter, or make sure that it is one.

    Raises:
        Refused: There is something else, or it cannot be made.
    """
    with _meaning(path):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        facts = os.lstat(path)
        if not stat.S_ISDIR(facts.st_mode):
            raise Refused(f"{path} is no folder; move it away")
        if stat.S_IMODE(facts.st_mode) & _OTHERS:
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK)
            try:
                os.fchmod(opened, 0o700)
            finally:
                os.close(opened)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one of us write into a folder at a time."""
    if not folder.is_dir():
        raise Refused(f"there is no folder {folder}; name one with --folder")
    with _meaning(folder):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _hold_to_files(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise Refused(f"{path} is a folder or a device; name a file")


def _flush(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _meaning(path: Path) -> Iterator[None]:
    """Say what an error of the file system means to a person."""
    try:
        yield
    except OSError as error:
        sentence = _sentence(path, error)
    else:
        return
    raise Refused(sentence)


def _sentence(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return f"{path} is a link; name the file itself"
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return f"there is no folder {path.parent}; make it first"
        case PermissionError():
            return f"{path} may not be read or written by you; look at its rights and its folder's"
        case _:
            return f"{path}: {os.strerror(error.errno or 0)}"
