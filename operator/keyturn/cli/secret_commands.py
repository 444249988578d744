"""Commands on ManagedSecrets: status, plan, history, and those that change one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from .options import (
    INTERRUPTED,
    Length,
    Output,
    Selection,
    acted_on,
    answer,
    formats,
    looked_at,
    manifest_files,
    name,
    output,
    place,
)

if TYPE_CHECKING:
    from .actions import Ask, BulkOptions
    from .cluster import Cluster
    from .options import Where

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
        from . import wait

        try:
            cluster.run(where, lambda here: wait.watch(here, selection, output))
        except KeyboardInterrupt:  # the way to end it, which needs no message
            sys.exit(INTERRUPTED)
        return
    from . import status

    sys.exit(cluster.run(where, lambda here: status.show(here, selection, output)))


@click.command("plan", short_help="Show what a rotation or a manifest would do, without doing it.")
@looked_at
@manifest_files("A manifest, applied or not, a folder of manifests, or - for standard input; repeatable.")
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

    def show(here: Cluster) -> Awaitable[int]:
        if files:
            return plan.show_manifests(here, files, output, where.namespace)
        return plan.show(here, selection, output)

    sys.exit(cluster.run(where, show))


@click.command("history", short_help="List the revisions: when, why, and how each ended.")
@looked_at
@_documents
@place
def history_command(*, selection: Selection, output: Output, where: Where) -> None:
    """List the last revisions of NAME, the newest first, with the reason and the result of each."""
    from . import cluster, status

    if not selection.is_given:
        raise click.UsageError("name a ManagedSecret, or write --selector or --all-namespaces")
    sys.exit(cluster.run(where, lambda here: status.show_history(here, selection, output)))


# Commands that change a ManagedSecret: rotate, refresh, rollback, suspend and resume


def _requested(command: Callable[..., None], *, waits: bool = True) -> Callable[..., None]:
    """Add -o, and --wait and --timeout if it `waits`; the command receives them as `manner`."""

    @functools.wraps(command)
    def asked(
        *, output: Output | None, wait: bool = False, timeout: timedelta | None = None, **others: Any
    ) -> None:
        from .actions import BulkOptions

        command(manner=BulkOptions(timeout if wait else None, output), **others)

    placed = answer(place(asked))
    if not waits:
        return placed
    wait = click.option(
        "--wait", is_flag=True, help="Wait until the operation completes and print each change."
    )
    about = "How long --wait waits, such as 90s."
    timeout = click.option("--timeout", type=Length(), default="15m", show_default=True, help=about)
    return wait(timeout(placed))


def _request(name: str, short: str, text: str, *, waits: bool) -> click.Command:
    """Return a command that makes the request of its name for each selected ManagedSecret."""

    def command(selection: Selection, manner: BulkOptions, where: Where) -> None:
        from . import actions

        _carry_out(name, getattr(actions, name), selection, manner, where)

    return click.command(name, short_help=short, help=text)(acted_on(_requested(command, waits=waits)))


def _carry_out(action: str, ask: Ask, selection: Selection, manner: BulkOptions, where: Where) -> None:
    from . import actions, cluster

    sys.exit(cluster.run(where, lambda here: actions.carry_out(here, action, ask, selection, manner)))


rotate_command = _request(
    "rotate",
    "Rotate the generated values now.",
    """Request new values for NAME now, or when its next window opens.

    It sets the annotation keyturn.dev/rotate to a new text and nothing else. `keyturn plan NAME` shows what follows.
    """,
    waits=True,
)
refresh_command = _request(
    "refresh",
    "Read values from their stores now.",
    """Read the values of NAME that come from stores now; a changed value is a new revision and restarts workloads.

    It sets the annotation keyturn.dev/refresh to a new text and nothing else.
    """,
    waits=True,
)
suspend_command = _request(
    "suspend",
    "Stop all writes until resume.",
    "Stop all writes for NAME: no new values, no restarts, no repair. The status is still updated.",
    waits=False,
)
resume_command = _request(
    "resume",
    "Allow writes again after suspend.",
    "Remove spec.suspend of NAME; overdue rotations start at once, or in the next window.",
    waits=False,
)


@click.command("rollback", short_help="Publish an earlier revision again.")
@name
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="REVISION",
    help="The revision. Default: the next lower one that was not rolled back.",
)
@click.option(
    "--hold",
    is_flag=True,
    help="Pause scheduled rotation until `keyturn rotate` or a change of the spec, also after the next date.",
)
@click.option(
    "--even-exposed", is_flag=True, help="Publish the revision even if an emergency has exposed its values."
)
@_requested
def rollback_command(name: str, manner: BulkOptions, where: Where, **options: Any) -> None:
    """Publish an earlier revision of NAME again and restart its workloads.

    Afterwards scheduled rotation is paused until its next date, `keyturn rotate` or a change of the spec. A revision
    that is older than an emergency is refused.
    """
    from . import actions

    back = functools.partial(actions.rollback, back=actions.Return(**options))
    _carry_out("rollback", back, Selection((name,)), manner, where)
