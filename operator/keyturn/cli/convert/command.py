"""`keyturn convert`: manifests of External Secrets and other operators as ManagedSecrets."""

from __future__ import annotations

import sys

import click

__all__ = ["convert_command"]


@click.command("convert", short_help="Convert manifests of External Secrets and other operators.")
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.Path(exists=True, allow_dash=True),
    multiple=True,
    required=True,
    help="A file, a folder with its subfolders, or - for standard input; repeatable.",
)
@click.option(
    "--all", "keeps_others", is_flag=True, help="Print all other documents as well, except Secrets."
)
@click.option("--lenient", is_flag=True, help="Exit with 0 even if meaning is lost.")
def convert_command(
    files: tuple[str, ...],
    keeps_others: bool,  # noqa: FBT001 - click passes flags so
    lenient: bool,  # noqa: FBT001
) -> None:
    """Convert ExternalSecrets, PushSecrets and their stores and generators to ManagedSecrets and stores.

    The roles of a Cluster of CloudNativePG, the users of Zalando's postgresql and a VaultDynamicSecret of a static
    role become ManagedSecrets with a database account.

    What has no counterpart is listed on standard error and above the manifest that lacks it. No cluster is needed,
    and no value of a Secret is printed. Name files that refer to one another in one call.

    Ends with 0 if all is converted, with 1 if meaning is lost, and with 2 if a file cannot be read.
    """
    from . import run  # noqa: PLC0415  # when it runs, so that help and completion answer at once

    is_whole = run.show(files, keeps_others=keeps_others)
    if not (is_whole or lenient):
        sys.exit(1)
