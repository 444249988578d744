"""File access for secrets: private mode, no symbolic links, atomic replacement."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
_FOREIGN_BITS: Final = 0o077
_MAX_BYTES: Final = 1024 * 1024
_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not block


class Refused(Exception):  # noqa: N818 - it says what to do, not what went wrong
    """Nothing was changed; the message has the remedy and no value."""


def read(path: Path, largest: int = _MAX_BYTES) -> bytes | None:
    """Return the content of a file of at most `largest` bytes; None if it does not exist."""
    with _meaning(path):
        try:
            opened = os.open(path, os.O_RDONLY | _NO_LINK)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise Refused(f"{path} is a folder or a device; name a file")
            with os.fdopen(os.dup(opened), "rb") as file:
                content = file.read(largest + 1)
        finally:
            os.close(opened)
    if len(content) > largest:
        raise Refused(f"{path} has more than {largest} bytes; is it the right file?")
    return content


def write(path: Path, content: bytes, *, instead_of: bytes | None, mode: int = PRIVATE) -> None:
    """Replace a file atomically, with its mode from the first byte, if it still has the content that was read."""
    if read(path) != instead_of:
        raise Refused(f"{path} was changed meanwhile; nothing was written to it; try again")
    with _meaning(path):
        # In the same folder, so that the rename is atomic; .gitignore covers the name too.
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
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_private(path: Path) -> bool:
    """Whether only the owner may access a file."""
    with _meaning(path):
        return not stat.S_IMODE(os.lstat(path).st_mode) & _FOREIGN_BITS
    raise AssertionError  # `_meaning` raises, or the block has returned


def make_private(path: Path) -> None:
    """Remove all permissions of group and others."""
    with _meaning(path):
        opened = os.open(path, os.O_RDONLY | _NO_LINK)
        try:
            os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) & ~_FOREIGN_BITS)
        finally:
            os.close(opened)


def private_folder(path: Path) -> None:
    """Create a folder with mode 0700, or remove permissions of group and others from an existing one."""
    with _meaning(path), suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with _meaning(path):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise Refused(f"{path} is no folder; move it away")
    make_private(path)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock for writes in a folder."""
    if not folder.is_dir():
        raise Refused(f"there is no folder {folder}; name one with --folder")
    with _meaning(folder):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


@contextmanager
def _meaning(path: Path) -> Iterator[None]:
    """Map an error of the file system to a message."""
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
            return f"{path} may not be read or written by you; check the permissions of it and of its folder"
        case _:
            return f"{path}: {os.strerror(error.errno or 0)}"
