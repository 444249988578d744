"""Commands that need no cluster: init, render, run-with and convert."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .options import FILE, manifest_files
from .printing import print_document, print_lines

if TYPE_CHECKING:
    from keyturn.offline.convert import Conversion
    from keyturn.offline.dotenv.environments import Flaw

_ATTENTION = 3


def _environment(_: click.Context, __: click.Parameter, given: Any) -> Any:
    """Refuse names that cannot be part of a file's name."""
    from keyturn.offline.dotenv.environments import is_environment

    for name in (given,) if isinstance(given, str) else given or ():
        if not is_environment(name):
            raise click.BadParameter(
                f"{name!r} is no environment: write letters, digits, - and _, such as staging for .env.staging"
            )
    return given


folder_option = click.option(
    "--folder",
    type=FILE,
    default=".",
    show_default=True,
    help="The folder of .env.example and the .env files.",
)


@click.command("init", short_help="Create .env files with strong values.")
@click.option(
    "--environment",
    "environments",
    metavar="NAME",
    callback=_environment,
    multiple=True,
    help="Fill .env.NAME; repeatable. Default: development, or .env if only that exists; with --check each file.",
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
    """Fill .env.development, .env or the file of another environment from .env.example, without a cluster.

    Missing or empty values are generated as a hint in .env.example says, such as `# keyturn: bytes length=32`, or by
    the name of the variable. An existing value is never overwritten. No value is printed.

    Ends with 3 if a value remains for you to write: one that is issued externally, or that two environments share.
    """
    from keyturn.offline.dotenv import environments as files_of
    from keyturn.offline.dotenv import initialise
    from keyturn.offline.dotenv.files import Refused

    if check and rotated:
        raise click.UsageError("--check writes nothing: leave out --rotate")
    try:
        if check:
            from keyturn.checklist.strength_estimate import is_weak

            flaws = initialise.check(folder, environments, is_weak)
        else:
            flaws = _fill(folder, tuple(dict.fromkeys(environments)) or (files_of.usual(folder),), rotated)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    for flaw in flaws:
        print_lines(f"{flaw.file}: {flaw.variable} {flaw.sentence}".replace("  ", " "))
    if flaws:
        sys.exit(1 if check else _ATTENTION)


def _fill(folder: Path, names: Sequence[str], rotated: Sequence[str]) -> list[Flaw]:
    from keyturn.offline.dotenv import initialise

    from .printing import table

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


# keyturn render

_FORMS = ("dotenv", "compose", "kubernetes")


@click.command("render", short_help="Render the values for Compose, shells or Kubernetes.")
@click.option("--to", "form", type=click.Choice(_FORMS), required=True, help="The form.")
@click.option(
    "--environment",
    metavar="NAME",
    callback=_environment,
    help="The environment. Default: development, or .env if only that exists.",
)
@folder_option
@click.option(
    "--output", type=FILE, help="The file to write. Default: .env, or standard output for what has no value."
)
@click.option("--name", help="kubernetes: the name. Default: the folder's name with -secrets.")
@click.option("-n", "--namespace", metavar="NAME", help="kubernetes: the namespace.")
def render_command(
    form: str,
    environment: str | None,
    folder: Path,
    output: Path | None,
    name: str | None,
    namespace: str | None,
) -> None:
    """Render the values of an environment in another form.

    \b
    dotenv      .env with every reference filled in; compose, python-dotenv and shells read it alike. In a .env that
                you wrote, only missing and empty values are filled in
    compose     secrets/ENVIRONMENT/NAME.txt, of .env secrets/NAME.txt, which only you can read, and what a compose
                file says of them
    kubernetes  a ManagedSecret that declares what .env.example does, without values
    """  # noqa: D301 - click wants the character, not its spelling
    from keyturn.offline.dotenv.declaration import EXAMPLE, declared_at
    from keyturn.offline.dotenv.environments import usual
    from keyturn.offline.dotenv.files import Refused
    from keyturn.offline.dotenv.render import default_name, manifest

    if form != "kubernetes" and (name or namespace):
        raise click.UsageError("--name and --namespace belong to --to kubernetes")
    try:
        if form == "dotenv":
            _dotenv(folder, environment or usual(folder), output or folder / ".env")
        elif form == "compose":
            _compose(folder, environment or usual(folder), output)
        else:
            declaration = declared_at(folder)
            _print(manifest(declaration, name or default_name(folder), namespace), EXAMPLE, output)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None


def _dotenv(folder: Path, environment: str, output: Path) -> None:
    from keyturn.offline.dotenv import environments, render
    from keyturn.offline.dotenv.files import Refused

    if output.absolute() == environments.path_of(folder, environment).absolute():
        raise Refused(f"{output} is the file that is read; name another one with --output")
    source = render.source_at(folder, environment)
    if Path(os.path.realpath(output.parent)).is_relative_to(os.path.realpath(folder)):
        try:
            environments.complete_gitignore(folder)
        except Refused as refused:  # the folder may be read-only, unlike the place of the output
            print_lines(f"Git may commit {output}: {refused}", err=True)
    repaired = render.put_dotenv(output, source)
    if repaired is None:
        print_lines(f"{output} has the {len(source.values)} variables of {source.file}")
    else:
        print_lines(f"{output} got {repaired} values of {source.file}; its own stay")


def _compose(folder: Path, environment: str, output: Path | None) -> None:
    from keyturn.offline.dotenv import render

    source = render.source_at(folder, environment)
    for name in source.undeclared:
        print_lines(f"{source.file}: {name} is left out, because it is not declared", err=True)
    secrets = render.put_secrets(folder, environment, source)
    print_lines(f"{secrets.folder}: {len(secrets.names)} files, {secrets.written} written", err=True)
    for name in secrets.stray:
        print_lines(f"{secrets.folder / name} belongs to no variable; delete it", err=True)
    _print(secrets.snippet(), source.file, output)


def _print(text: str, origin: str, output: Path | None) -> None:
    from keyturn.offline.dotenv import render

    if output is None:
        click.echo(text, nl=False)
        return
    render.put(output, f"{render.heading(origin)}{text}".encode(), 0o644)


# keyturn run-with

_REFUSED, _CANNOT_START, _NOT_FOUND = 125, 126, 127
"""As with env and timeout: distinct from exit codes of programs."""


@click.command(
    "run-with",
    short_help="Run a program with the values of a .env file.",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--environment",
    metavar="NAME",
    callback=_environment,
    help="The environment whose file is used. Default: development, or .env if only that exists.",
)
@click.option("-f", "--filename", type=FILE, help="Another .env file.")
@folder_option
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGUMENT]..."
)
def run_with_command(
    environment: str | None, filename: Path | None, folder: Path, command: tuple[str, ...]
) -> None:
    """Run COMMAND with the values of .env.development, or of another file, in its environment.

    They override variables of the environment. COMMAND replaces this process, so signals and the exit code are its
    own. Where a value is missing it is not started, and the exit code is 125.
    """
    from keyturn.offline.dotenv.environments import path_of, usual, values_in
    from keyturn.offline.dotenv.files import Refused

    try:
        values = values_in(filename or path_of(folder, environment or usual(folder)), os.environ)
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


# keyturn convert


@click.command("convert", short_help="Convert manifests of External Secrets and mittwald's generator.")
@manifest_files("A file, a folder with its subfolders, or - for standard input; repeatable.", required=True)
@click.option("--lenient", is_flag=True, help="Exit with 0 even if meaning is lost.")
def convert_command(files: tuple[str, ...], lenient: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Convert ExternalSecrets and their stores, and Secrets with annotations of mittwald's secret generator.

    What has no counterpart is listed on standard error and above the manifest that lacks it. No cluster is needed,
    and no value of a Secret is printed. Name files that refer to one another in one call.

    Ends with 0 if all is converted, with 1 if meaning is lost, and with 2 if a file cannot be read.
    """
    from keyturn.offline.convert import convert, written

    from .manifest_files import objects_in

    conversion = convert(body for file in files for _, body in objects_in(file, recursive=True))
    print_document(written(conversion.manifests))
    _report(conversion)
    if not (conversion.is_whole or lenient):
        sys.exit(1)


def _report(conversion: Conversion) -> None:
    from keyturn.offline.convert import Weight, grouped, printable

    from .printing import table

    findings = sorted(grouped(conversion.findings), key=lambda finding: finding.weight is not Weight.LOST)
    rows = [
        (one.document, one.field, one.weight.name.lower(), one.what, one.remedy or "nothing")
        for one in findings
    ]
    if rows:
        head = ("DOCUMENT", "FIELD", "MEANING", "WHAT HAPPENS", "WHAT TO DO")
        print_lines(table(head, [tuple(map(printable, row)) for row in rows]), err=True)
    kinds = Counter(str(body.get("kind") or "of no kind") for body in conversion.others)
    if kinds:
        names = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print_lines(f"Left out, as their kinds are not converted: {names}", err=True)
    if not conversion.manifests:
        print_lines("No object to convert: `keyturn convert --help` names the kinds", err=True)
