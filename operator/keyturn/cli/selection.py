"""Finds the selected ManagedSecrets: by name, by label or all, in one namespace or in all."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from keyturn.core.keys import ObjectKey
from keyturn.kube import errors

from . import cluster as clusters
from . import managed

if TYPE_CHECKING:
    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .options import Selection


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure for one ManagedSecret."""

    key: ObjectKey
    message: str

    @classmethod
    def of(cls, key: ObjectKey, error: click.ClickException | errors.ApiError, cluster: Cluster) -> Failure:
        if isinstance(error, errors.ApiError):
            return cls(key, clusters.sentence(error, cluster.server))
        return cls(key, error.message)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Found objects and failures."""

    found: tuple[FoundManagedSecret, ...]
    failures: tuple[Failure, ...] = ()


async def find(cluster: Cluster, selection: Selection) -> Chosen:
    """Find the selected objects; a missing name does not prevent the others."""
    if not selection.names:
        namespace = None if selection.everywhere else cluster.namespace
        found = await managed.all_of(cluster, namespace, selection.labels)
        return Chosen(tuple(sorted(found, key=lambda one: (one.key.namespace, one.key.name))))
    found, failures = [], []
    for name in selection.names:
        try:
            found.append(await managed.one(cluster, name))
        except (click.ClickException, errors.ApiError) as error:
            if isinstance(error, click.UsageError):
                raise
            failures.append(Failure.of(ObjectKey(cluster.namespace, name), error, cluster))
    return Chosen(tuple(found), tuple(failures))


def confirm(action: str, count: int, namespaces: int) -> None:
    """Ask for confirmation of an action in all namespaces."""
    what = f"{action} {count} ManagedSecrets in {namespaces} namespaces"
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}; confirm it with --yes")
    # The handler of asyncio cancels the task, which waits for the answer and does not end.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        click.confirm(f"This would {what}. Continue?", abort=True, err=True)
    except click.Abort as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # for click the same as a no
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
