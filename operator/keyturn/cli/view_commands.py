"""Read-only commands: status, plan and history."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .options import INTERRUPTED, Output, formats, output, place
from .selection_options import looked_at

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .cluster import Cluster
    from .options import Selection, Where

ATTENTION = 3
"""Exit code of a successful command that found something requiring manual action."""

_documents = formats(Output.TABLE, Output.WIDE, Output.JSON, Output.YAML, default=Output.TABLE)


@click.command("status", short_help="Show what is due, overdue, rolling or failed, the worst first.")
@looked_at
@click.option("-w", "--watch", "watches", is_flag=True, help="Then print each change, until Ctrl-C.")
@output
@place
def status_command(*, selection: Selection, watches: bool, output: Output, where: Where) -> None:
    """Show the state of ManagedSecrets, the worst first; with one NAME, each of its workloads as well.

    Without NAME it shows every ManagedSecret of the namespace. Ends with 0 if no manual action is required, with
    3 if one is Failed, Stalled, Overdue, Unseen, CrdOutdated or NotSynced or no replica of the operator leads, and
    with 1 if a NAME does not exist.
    """
    from . import cluster

    if watches:
        from . import watch

        try:
            cluster.run(where, lambda here: watch.watch(here, selection, output))
        except KeyboardInterrupt:  # the way to end it, which needs no message
            sys.exit(INTERRUPTED)
        return
    from . import status

    shown = cluster.run(where, lambda here: status.show(here, selection, output))
    _end(shown.has_failed, shown.needs_a_person)


@click.command("plan", short_help="Show what a rotation or a manifest would do, without doing it.")
@looked_at
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.Path(exists=True, allow_dash=True),
    multiple=True,
    help="A manifest, applied or not, a folder of manifests, or - for standard input; repeatable.",
)
@_documents
@place
def plan_command(*, selection: Selection, files: tuple[str, ...], output: Output, where: Where) -> None:
    """Show what a rotation of NAME would do now: which values it replaces, which workloads restart, and when.

    With -f it shows what applying each ManagedSecret of the manifests would do, and which existing ManagedSecrets
    each SecretClass makes due, overdue or violating. Nothing is written, and no value is read: of the caller's own
    Secrets only metadata, where that is allowed.

    Ends with 3 if it would be refused, by the API server or the operator, or a class has such an effect, with 2 if a
    manifest cannot be read, and with 1 if a NAME does not exist.
    """
    from . import cluster
    from .plan import command as plan

    if selection.is_given and files:
        raise click.UsageError("name a ManagedSecret or write -f, not both")
    if not selection.is_given and not files:
        raise click.UsageError("name a ManagedSecret, or write --selector, or a manifest with -f")

    def show(here: Cluster) -> Awaitable[plan.Shown]:
        if files:
            return plan.show_manifests(here, files, output, where.namespace)
        return plan.show(here, selection, output)

    shown = cluster.run(where, show)
    _end(shown.has_failed, shown.is_refused)


@click.command("history", short_help="List the revisions: when, why, and how each ended.")
@looked_at
@_documents
@place
def history_command(*, selection: Selection, output: Output, where: Where) -> None:
    """List the last revisions of NAME, the newest first, with the reason and the result of each."""
    from . import cluster, history

    if not selection.is_given:
        raise click.UsageError("name a ManagedSecret, or write --selector or --all-namespaces")
    _end(cluster.run(where, lambda here: history.show(here, selection, output)), needs_a_person=False)


def _end(has_failed: bool, needs_a_person: bool) -> None:  # noqa: FBT001
    if has_failed:
        sys.exit(1)
    if needs_a_person:
        sys.exit(ATTENTION)
