"""What can be typed: every command with its options and its help.

Only click is imported before a command runs, so that help and completion answer at once.
"""

from __future__ import annotations

import functools
import sys
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from keyturn import __version__
from keyturn.letters import seen

from .audit import audit_command
from .backup import backup_command, restore_command
from .check import check_command
from .convert import convert_command
from .emergency import emergency_group
from .init import init_command
from .options import Length, Where, output, place
from .render import render_command
from .run_with import run_with_command
from .serve import crds_command, run_command
from .version import version_command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from .ask import Manner
    from .cluster import Cluster
    from .options import Output

__all__ = ["ATTENTION", "kubectl_completion", "kubectl_plugin", "main"]

ATTENTION = 3
"""The exit code that says: answered, and something needs a person."""


_Answer = TypeVar("_Answer")


def _names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from .names import names

    options = ctx.params
    asked = Where(options.get("kubeconfig"), options.get("context"), options.get("namespace"))
    return [CompletionItem(name) for name in names(asked) if name.startswith(incomplete)]


_name = click.argument("name", shell_complete=_names)
_wait = click.option("--wait", is_flag=True, help="Stay, and tell every change until all is done.")
_timeout = click.option(
    "--timeout", type=Length(), default="15m", show_default=True, help="How long --wait waits, such as 90s."
)


def _answered(command: Callable[..., None]) -> Callable[..., None]:
    """Add -o json; the command gets with --wait and --timeout, where it has them, how it is asked as `manner`."""

    @functools.wraps(command)
    def asked(
        *, as_json: str | None, wait: bool = False, timeout: timedelta | None = None, **others: Any
    ) -> None:
        from .ask import Manner

        command(manner=Manner(timeout if wait else None, as_json is not None), **others)

    json = click.Choice(["json"])
    return click.option("-o", "--output", "as_json", type=json, help="One document with stable names.")(asked)


def _waited(command: Callable[..., None]) -> Callable[..., None]:
    return _wait(_timeout(command))


class _Plain(click.Group):
    """Prints errors, which may quote others, as everything else is printed."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = seen(error.message)  # click keeps the hint about usage beside it
            raise


@click.group(cls=_Plain, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="keyturn")
def main() -> None:
    """Keyturn owns the whole life of a secret in Kubernetes.

    `keyturn status -A` says how all of them are, `keyturn plan NAME` what a rotation would do, and `keyturn rotate
    NAME` does it, and no value is read or printed. `keyturn init` writes .env files, without a cluster.
    """


for _command in (
    run_command,
    crds_command,
    init_command,
    render_command,
    run_with_command,
    convert_command,
    emergency_group,
    audit_command,
    backup_command,
    restore_command,
    check_command,
    version_command,
):
    main.add_command(_command)


@main.command("status", short_help="Say what is due, overdue, rolling or failed.")
@click.argument("name", required=False, shell_complete=_names)
@click.option("-A", "--all-namespaces", is_flag=True, help="Look into every namespace.")
@output
@place
def status_command(
    name: str | None,
    all_namespaces: bool,  # noqa: FBT001 - click passes flags so
    output: Output,
    where: Where,
) -> None:
    """Say how every ManagedSecret is, the worst first; with NAME, how one is and each of its workloads.

    Ends with 0 where nothing needs a person, and with 3 where one is Failed, Stalled, Overdue or Unseen.
    """
    from . import status

    if name and all_namespaces:
        raise click.UsageError("a NAME is of one namespace: leave out -A, or say which with --namespace")

    def show(here: Cluster) -> Awaitable[bool]:
        if name:
            return status.show_one(here, name, output)
        return status.show_all(here, None if all_namespaces else here.namespace, output)

    _end(_run(where, show))


@main.command("plan", short_help="Say what a rotation would do, without doing it.")
@click.argument("name", required=False, shell_complete=_names)
@click.option(
    "-f",
    "--filename",
    type=click.File("rb"),
    help="A manifest that need not be applied yet; - for standard input.",
)
@output
@place
def plan_command(name: str | None, filename: IO[bytes] | None, output: Output, where: Where) -> None:
    """Say what a rotation of NAME would do now: what it makes anew, whom it restarts, when, and what forbids it.

    Nothing is written, and no Secret is read; of the caller's own Secrets only metadata, where that is allowed.
    Ends with 3 where the rotation would be refused.
    """
    from . import plan

    def show(here: Cluster) -> Awaitable[bool]:
        if name and not filename:
            return plan.show(here, name, output)
        if filename and not name:
            return plan.show_manifest(here, filename, output)
        raise click.UsageError("name a ManagedSecret, or a manifest with -f")

    _end(_run(where, show))


@main.command("history", short_help="List the revisions: when, why, and how each ended.")
@_name
@output
@place
def history_command(name: str, output: Output, where: Where) -> None:
    """List the last revisions of NAME, the newest first, with the reason and the result of each."""
    from . import history

    _run(where, lambda here: history.show(here, name, output))


@main.command("rotate", short_help="Replace the values now.")
@_name
@_waited
@_answered
@place
def rotate_command(name: str, manner: Manner, where: Where) -> None:
    """Ask for new values of NAME now, or when the next window opens where it has windows.

    It sets the annotation keyturn.dev/rotate to a new text and nothing else. `keyturn plan NAME` says what follows.
    """
    from . import ask

    _run(where, lambda here: ask.rotate(here, name, manner))


@main.command("refresh", short_help="Read the values of stores now.")
@_name
@_waited
@_answered
@place
def refresh_command(name: str, manner: Manner, where: Where) -> None:
    """Have what NAME pulls read from its stores now; another value there is a revision that rolls workloads.

    It sets the annotation keyturn.dev/refresh to a new text and nothing else.
    """
    from . import ask

    _run(where, lambda here: ask.refresh(here, name, manner))


@main.command("rollback", short_help="Go back to an earlier revision.")
@_name
@click.option(
    "--to", type=click.IntRange(min=1), metavar="REVISION", help="Which one; else the one before the current."
)
@_waited
@_answered
@place
def rollback_command(name: str, to: int | None, manner: Manner, where: Where) -> None:
    """Put an earlier revision of NAME back into its Secret and restart its workloads on it.

    Afterwards nothing is rotated by schedule until somebody asks for it, as with `keyturn rotate`.
    """
    from . import ask

    _run(where, lambda here: ask.rollback(here, name, to, manner))


@main.command("suspend", short_help="Stop every write, until resume.")
@_name
@_answered
@place
def suspend_command(name: str, manner: Manner, where: Where) -> None:
    """Have the operator write nothing for NAME: no value, no restart, no repair. The status goes on telling."""
    from . import ask

    _run(where, lambda here: ask.suspend(here, name, manner))


@main.command("resume", short_help="Let writes go on after suspend.")
@_name
@_answered
@place
def resume_command(name: str, manner: Manner, where: Where) -> None:
    """Take spec.suspend of NAME away; what came due meanwhile is done at once, or in the next window."""
    from . import ask

    _run(where, lambda here: ask.resume(here, name, manner))


@main.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print what makes SHELL complete commands, options and the names of ManagedSecrets.

    \b
    bash:  source <(keyturn completion bash)
    zsh:   source <(keyturn completion zsh)
    fish:  keyturn completion fish | source
    """  # noqa: D301 - click wants the character, not its spelling
    from .completion import script

    click.echo(script(shell, main))


def kubectl_plugin() -> None:
    """Run as `kubectl keyturn …`, which kubectl finds on PATH by the name of this program."""
    main(prog_name="kubectl keyturn")


def kubectl_completion() -> None:
    """Run as `kubectl_complete-keyturn`, which kubectl asks what may follow after `kubectl keyturn`."""
    from .completion import for_kubectl

    click.echo(for_kubectl(sys.argv[1:], main))


def _run(where: Where, work: Callable[[Cluster], Awaitable[_Answer]]) -> _Answer:
    from . import cluster

    return cluster.run(where, work)


def _end(needs_a_person: bool) -> None:  # noqa: FBT001
    if needs_a_person:
        sys.exit(ATTENTION)
