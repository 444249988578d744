"""`keyturn check`: whether a cluster fits this version, and what keeps an operator there from its work."""

from __future__ import annotations

import sys

import click

from .options import Where, home

__all__ = ["check_command"]


@click.command("check", short_help="Check the cluster and the operator: CRDs, rights, Lease, pods, clocks.")
@click.option(
    "--pre", is_flag=True, help="Check before an installation: the API server, and the right to install."
)
@click.option("-o", "--output", type=click.Choice(["json"]), help="One document with stable names.")
@home
def check_command(pre: bool, output: str | None, where: Where) -> None:  # noqa: FBT001 - click passes flags so
    """Check whether the operator can do its work, and say of each point what to do.

    It reads and writes nothing but access reviews. An admin asks for the rights of the operator's ServiceAccount; in
    a pod of the operator it asks for its own. Ends with 1 where a point has failed.
    """
    from . import checking, cluster

    namespace = checking.namespace_of(where)
    look = checking.before if pre else checking.points
    found = cluster.run(where, lambda here: look(here.api, namespace))
    checking.show(found, namespace, as_json=output == "json")
    if checking.has_failed(found):
        sys.exit(1)
