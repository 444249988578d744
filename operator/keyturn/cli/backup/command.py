"""`keyturn backup` and `keyturn restore`: the values of a namespace in an age file, and back."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from keyturn.cli.options import Where, named_place, place

__all__ = ["backup_command", "identity_option", "restore_command"]

_identity = functools.partial(
    click.option,
    "--identity",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The secret key of a recipient, as age-keygen or ssh-keygen writes it, without a passphrase.",
)
identity_option = _identity()


@click.command(
    "backup", short_help="Save the values of a namespace's ManagedSecrets in an encrypted age file."
)
@click.option(
    "--recipient",
    "recipients",
    metavar="KEY",
    multiple=True,
    required=True,
    help="A public key of age (age1…) or of SSH whose secret key, without a passphrase, opens the file; repeatable.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="The file to write; it must not exist yet.",
)
@place
def backup_command(recipients: tuple[str, ...], output: Path, where: Where) -> None:
    """Save the values of all ManagedSecrets of a namespace in a file that only the recipients can decrypt.

    It copies the state Secrets, so it needs the right to list Secrets. They have pulled and adopted values, too, and
    those of earlier revisions.
    """
    from . import run

    run.backup(where, recipients, output)


@click.command("restore", short_help="Restore the values of a backup into an empty namespace.")
@click.argument("file", type=click.Path(path_type=Path))
@_identity(required=True)
@named_place
def restore_command(file: Path, identity: Path, where: Where) -> None:
    """Restore the values of FILE into a namespace without ManagedSecrets; nothing is overwritten.

    Apply the ManagedSecrets afterwards: they take over these values and write the Secrets as they were.
    """
    from . import run

    run.restore(where, file, identity)
