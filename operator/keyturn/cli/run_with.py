"""`keyturn run-with`: runs a program with the values of a .env file in its environment."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from .init import ENVIRONMENTS, folder_option
from .printing import print_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REFUSED, _CANNOT_START, _NOT_FOUND = 125, 126, 127
"""As with env and timeout: distinct from exit codes of programs."""


@click.command(
    "run-with",
    short_help="Run a program with the values of a .env file.",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--environment",
    type=click.Choice(ENVIRONMENTS),
    default=ENVIRONMENTS[0],
    show_default=True,
    help="The environment whose .env file is used.",
)
@click.option("-f", "--filename", type=click.Path(path_type=Path), help="Another .env file.")
@folder_option
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGUMENT]..."
)
def run_with_command(environment: str, filename: Path | None, folder: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND with the values of .env.development, or of another file, in its environment.

    They override variables of the environment. COMMAND replaces this process, so signals and the exit code are its
    own. Where a value is missing it is not started, and the exit code is 125.
    """
    from keyturn.offline.dotenv.environments import values_in
    from keyturn.offline.dotenv.files import Refused

    try:
        values = values_in(filename or folder / f".env.{environment}", os.environ)
    except Refused as refused:
        _end(str(refused), _REFUSED)
    _become(command, values)


def _become(command: Sequence[str], values: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program (exec), so that signals and exit codes are its own."""
    environment = {os.fsencode(name): os.fsencode(text) for name, text in os.environ.items()}
    # A value may have bytes of the surroundings that are not UTF-8, by a reference.
    environment |= {name.encode(): text.encode(errors="surrogateescape") for name, text in values.items()}
    # Python ignores them, and a program would inherit that: `yes | head` would never end.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    program = command[0]
    try:
        os.execvpe(program, list(command), environment)  # noqa: S606  # no shell is wanted
    except (FileNotFoundError, NotADirectoryError):
        _end(f"there is no program {program!r}", _NOT_FOUND)
    except OSError as error:
        if error.errno == errno.E2BIG:
            _end(
                f"the values and arguments are more than the system hands to a program ({program!r})",
                _CANNOT_START,
            )
        _end(f"{program!r} cannot be run: {os.strerror(error.errno or 0)}", _CANNOT_START)


def _end(sentence: str, code: int) -> NoReturn:
    print_lines(f"Error: {sentence}", err=True)
    sys.exit(code)
