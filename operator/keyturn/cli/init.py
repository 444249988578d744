"""`keyturn init`: fills .env files with strong values, one file per environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .printing import print_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.offline.dotenv.environments import Flaw

ENVIRONMENTS = ("development", "staging", "production")
_ATTENTION = 3

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=".",
    show_default=True,
    help="The folder of .env.example and the .env files.",
)


@click.command("init", short_help="Create .env files with strong values.")
@click.option(
    "--environment",
    "environments",
    type=click.Choice(ENVIRONMENTS),
    multiple=True,
    help="The file to fill; repeatable. Default: development, with --check every existing file.",
)
@folder_option
@click.option(
    "--rotate", "rotated", metavar="NAME", multiple=True, help="Replace this value only; repeatable."
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if something is wrong.")
def init_command(
    environments: tuple[str, ...],
    folder: Path,
    rotated: tuple[str, ...],
    check: bool,  # noqa: FBT001 - click passes flags so
) -> None:
    """Fill .env.development, .env.staging or .env.production from .env.example, without a cluster.

    Missing or empty values are generated as a hint in .env.example says, such as `# keyturn: bytes length=32`, or by
    the name of the variable. An existing value is never overwritten. No value is printed.

    Ends with 3 if a value remains for you to write: one that is issued externally, or that two environments share.
    """
    from keyturn.offline.dotenv import initialise
    from keyturn.offline.dotenv.files import Refused

    if check and rotated:
        raise click.UsageError("--check writes nothing: leave out --rotate")
    try:
        if check:
            there = [name for name in ENVIRONMENTS if (folder / f".env.{name}").exists()]
            flaws = initialise.check(folder, environments or there or ENVIRONMENTS[:1])
        else:
            flaws = _fill(folder, tuple(dict.fromkeys(environments)) or ENVIRONMENTS[:1], rotated)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    for flaw in flaws:
        print_lines(f"{flaw.file}: {flaw.variable} {flaw.sentence}".replace("  ", " "))
    if flaws:
        sys.exit(1 if check else _ATTENTION)


def _fill(folder: Path, names: Sequence[str], rotated: Sequence[str]) -> list[Flaw]:
    from keyturn.offline.dotenv import initialise

    from .text import table

    filled, ignored = initialise.fill(folder, names, rotated)
    if ignored:
        print_lines(f".gitignore got {', '.join(line.decode() for line in ignored)}")
    for one in filled:
        print_lines(f"{one.file} {one.state}")
        if one.lines:
            print_lines(table(("NAME", "VALUE", "HOW", "WHY"), one.lines))
    if rotated:
        print_lines("restart what reads it, such as by docker compose up -d --force-recreate")
    return [flaw for one in filled for flaw in one.flaws]
