"""`keyturn init`: fills .env files with strong values, one file per environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .printing import print_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.offline.dotenv.environments import Flaw
    from keyturn.offline.dotenv.initialise import Filled

__all__ = ["ENVIRONMENTS", "folder_option", "init_command", "manifests_option", "read_manifests"]

ENVIRONMENTS = ("development", "staging", "production")
_ATTENTION = 3

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=".",
    show_default=True,
    help="The folder of .env.example and the .env files.",
)
manifests_option = click.option(
    "-f",
    "--filename",
    "files",
    metavar="FILE",
    multiple=True,
    help="Manifests of ManagedSecrets instead of .env.example: a file, a folder without its subfolders, or - for"
    " standard input; repeatable.",
)


@click.command("init", short_help="Create .env files with strong values.")
@click.option(
    "--environment",
    "environments",
    type=click.Choice(ENVIRONMENTS),
    multiple=True,
    help="The file to fill; repeatable. Default: development, with --check every existing file.",
)
@manifests_option
@folder_option
@click.option(
    "--rotate", "rotated", metavar="NAME", multiple=True, help="Replace this value only; repeatable."
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if something is wrong.")
def init_command(
    environments: tuple[str, ...],
    files: tuple[str, ...],
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
    from keyturn.offline.dotenv.errors import Refused

    if check and rotated:
        raise click.UsageError("--check writes nothing: leave out --rotate")
    manifests = read_manifests(files)
    try:
        if check:
            flaws = initialise.check(folder, manifests, environments or _there(folder))
        else:
            names = tuple(dict.fromkeys(environments)) or ENVIRONMENTS[:1]
            flaws = _fill(folder, manifests, names, rotated)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    for flaw in flaws:
        print_lines(f"{flaw.file}: {flaw.variable} {flaw.sentence}".replace("  ", " "))
    if flaws:
        sys.exit(1 if check else _ATTENTION)


def read_manifests(files: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Read what -f names."""
    if not files:
        return ()
    from .plan.manifest import Unreadable, read_stored

    try:
        return tuple(read_stored(files))
    except Unreadable as problem:
        raise click.ClickException(problem.message) from None


def _there(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in ENVIRONMENTS if (folder / f".env.{name}").exists()) or ENVIRONMENTS[:1]


def _fill(
    folder: Path, manifests: tuple[dict[str, Any], ...], names: Sequence[str], rotated: Sequence[str]
) -> list[Flaw]:
    from keyturn.offline.dotenv import initialise

    if rotated:
        filled, ignored = initialise.rotate(folder, manifests, names, rotated)
    else:
        filled, ignored = initialise.initialise(folder, manifests, names)
    if ignored:
        print_lines(f".gitignore got {', '.join(line.decode() for line in ignored)}")
    for one in filled:
        _tell(one, only_replaced=bool(rotated))
        if rotated:
            _tell_services(folder, one)
    return [flaw for one in filled for flaw in one.flaws]


def _tell(one: Filled, *, only_replaced: bool) -> None:
    from .text import table

    state = "is new" if one.is_new else "is changed" if one.is_changed else "is unchanged"
    closed = "; until now other users could read it" if one.was_open else ""
    print_lines(f"{one.file} {state}{closed}")
    lines = [line for line in one.lines if not only_replaced or line.fate == "replaced"]
    if lines:
        rows = [(line.name, line.fate, line.how, line.why) for line in lines]
        print_lines(table(("NAME", "VALUE", "HOW", "WHY"), rows))


def _tell_services(folder: Path, one: Filled) -> None:
    from keyturn.offline.dotenv.compose import users_of
    from keyturn.offline.dotenv.errors import Refused

    try:
        services = users_of(folder, one.touched, one.file)
    except Refused as refused:
        print_lines(f"restart what uses it; {refused}")
        return
    if services:
        print_lines(f"to restart: docker compose up -d --force-recreate {' '.join(sorted(services))}")
    elif services is not None:
        print_lines("no service of the compose file uses it")
