"""`keyturn emergency`: declares and tracks incidents with compromised secrets."""

from __future__ import annotations

import sys
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from keyturn.cli.options import Length, Output, Where, answer, output, place

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from .incidents import Scope

_ATTENTION = 3
_IMMEDIATELY, _AFTER_ROLLOUT = "immediately", "after-rollout"

_incident = click.argument("incident")
_everywhere = click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
_in = click.option(
    "--in", "namespaces", multiple=True, metavar="NAMESPACE", help="In this namespace; repeatable."
)


def _somewhere(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for namespaces; the command receives them as `scope`."""

    @wraps(command)
    def placed(*, all_namespaces: bool, namespaces: tuple[str, ...], where: Where, **others: Any) -> None:
        if all_namespaces and namespaces:
            raise click.UsageError("write -A or --in, not both")
        if where.namespace and (all_namespaces or namespaces):
            raise click.UsageError("write one of --namespace, -A and --in")
        scope = None if all_namespaces else tuple(dict.fromkeys(namespaces))
        command(where=where, scope=scope, **others)

    return _everywhere(_in(place(placed)))


@click.group("emergency", short_help="Rotate compromised secrets at once, and track the deadlines.")
def emergency_group() -> None:
    """Rotate compromised secrets at once, and track the deadlines of 0, 1, 24 and 48 hours.

    One incident may concern several namespaces: each gets an EmergencyRotation of its own, all with the incident's
    number.
    """


@emergency_group.command("declare", short_help="Declare an incident and rotate its secrets at once.")
@_incident
@click.option(
    "--reason", required=True, help="What happened, in one line that all users of the namespace can read."
)
@click.option("--contact", help="The person or team to contact.")
@click.option("-l", "--selector", help="The ManagedSecrets with these labels, in kubectl's syntax.")
@click.option(
    "--secret", "names", multiple=True, metavar="NAME", help="The ManagedSecret of this name; repeatable."
)
@click.option(
    "--item",
    "items",
    multiple=True,
    metavar="KEY",
    help="Only the value of this name in data, of those ManagedSecrets that have it; repeatable.",
)
@click.option("--all", "takes_all", is_flag=True, help="Every ManagedSecret of the namespace.")
@click.option(
    "--revoke",
    type=click.Choice([_IMMEDIATELY, _AFTER_ROLLOUT]),
    default=_IMMEDIATELY,
    show_default=True,
    help="When the previous values are removed.",
)
@click.option(
    "--evict",
    is_flag=True,
    help="Evict bare pods and pods of Jobs with exposed values, within their budgets.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be rotated, and declare nothing.")
@click.option(
    "--wait", is_flag=True, help="Wait until every workload runs on the new values and print each change."
)
@click.option("--timeout", type=Length(), default="15m", show_default=True, help="How long --wait waits.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@answer
@_somewhere
def declare_command(  # click passes options by name
    *,
    incident: str,
    reason: str,
    contact: str | None,
    selector: str | None,
    names: tuple[str, ...],
    items: tuple[str, ...],
    takes_all: bool,
    revoke: str,
    evict: bool,
    dry_run: bool,
    wait: bool,
    timeout: timedelta,
    yes: bool,
    output: Output | None,
    scope: Scope,
    where: Where,
) -> None:
    """Declare INCIDENT: rotate everything that is selected at once, regardless of windows and overlaps.

    A declaration cannot be changed. With -A it asks first, and declares in each namespace with something to rotate.
    """
    from keyturn.cli import cluster

    from . import incidents

    if sum([selector is not None, bool(names), takes_all]) != 1:
        raise click.UsageError("write one of --selector, --secret and --all")
    spec = {
        "reason": reason,
        "incident": incident,
        "contact": contact,
        "selector": {} if takes_all else incidents.selector_in(selector) if selector is not None else None,
        "names": list(names) or None,
        "items": list(items) or None,
        "revoke": "AfterRollout" if revoke == _AFTER_ROLLOUT else None,
        "evict": evict or None,
    }
    declare = partial(incidents.declare, spec=spec, scope=scope, is_real=not dry_run, is_confirmed=yes)
    cluster.run(where, partial(declare, wait=timeout if wait else None, output=output))


@emergency_group.command("status", short_help="Show the progress of incidents and what is due.")
@click.argument("incident", required=False)
@output
@_somewhere
def status_command(*, incident: str | None, output: Output, scope: Scope, where: Where) -> None:
    """Show the progress of every incident; with INCIDENT, also which of its secrets are not done.

    Ends with 0 if no manual action is required, and with 3 if it is, if a deadline is missed, or while values are to
    be rotated elsewhere, such as at their stores, and the incident is not closed.
    """
    from keyturn.cli import cluster

    from . import incidents

    if cluster.run(where, lambda here: incidents.show(here, incident, scope, output)):
        sys.exit(_ATTENTION)


@emergency_group.command("acknowledge", short_help="Mark the access audit or the report as completed.")
@_incident
@click.option("--audit", "what", flag_value="audit", help="Mark the access audit as completed.")
@click.option("--report", "what", flag_value="report", help="Mark the incident report as completed.")
@click.option("--by", required=True, metavar="NAME", help="The name to record.")
@answer
@_somewhere
def acknowledge_command(
    *, incident: str, what: str | None, by: str, output: Output | None, scope: Scope, where: Where
) -> None:
    """Mark a stage of INCIDENT as completed, in each namespace that it concerns."""
    from keyturn.cli import cluster

    from . import incidents

    if what is None:
        raise click.UsageError("write one of --audit and --report")
    cluster.run(where, lambda here: incidents.acknowledge(here, incident, what, by, scope, output))


@emergency_group.command("report", short_help="Print the incident report.")
@_incident
@_somewhere
def report_command(*, incident: str, scope: Scope, where: Where) -> None:
    """Print the report of INCIDENT as Markdown, one part for each namespace that it concerns."""
    from keyturn.cli import cluster

    from . import incidents

    cluster.run(where, lambda here: incidents.report(here, incident, scope))
