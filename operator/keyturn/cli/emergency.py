"""`keyturn emergency`: what is typed when a secret is compromised."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .options import Length, Output, Where, output, place

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

__all__ = ["emergency_group"]

_ATTENTION = 3
_IMMEDIATELY, _AFTER_ROLLOUT = "immediately", "after-rollout"

_incident = click.argument("incident")
_everywhere = click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
_in = click.option(
    "--in", "namespaces", multiple=True, metavar="NAMESPACE", help="In this namespace; repeatable."
)


def _somewhere(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say in which namespaces an incident is."""
    return _everywhere(_in(place(command)))


@click.group("emergency", short_help="Rotate what is compromised at once, and keep the clock.")
def emergency_group() -> None:
    """Rotate what is compromised at once, and keep the clock of 0, 1, 24 and 48 hours.

    One incident may concern several namespaces: each gets an EmergencyRotation of its own, all with the incident's
    number.
    """


@emergency_group.command("declare", short_help="Declare an incident: rotate at once.")
@_incident
@click.option("--reason", required=True, help="What has happened, in one line that everybody may read.")
@click.option("--contact", help="Whom to ask.")
@click.option("-l", "--selector", metavar="KEY=VALUE,…", help="Which ManagedSecrets, by their labels.")
@click.option("--secret", "names", multiple=True, metavar="NAME", help="Which ManagedSecret; repeatable.")
@click.option("--all", "takes_all", is_flag=True, help="Every ManagedSecret of the namespace.")
@click.option(
    "--revoke",
    type=click.Choice([_IMMEDIATELY, _AFTER_ROLLOUT]),
    default=_IMMEDIATELY,
    show_default=True,
    help="When the values before stop being readable.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be rotated, and declare nothing.")
@click.option("--wait", is_flag=True, help="Stay until every service runs on the new values.")
@click.option("--timeout", type=Length(), default="15m", show_default=True, help="How long --wait waits.")
@_somewhere
def declare_command(  # click passes each option by its name
    *,
    incident: str,
    reason: str,
    contact: str | None,
    selector: str | None,
    names: tuple[str, ...],
    takes_all: bool,
    revoke: str,
    dry_run: bool,
    wait: bool,
    timeout: timedelta,
    all_namespaces: bool,
    namespaces: tuple[str, ...],
    where: Where,
) -> None:
    """Declare INCIDENT: everything that is selected is rotated at once, whatever its windows and overlaps are.

    A declaration cannot be changed. With -A it is made in each namespace that has something to rotate.
    """
    from . import cluster, declaring

    if sum([selector is not None, bool(names), takes_all]) != 1:
        raise click.UsageError("write one of --selector, --secret and --all")
    wish = declaring.Wish(
        incident=incident,
        reason=reason,
        contact=contact,
        selector={} if takes_all else declaring.labels_in(selector) if selector is not None else None,
        names=names,
        revoke="AfterRollout" if revoke == _AFTER_ROLLOUT else None,
    )
    scope = declaring.scope_of(namespaces, everywhere=all_namespaces)
    cluster.run(
        where,
        lambda here: declaring.declare(
            here, wish, scope, wait=timeout if wait else None, is_real=not dry_run
        ),
    )


@emergency_group.command("status", short_help="Say how far an incident is, and what is due.")
@click.argument("incident", required=False)
@output
@_somewhere
def status_command(
    *,
    incident: str | None,
    output: Output,
    all_namespaces: bool,
    namespaces: tuple[str, ...],
    where: Where,
) -> None:
    """Say how far every incident is; with INCIDENT, also what of it is not done.

    Ends with 0 where nothing needs a person, and with 3 where a deadline is missed or a person must act.
    """
    from . import cluster, declaring, incidents

    scope = declaring.scope_of(namespaces, everywhere=all_namespaces)
    if cluster.run(where, lambda here: incidents.show(here, incident, scope, output)):
        sys.exit(_ATTENTION)


@emergency_group.command("acknowledge", short_help="Close the access audit, or the incident.")
@_incident
@click.option("--audit", "what", flag_value="audit", help="Who read the secrets is known.")
@click.option("--report", "what", flag_value="report", help="The incident document is complete.")
@click.option("--by", required=True, metavar="NAME", help="Who acknowledges it.")
@_somewhere
def acknowledge_command(
    *,
    incident: str,
    what: str | None,
    by: str,
    all_namespaces: bool,
    namespaces: tuple[str, ...],
    where: Where,
) -> None:
    """Acknowledge a part of INCIDENT by name, in each namespace that it concerns."""
    from . import cluster, declaring, incidents

    if what is None:
        raise click.UsageError("write one of --audit and --report")
    scope = declaring.scope_of(namespaces, everywhere=all_namespaces)
    cluster.run(where, lambda here: incidents.acknowledge(here, incident, what, by, scope))


@emergency_group.command("report", short_help="Print the incident document.")
@_incident
@_somewhere
def report_command(*, incident: str, all_namespaces: bool, namespaces: tuple[str, ...], where: Where) -> None:
    """Print the document of INCIDENT as Markdown, one part for each namespace that it concerns."""
    from . import cluster, declaring, incidents

    scope = declaring.scope_of(namespaces, everywhere=all_namespaces)
    cluster.run(where, lambda here: incidents.report(here, incident, scope))
