"""A mounted folder with one file per key, as Docker and Kubernetes mount secrets."""

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from keyturn.api.base import Schema, Spelled
from keyturn.core.value import Value

from .base import LARGEST, Provider, RemoteValue
from .errors import NotFound, Refused, Unauthorized, Unreachable

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW  # a pipe must not block
_OPENED: Final = "/proc/self/fd/{}"


def below(root: Path | None, written: str) -> Path:
    """Return the folder or file that settings name, below the operator's root.

    Raises:
        Refused: It is outside, or the operator has no root.
    """
    if root is None:
        raise Refused("NoFilesRoot", "this operator may not read files; start it with --files-root DIR")
    with _meaning():
        real = Path(written).resolve()
        if real.is_relative_to(root.resolve()):
            return real
    raise Refused("OutsideFilesRoot", "the path is not below the folder given by --files-root")


def read_file(folder: Path, name: str) -> RemoteValue:
    """Read the file `name` of `folder`; links are followed within the folder.

    The version comes from inode and times of the file, never from its content.
    """
    with _meaning():
        home = folder.resolve()
        path = (home / name).resolve()
        _hold_inside(path, home)
        opened = os.open(path, _OPEN)
        try:
            # Check the opened file: a link may have changed since it was resolved.
            _hold_inside(Path(_OPENED.format(opened)).readlink(), home)
            facts = os.fstat(opened)
            if not stat.S_ISREG(facts.st_mode):
                raise Refused("NoFile", "the key is a folder or a device; name a file")
            with os.fdopen(os.dup(opened), "rb") as file:
                content = file.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise Refused("TooLarge", f"a value may have {LARGEST} bytes")
            return RemoteValue(Value(content), f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_ctime_ns}")
        finally:
            os.close(opened)
    raise AssertionError  # `_meaning` raises, or the block has returned


def _hold_inside(path: Path, home: Path) -> None:
    if not path.is_relative_to(home):
        raise Refused("OutsideFolder", "the file leads out of the store's folder")


@contextmanager
def _meaning() -> Iterator[None]:
    """Map errors of the file system to errors of stores."""
    meant: Exception
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        meant = NotFound("NoSuchFile")
    except PermissionError:
        meant = Unauthorized("PermissionDenied", "let the operator's user read the file")
    except (OSError, RuntimeError) as error:  # RuntimeError: a cycle of links
        meant = Unreachable(type(error).__name__)
    except ValueError:
        meant = Refused("InvalidKey", "a file's name has no NUL")
    else:
        return
    raise meant


# Provider

FolderPath = Annotated[
    str,
    Spelled(
        r"^/[^\x00]*$",
        "write a path from the root that is below the folder given by --files-root, such as /run/secrets",
        1024,
    ),
]


class FilesConfig(Schema):
    """A mounted folder with one file per key; in a ClusterSecretStore only."""

    path: FolderPath
    """The folder, below the one that the operator was started with."""


class Files(Provider[FilesConfig]):
    """Reads files unchanged, including a final newline; the next read sees a change."""

    kind = "files"
    Config = FilesConfig
    parts_with = "_"

    async def _read(self, key: str, version: str | None) -> RemoteValue:  # noqa: ARG002  # it keeps none
        return await asyncio.to_thread(lambda: read_file(below(self.given.files_root, self.config.path), key))

    def _check(self, key: str) -> None:
        super()._check(key)
        if "/" in key or key == "." or key.startswith(".."):
            raise Refused("InvalidKey", "a key is the name of a file in the store's folder, without slashes")
