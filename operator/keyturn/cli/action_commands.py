"""Commands that change a ManagedSecret: rotate, refresh, rollback, suspend and resume."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import click

from .options import Length, Selection, answer, place
from .selection_options import acted_on, name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from .bulk_actions import BulkOptions
    from .options import Output, Where

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
        from .bulk_actions import BulkOptions

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


def _carry_out(action: str, actions: Any, selection: Selection, manner: BulkOptions, where: Where) -> None:
    from . import bulk_actions, cluster

    if cluster.run(where, lambda here: bulk_actions.carry_out(here, action, actions, selection, manner)):
        sys.exit(1)
