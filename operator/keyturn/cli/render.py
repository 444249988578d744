"""`keyturn render`: an environment for compose, shells or Kubernetes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .init import ENVIRONMENTS, folder_option
from .printing import print_lines

_FORMS = ("dotenv", "compose", "kubernetes")


@click.command("render", short_help="Render the values for Compose, shells or Kubernetes.")
@click.option("--to", "form", type=click.Choice(_FORMS), required=True, help="The form.")
@click.option(
    "--environment",
    type=click.Choice(ENVIRONMENTS),
    default=ENVIRONMENTS[0],
    show_default=True,
    help="The environment.",
)
@folder_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write. Default: .env, or standard output for what has no value.",
)
@click.option("--name", help="kubernetes: the name. Default: the folder's name with -secrets.")
@click.option("-n", "--namespace", metavar="NAME", help="kubernetes: the namespace.")
def render_command(
    form: str,
    environment: str,
    folder: Path,
    output: Path | None,
    name: str | None,
    namespace: str | None,
) -> None:
    """Render the values of an environment in another form.

    \b
    dotenv      .env with every reference filled in; compose, python-dotenv and shells read it alike. In a .env that
                you wrote, only missing and empty values are filled in
    compose     secrets/ENVIRONMENT/NAME.txt, which only you can read, and what a compose file says of them
    kubernetes  a ManagedSecret that declares what .env.example does, without values
    """  # noqa: D301 - click wants the character, not its spelling
    from keyturn.offline.dotenv.declaration import EXAMPLE, declared_at
    from keyturn.offline.dotenv.files import Refused
    from keyturn.offline.dotenv.manifest import default_name, manifest

    if form != "kubernetes" and (name or namespace):
        raise click.UsageError("--name and --namespace belong to --to kubernetes")
    try:
        if form == "dotenv":
            _dotenv(folder, environment, output or folder / ".env")
        elif form == "compose":
            _compose(folder, environment, output)
        else:
            declaration = declared_at(folder)
            _print(manifest(declaration, name or default_name(folder), namespace), EXAMPLE, output)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None


def _dotenv(folder: Path, environment: str, output: Path) -> None:
    from keyturn.offline.dotenv import gitignore, render
    from keyturn.offline.dotenv.files import Refused

    source = render.source_at(folder, environment)
    if Path(os.path.realpath(output.parent)).is_relative_to(os.path.realpath(folder)):
        try:
            gitignore.complete(folder)
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
