"""`keyturn run-with`: runs a program with the values of a .env file in its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .init import ENVIRONMENTS, folder_option
from .printing import print_lines

__all__ = ["run_with_command"]

_REFUSED = 125
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
    from keyturn.offline.dotenv.errors import Refused
    from keyturn.offline.dotenv.run import CannotStart, become, values_in

    path = filename or folder / f".env.{environment}"
    try:
        become(command, values_in(path, os.environ))
    except Refused as refused:
        _end(str(refused), _REFUSED)
    except CannotStart as failure:
        _end(str(failure), failure.code)


def _end(sentence: str, code: int) -> None:
    print_lines(f"Error: {sentence}", err=True)
    sys.exit(code)
