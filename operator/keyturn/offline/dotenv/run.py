"""Runs a program with the values of a .env file in its environment."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn

from . import files
from .document import Document
from .environment import complete, needed_by
from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["CANNOT_START", "NOT_FOUND", "CannotStart", "become", "values_in"]

CANNOT_START: Final = 126
NOT_FOUND: Final = 127


class CannotStart(Exception):  # noqa: N818 - as a shell tells it
    """The program could not be started; the exit code is that of a shell."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def values_in(path: Path, surroundings: Mapping[str, str]) -> dict[str, str]:
    """Read a complete file.

    Raises:
        Refused: It is missing, incomplete or cannot be read.
    """
    content = files.read(path)
    if content is None:
        raise Refused(f"there is no {path}; name another with -f, or make .env by keyturn init")
    document = Document.read(path.name, content)
    return complete(document, needed_by(path.parent, document), surroundings)


def become(command: Sequence[str], values: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program (exec), so that signals and exit codes are its own.

    Raises:
        CannotStart: The program does not exist, or cannot be executed.
    """
    environment = {os.fsencode(name): os.fsencode(text) for name, text in os.environ.items()}
    # A value may have bytes of the surroundings that are not UTF-8, by a reference.
    environment |= {name.encode(): text.encode(errors="surrogateescape") for name, text in values.items()}
    # Python ignores them, and a program would inherit that: `yes | head` would never end.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606  # no shell is wanted
    except OSError as error:
        sentence, code = _told(command[0], error)
    raise CannotStart(sentence, code)


def _told(program: str, error: OSError) -> tuple[str, int]:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return f"there is no program {program!r}", NOT_FOUND
        case OSError(errno=errno.E2BIG):
            return (
                f"the values and arguments are more than the system hands to a program ({program!r})",
                CANNOT_START,
            )
        case _:
            return f"{program!r} cannot be run: {os.strerror(error.errno or 0)}", CANNOT_START
