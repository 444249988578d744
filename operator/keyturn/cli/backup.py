"""`keyturn backup` and `keyturn restore`: the values of a namespace in an age file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Where, place

__all__ = ["backup_command", "identity_option", "restore_command"]

identity_option = click.option(
    "--identity",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The secret key of a recipient, as age-keygen or ssh-keygen writes it.",
)


@click.command("backup", short_help="Write the values of a namespace into an age file.")
@click.option(
    "--recipient",
    "recipients",
    metavar="KEY",
    multiple=True,
    required=True,
    help="Who can open it: a public key of age (age1…) or of SSH; repeatable.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="A file that is new.",
)
@place
def backup_command(recipients: tuple[str, ...], output: Path, where: Where) -> None:
    """Write every value that Keyturn made in a namespace into a file that only the recipients can open.

    It reads the state Secrets, so it takes the right to list Secrets. Values that stores hold are not in it: the
    stores have them.
    """
    from . import backingup

    backingup.backup(where, recipients, output)


@click.command("restore", short_help="Put the values of a backup into an empty namespace.")
@click.argument("file", type=click.Path(path_type=Path))
@identity_option
@place
def restore_command(file: Path, identity: Path | None, where: Where) -> None:
    """Put the values of FILE into a namespace that has none of Keyturn; nothing is ever overwritten.

    Apply the ManagedSecrets afterwards: they find their values, and write the Secrets as they were.
    """
    from . import backingup

    if identity is None:
        raise click.UsageError("name the secret key of a recipient with --identity")
    if where.namespace is None:
        raise click.UsageError("name the empty namespace with --namespace")
    backingup.restore(where, file, identity)
