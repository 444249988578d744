"""Backup and restore of state Secrets for the command line."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import click

from keyturn.checklist.backup import NoBackup, decrypt, encrypt, identities_in, recipients_of
from keyturn.checklist.restoring import put_back, take
from keyturn.cli.cluster import run
from keyturn.cli.printing import print_lines
from keyturn.core.texts import few
from keyturn.offline.dotenv import files
from keyturn.offline.dotenv.files import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keyturn.checklist.backup import Backup
    from keyturn.cli.cluster import Cluster
    from keyturn.cli.options import Where

__all__ = ["backup", "read", "restore"]

_LARGEST: Final = 1024 * 1024 * 1024


def backup(where: Where, written: Sequence[str], output: Path) -> None:
    """Write a backup to a new file, of every state that can be read."""
    if os.path.lexists(output):
        raise click.ClickException(f"{output} already exists; name a new file")
    try:
        recipients = recipients_of(written)

        async def work(cluster: Cluster) -> Backup:
            return await take(cluster.api, cluster.namespace, cluster.now())

        taken = run(where, work)
        files.write(output, encrypt(taken, recipients), instead_of=None)
    except (NoBackup, Refused) as problem:
        raise click.ClickException(str(problem)) from None
    some = "recipient" if len(recipients) == 1 else "recipients"
    print_lines(
        f"{output}: the values of {len(taken.states)} ManagedSecrets of namespace {taken.namespace},"
        f" for {len(recipients)} {some}"
    )
    if taken.left_out:
        raise click.ClickException(
            f"{output} lacks {few(taken.left_out)} of namespace {taken.namespace}: such a state Secret was"
            " edited, or a newer version wrote it; restore or delete it, and make another backup"
        )


def restore(where: Where, file: Path, identity: Path) -> None:
    """Restore a backup into an empty namespace."""
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
    try:
        identities = identities_in(_keys(identity))
    except (NoBackup, Refused) as problem:
        raise click.ClickException(f"{identity}: {problem}") from None
    try:
        return decrypt(_read_file(file), identities)
    except NoBackup as problem:
        raise click.ClickException(f"{file}: {problem}") from None


def _keys(identity: Path) -> bytes:
    content = files.read(identity)
    if content is None:
        raise NoBackup("there is no such file")
    return content


def _read_file(file: Path) -> bytes:
    """Read a regular file, which may be large."""
    try:
        facts = file.stat()
        if stat.S_ISREG(facts.st_mode) and facts.st_size <= _LARGEST:
            return file.read_bytes()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise NoBackup(f"it cannot be read: {reason}") from None
    raise NoBackup("it is not a file, or larger than any backup")
