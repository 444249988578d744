"""`keyturn render`: an environment for compose, shells or Kubernetes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .init import ENVIRONMENTS, folder_option, manifests_option, read_manifests
from .printing import print_lines

if TYPE_CHECKING:
    from keyturn.offline.dotenv.render import Source

__all__ = ["render_command"]

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
@manifests_option
@folder_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write. Default: .env, or standard output for what has no value.",
)
@click.option("--name", help="kubernetes: the name. Default: the folder's name with -secrets.")
@click.option("-n", "--namespace", metavar="NAME", help="kubernetes: the namespace.")
@click.option(
    "--with-values",
    is_flag=True,
    help="kubernetes: print a Secret with its values instead of a ManagedSecret.",
)
def render_command(
    form: str,
    environment: str,
    files: tuple[str, ...],
    folder: Path,
    output: Path | None,
    name: str | None,
    namespace: str | None,
    with_values: bool,  # noqa: FBT001 - click passes flags so
) -> None:
    """Render the values of an environment in another form.

    \b
    dotenv      .env with every reference filled in; compose, python-dotenv and shells read it alike
    compose     secrets/ENVIRONMENT/NAME.txt, which only you can read, and what a compose file says of them
    kubernetes  a ManagedSecret that declares what .env.example does; only --with-values prints values, as a Secret
    """  # noqa: D301 - click wants the character, not its spelling
    from keyturn.offline.dotenv.errors import Refused

    if form != "kubernetes" and (name or namespace or with_values):
        raise click.UsageError("--name, --namespace and --with-values belong to --to kubernetes")
    try:
        if form == "dotenv":
            _dotenv(folder, read_manifests(files), environment, output or folder / ".env")
        elif form == "compose":
            _compose(folder, read_manifests(files), environment, output)
        elif files:
            raise click.UsageError("manifests need no conversion: apply them with kubectl, and remove -f")
        elif with_values:
            _secret(folder, environment, name, namespace, output)
        else:
            _declaration(folder, name, namespace, output)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None


def _dotenv(folder: Path, manifests: tuple[dict[str, Any], ...], environment: str, output: Path) -> None:
    from keyturn.offline.dotenv import files, render

    source = render.source_at(folder, manifests, environment)
    content = render.to_dotenv(source)
    if Path(os.path.realpath(output.parent)).is_relative_to(os.path.realpath(folder)):
        _keep_out_of_git(folder, output)
    render.put(output, content, files.PRIVATE)
    print_lines(f"{output} has the {len(source.values)} variables of {source.file}")


def _keep_out_of_git(folder: Path, output: Path) -> None:
    """Complete the .gitignore of the output's folder; it may be read-only, unlike the place of the output."""
    from keyturn.offline.dotenv import gitignore
    from keyturn.offline.dotenv.errors import Refused

    try:
        gitignore.complete(folder)
    except Refused as refused:
        print_lines(f"Git may commit {output}: {refused}", err=True)


def _compose(
    folder: Path, manifests: tuple[dict[str, Any], ...], environment: str, output: Path | None
) -> None:
    from keyturn.offline.dotenv import render

    source = render.source_at(folder, manifests, environment)
    _tell_undeclared(source)
    secrets = render.secret_files(folder, environment, source)
    print_lines(f"{secrets.folder}: {len(secrets.names)} files, {len(secrets.written)} written", err=True)
    for name in secrets.stray:
        print_lines(f"{secrets.folder / name} belongs to no variable; delete it", err=True)
    _print(secrets.snippet(), source.file, output)


def _declaration(folder: Path, name: str | None, namespace: str | None, output: Path | None) -> None:
    from keyturn.offline.dotenv.declaration import EXAMPLE, declared_in
    from keyturn.offline.dotenv.environments import before
    from keyturn.offline.dotenv.write_manifest import default_name, manifest

    example = before(folder)
    _print(manifest(declared_in(example), example, name or default_name(folder), namespace), EXAMPLE, output)


def _secret(
    folder: Path, environment: str, name: str | None, namespace: str | None, output: Path | None
) -> None:
    from keyturn.offline.dotenv import render
    from keyturn.offline.dotenv.declaration import declared_in
    from keyturn.offline.dotenv.environments import before
    from keyturn.offline.dotenv.write_manifest import default_name
    from keyturn.runtime import yaml_dumper

    if output:
        raise click.UsageError("--with-values prints to standard output only: remove --output")
    source = render.source_of(declared_in(before(folder)), folder, environment)
    _tell_undeclared(source)
    secret = render.secret_object(name or default_name(folder), namespace, source)
    click.echo(yaml_dumper.dump(secret), nl=False)


def _tell_undeclared(source: Source) -> None:
    for name in source.undeclared:
        print_lines(f"{source.file}: {name} is left out, because it is not declared", err=True)


def _print(text: str, origin: str, output: Path | None) -> None:
    from keyturn.offline.dotenv import render

    if output is None:
        click.echo(text, nl=False)
        return
    render.put(output, f"{render.heading(origin)}{text}".encode(), 0o644)
