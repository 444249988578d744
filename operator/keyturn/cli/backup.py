"""`keyturn backup` and `keyturn restore`: the values of a namespace in an age file, and back."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .options import FILE, Where, named_place, place
from .printing import print_lines

if TYPE_CHECKING:
    from keyturn.checklist.backup import Backup
    from keyturn.cli.cluster import Cluster

_LARGEST: Final = 1024 * 1024 * 1024
_identity = functools.partial(
    click.option,
    "--identity",
    type=FILE,
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
    "--output", type=FILE, metavar="FILE", required=True, help="The file to write; it must not exist yet."
)
@place
def backup_command(recipients: tuple[str, ...], output: Path, where: Where) -> None:
    """Save the values of all ManagedSecrets of a namespace in a file that only the recipients can decrypt.

    It copies the state Secrets, so it needs the right to list Secrets. They have pulled and adopted values, too, and
    those of earlier revisions.
    """
    from keyturn.checklist.backup import NoBackup, encrypt, recipients_of, take
    from keyturn.core.texts import few
    from keyturn.offline.dotenv import files

    from .cluster import run

    if os.path.lexists(output):
        raise click.ClickException(f"{output} already exists; name a new file")

    async def work(cluster: Cluster) -> Backup:
        return await take(cluster.api, cluster.namespace, cluster.now())

    try:
        keys = recipients_of(recipients)
        taken = run(where, work)
        files.write(output, encrypt(taken, keys), instead_of=None)
    except (NoBackup, files.Refused) as problem:
        raise click.ClickException(str(problem)) from None
    print_lines(
        f"{output}: the values of {len(taken.states)} ManagedSecrets of namespace {taken.namespace},"
        f" for {len(keys)} {'recipient' if len(keys) == 1 else 'recipients'}"
    )
    if taken.left_out:
        raise click.ClickException(
            f"{output} lacks {few(taken.left_out)} of namespace {taken.namespace}: such a state Secret was"
            " edited, or a newer version wrote it; restore or delete it, and make another backup"
        )


@click.command("restore", short_help="Restore the values of a backup into an empty namespace.")
@click.argument("file", type=FILE)
@_identity(required=True)
@named_place
def restore_command(file: Path, identity: Path, where: Where) -> None:
    """Restore the values of FILE into a namespace without ManagedSecrets; nothing is overwritten.

    Apply the ManagedSecrets afterwards: they take over these values and write the Secrets as they were.
    """
    from keyturn.checklist.backup import NoBackup, put_back

    from .cluster import run

    found = read(file, identity)

    async def work(cluster: Cluster) -> int:
        return len(await put_back(cluster.api, found, cluster.namespace))

    try:
        count = run(where, work)
    except NoBackup as problem:
        raise click.ClickException(str(problem)) from None
    print_lines(
        f"the values of {count} ManagedSecrets of namespace {found.namespace} are in namespace"
        f" {where.namespace}; now apply their manifests there"
    )


def read(file: Path, identity: Path) -> Backup:
    """Read and decrypt a backup."""
    from keyturn.checklist.backup import NoBackup, decrypt, identities_in
    from keyturn.offline.dotenv import files

    def content_of(path: Path) -> bytes:
        content = files.read(path, _LARGEST)
        if content is None:
            raise NoBackup("there is no such file")
        return content

    named = identity
    try:
        identities = identities_in(content_of(identity))
        named = file
        return decrypt(content_of(file), identities)
    except (NoBackup, files.Refused) as problem:
        raise click.ClickException(f"{named}: {problem}") from None
