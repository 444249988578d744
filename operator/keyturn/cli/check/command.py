"""`keyturn check`: checks whether a cluster suits this version and the operator can work."""

from __future__ import annotations

import sys

import click

from keyturn.cli.options import Output, Where, formats, home


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
    from keyturn.cli import cluster

    from . import run

    namespace = run.namespace_of(where)
    look = run.before if pre else run.points
    found = cluster.run(where, lambda here: look(here.api, namespace))
    run.show(found, namespace, output)
    if run.has_failed(found):
        sys.exit(1)
