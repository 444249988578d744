"""Commands about an installation and a cluster as a whole: check, version, ui and audit."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .backup import identity_option
from .options import FILE, INTERRUPTED, Output, Where, formats, home, place
from .printing import output_failure


@click.command("check", short_help="Check the cluster and the operator: CRDs, rights, Lease, pods.")
@click.option(
    "--pre", is_flag=True, help="Check before an installation: the API server, and your right to install."
)
@formats(Output.JSON, Output.YAML)
@home
def check_command(pre: bool, output: Output | None, where: Where) -> None:  # noqa: FBT001 - click passes flags so
    """Check whether the operator can work in this cluster, with advice for each problem.

    It reads and writes nothing but access reviews. An admin asks for the rights of the operator's ServiceAccount; in
    a pod of the operator it asks for its own. Ends with 1 if a point failed.
    """
    from keyturn.kube import config

    from . import check, cluster

    namespace = where.namespace or config.own_namespace()
    look = check.before if pre else check.points
    found = cluster.run(where, lambda here: look(here.api, namespace))
    check.show(found, namespace, output)
    if check.has_failed(found):
        sys.exit(1)


# keyturn version


@click.command("version", short_help="Print the versions of the client, the operator and the API server.")
@click.option("--client", is_flag=True, help="Print the version of this CLI only, without a cluster.")
@formats(Output.JSON, Output.YAML)
@home
def version_command(client: bool, output: Output | None, where: Where) -> None:  # noqa: FBT001 - click passes flags so
    """Print the version and the commit of this CLI and of the operator that leads, and the API server's version.

    The operator's is read from the Lease of its leader.
    """
    from keyturn.kube import config

    from . import cluster, versions

    namespace = where.namespace or config.own_namespace()
    there = None if client else cluster.run(where, lambda here: versions.find_versions(here.api, namespace))
    versions.show(there, output)


# keyturn ui


@click.command("ui", short_help="Open pages about secrets and emergencies in the browser.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The port on 127.0.0.1. Default: any free one."
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@place
def ui_command(*, all_namespaces: bool, port: int, no_browser: bool, where: Where) -> None:
    """Serve pages about secrets, emergencies, stores, database targets and classes, until Ctrl-C.

    They show what your kubeconfig may read, on 127.0.0.1 only, at an address that no other user of this machine can
    guess. Nothing can be changed there, and no value is read.
    """
    from keyturn.cli import cluster

    from .ui import server

    _refuse_both(where, all_namespaces=all_namespaces)
    cluster.run(
        where, lambda here: server.serve(here, port, everywhere=all_namespaces, opens_browser=not no_browser)
    )
    sys.exit(INTERRUPTED)


def _refuse_both(where: Where, *, all_namespaces: bool) -> None:
    if all_namespaces and where.namespace:
        raise click.UsageError("write --namespace or --all-namespaces, not both")


# keyturn audit

_HELP = """Check a cluster, a namespace or a Git repository against the checklist of eight points.

Secrets are read with your own rights, and no value is printed. What you cannot read is listed as unknown.

Ends with 0 if every point passed, with 1 if one failed, and with 2 if one is unknown.
"""
POINTS = (
    *("strength", "source-control", "environments", "at-rest"),
    *("access-log", "schedule", "recovery", "revocation"),
)


class _CannotCheck(click.ClickException):
    exit_code = 2


def _with_code_2(command: Callable[..., None]) -> Callable[..., None]:
    """Exit with 2 if the check was not possible, or its report cannot be written, since 1 means findings."""

    @functools.wraps(command)
    def checked(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except click.UsageError:
            raise  # exits with 2, and prints the usage
        except click.ClickException as problem:
            raise _CannotCheck(problem.message) from None
        except OSError as error:
            if (failure := output_failure(error)) is None:
                raise
            raise _CannotCheck(failure.message) from None

    return checked


@click.group(
    "audit",
    short_help="Check against the security checklist: what passed and what failed.",
    invoke_without_command=True,
    help=_HELP,
)
@click.option("--repository", type=FILE, metavar="DIR", help="A Git repository; alone it needs no cluster.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
@click.option(
    "--only", "points", type=click.Choice(POINTS), multiple=True, help="Check this point only; repeatable."
)
@click.option("--allow-unknown", is_flag=True, help="Exit with 0 even if a point is unknown.")
@click.option(
    "--compare-context",
    metavar="NAME",
    help="Another context, whose cluster must share no value with this one.",
)
@click.option(
    "--schedule",
    type=FILE,
    metavar="FILE",
    help="The committed schedule, written by `keyturn audit schedule`.",
)
@click.option(
    "--backup",
    type=FILE,
    metavar="FILE",
    help="A backup to restore for a drill; needs --identity and --drill.",
)
@identity_option
@click.option("--drill", metavar="NAMESPACE", help="An empty namespace for the drill; it is emptied again.")
@click.option(
    "--operator-namespace",
    default="keyturn-system",
    show_default=True,
    metavar="NAMESPACE",
    help="The operator's namespace, which has the record of reads.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(("table", "json", "sarif")),
    default="table",
    show_default=True,
    help="The format of the report.",
)
@place
@click.pass_context
@_with_code_2
def audit_command(
    context: click.Context,
    all_namespaces: bool,  # noqa: FBT001 - click passes flags so
    points: tuple[str, ...],
    allow_unknown: bool,  # noqa: FBT001
    backup: Path | None,
    identity: Path | None,
    drill: str | None,
    output: str,
    where: Where,
    **given: Any,
) -> None:
    if context.invoked_subcommand:
        return
    from . import audit

    _refuse_both(where, all_namespaces=all_namespaces)
    drilled = None
    if backup and identity and drill:
        drilled = audit.Drilled(backup, identity, drill)
    elif backup or identity or drill:
        raise click.UsageError("a drill takes all of --backup, --identity and --drill")
    asked = audit.Asked(
        where=where, all_namespaces=all_namespaces, points=points or POINTS, drill=drilled, **given
    )
    sys.exit(audit.report(asked, output, allow_unknown=allow_unknown))


@audit_command.command("schedule", short_help="Print the rotation schedule as Markdown, for your repository.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
@place
@_with_code_2
def schedule_command(
    all_namespaces: bool,  # noqa: FBT001 - click passes flags so
    where: Where,
) -> None:
    """Print when the values of every ManagedSecret rotate, as Markdown: `keyturn audit schedule > SCHEDULE.md`.

    It has no time in it that passes, so it changes only when a spec or a class does.
    """
    from . import audit

    _refuse_both(where, all_namespaces=all_namespaces)
    audit.schedule(where, all_namespaces=all_namespaces)
