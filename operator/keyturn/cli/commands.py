"""Declares all commands, and the help that lists them in groups.

Only click is imported before a command runs, so that help and completion answer at once.
"""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import ShellComplete, get_completion_class

from keyturn import __version__
from keyturn.runtime.imports import unseen
from keyturn.runtime.invisible_characters import make_visible

from .backup import backup_command, restore_command
from .cluster_commands import audit_command, check_command, ui_command, version_command
from .emergency.command import emergency_group
from .offline_commands import convert_command, init_command, render_command, run_with_command
from .options import INTERRUPTED
from .printing import output_failure
from .run_command import crds_command, run_command
from .secret_commands import (
    history_command,
    plan_command,
    refresh_command,
    resume_command,
    rollback_command,
    rotate_command,
    status_command,
    suspend_command,
)

if TYPE_CHECKING:
    from click import Command

_VARIABLE = "_KEYTURN_COMPLETE"
"""Variable by which click detects a completion request, derived from the program's name."""
_NO_FILES = ":4"


def script(shell: str, command: Command) -> str:
    """Return the script that enables completion in a shell."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that we offer"  # noqa: S101
    return kind(command, {}, "keyturn", _VARIABLE).source()


# Commands


@click.command("completion", short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the script that completes commands, options and the names of ManagedSecrets in SHELL.

    \b
    bash:  source <(keyturn completion bash)
    zsh:   source <(keyturn completion zsh)
    fish:  keyturn completion fish | source
    """  # noqa: D301 - click wants the character, not its spelling
    click.echo(script(shell, main))


GROUPS = {
    "Secrets in a cluster": (
        *(status_command, plan_command, history_command, rotate_command, refresh_command, rollback_command),
        *(suspend_command, resume_command, emergency_group, ui_command),
    ),
    "Operator and installation": (check_command, version_command, crds_command, run_command),
    "Audit and backup": (audit_command, backup_command, restore_command),
    "Local files, without a cluster": (init_command, render_command, run_with_command, convert_command),
    "Shell": (completion_command,),
}
"""Commands by group, as in the help."""


def _defect(error: Exception) -> click.ClickException:
    """Return the sentence about an unexpected error: its text may quote a value, so only its kind and place."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{place.tb_frame.f_globals['__name__']}:{place.tb_lineno}" if place else "?"
    return click.ClickException(
        f"unexpected {type(error).__name__} at {where}, a defect of keyturn {__version__}; report it with the"
        " command, without values"
    )


class _Plain(click.Group):
    """Ends every command: its errors have no control characters, which foreign text in them may have."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with unseen("rich", "colorama"):  # which structlog loads where they are installed
                return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = make_visible(error.message)  # click keeps the hint about usage
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except OSError as error:
            # The operator logs its end.
            if ctx.invoked_subcommand == "run" or (failure := output_failure(error)) is None:
                raise
            raise failure from None
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.invoked_subcommand == "run":
                raise
            raise _defect(error) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands by group."""
        longest = max(map(len, self.commands))
        limit = formatter.width - 6 - longest
        for title, commands in GROUPS.items():
            with formatter.section(title):
                rows = [(str(one.name).ljust(longest), one.get_short_help_str(limit)) for one in commands]
                formatter.write_dl(rows)


@click.group(cls=_Plain, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="keyturn")
def main() -> None:
    """Keyturn generates, rotates and rolls out the secrets of Kubernetes workloads.

    `keyturn status -A` shows the state of all of them, `keyturn plan NAME` what a rotation would do, and
    `keyturn rotate NAME` does it. No value is read or printed, except by audit, backup and restore, which read some.
    """


for _command in chain.from_iterable(GROUPS.values()):
    main.add_command(_command)


def kubectl_plugin() -> None:
    """Run as `kubectl keyturn …`, which kubectl finds on PATH by the name of this program."""
    main(prog_name="kubectl keyturn")


def kubectl_completion() -> None:
    """Run as `kubectl_complete-keyturn`, which kubectl asks what may follow after `kubectl keyturn`."""
    *before, incomplete = sys.argv[1:] or ("",)
    found = ShellComplete(main, {}, "kubectl keyturn", _VARIABLE).get_completions(before, incomplete)
    click.echo("\n".join([*(item.value for item in found), _NO_FILES]))
