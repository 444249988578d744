"""Commands on ManagedSecrets: status, plan, history, and those that change one."""

from __future__ import annotations

import functools
import sys
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
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from .actions import BulkOptions
    from .cluster import Cluster
    from .options import Where

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
        from . import wait

        try:
            cluster.run(where, lambda here: wait.watch(here, selection, output))
        except KeyboardInterrupt:  # the way to end it, which needs no message
            sys.exit(INTERRUPTED)
        return
    from . import status

    shown = cluster.run(where, lambda here: status.show(here, selection, output))
    _end(shown.has_failed, shown.needs_a_person)


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
    from . import cluster, status

    if not selection.is_given:
        raise click.UsageError("name a ManagedSecret, or write --selector or --all-namespaces")
    _end(cluster.run(where, lambda here: status.show_history(here, selection, output)), needs_a_person=False)


def _end(has_failed: bool, needs_a_person: bool) -> None:  # noqa: FBT001
    if has_failed:
        sys.exit(1)
    if needs_a_person:
        sys.exit(ATTENTION)


# Commands that change a ManagedSecret: rotate, refresh, rollback, suspend and resume

_wait = click.option("--wait", is_flag=True, help="Wait until the operation completes and print each change.")
_timeout = click.option(
    "--timeout",
    type=Length(),
    default="15m",
    show_default=True,
    help="How long --wait waits, such as 90s.",
)


def _answered(command: Callable[..., None]) -> Callable[..., None]:
    """Add -o; the command receives it, with --wait and --timeout if it has them, as `manner`."""

    @functools.wraps(command)
    def asked(
        *, output: Output | None, wait: bool = False, timeout: timedelta | None = None, **others: Any
    ) -> None:
        from .actions import BulkOptions

        command(manner=BulkOptions(timeout if wait else None, output), **others)

    return answer(asked)


def _waited(command: Callable[..., None]) -> Callable[..., None]:
    return _wait(_timeout(command))


@click.command("rotate", short_help="Rotate the generated values now.")
@acted_on
@_waited
@_answered
@place
def rotate_command(selection: Selection, manner: BulkOptions, where: Where) -> None:
    """Request new values for NAME now, or when its next window opens.

    It sets the annotation keyturn.dev/rotate to a new text and nothing else. `keyturn plan NAME` shows what follows.
    """
    from . import actions

    _carry_out("rotate", actions.rotate, selection, manner, where)


@click.command("refresh", short_help="Read values from their stores now.")
@acted_on
@_waited
@_answered
@place
def refresh_command(selection: Selection, manner: BulkOptions, where: Where) -> None:
    """Read the values of NAME that come from stores now; a changed value is a new revision and restarts workloads.

    It sets the annotation keyturn.dev/refresh to a new text and nothing else.
    """
    from . import actions

    _carry_out("refresh", actions.refresh, selection, manner, where)


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
@_waited
@_answered
@place
def rollback_command(name: str, manner: BulkOptions, where: Where, **options: Any) -> None:
    """Publish an earlier revision of NAME again and restart its workloads.

    Afterwards scheduled rotation is paused until its next date, `keyturn rotate` or a change of the spec. A revision
    that is older than an emergency is refused.
    """
    from . import actions

    def back(here: Any, found: Any) -> Any:
        return actions.rollback(here, found, actions.Return(**options))

    _carry_out("rollback", back, Selection((name,)), manner, where)


@click.command("suspend", short_help="Stop all writes until resume.")
@acted_on
@_answered
@place
def suspend_command(selection: Selection, manner: BulkOptions, where: Where) -> None:
    """Stop all writes for NAME: no new values, no restarts, no repair. The status is still updated."""
    from . import actions

    _carry_out("suspend", actions.suspend, selection, manner, where)


@click.command("resume", short_help="Allow writes again after suspend.")
@acted_on
@_answered
@place
def resume_command(selection: Selection, manner: BulkOptions, where: Where) -> None:
    """Remove spec.suspend of NAME; overdue rotations start at once, or in the next window."""
    from . import actions

    _carry_out("resume", actions.resume, selection, manner, where)


def _carry_out(action: str, ask: Any, selection: Selection, manner: BulkOptions, where: Where) -> None:
    from . import actions, cluster

    if cluster.run(where, lambda here: actions.carry_out(here, action, ask, selection, manner)):
        sys.exit(1)
