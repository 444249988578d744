"""`keyturn version`: versions of this command line, of the leading operator, and of Kubernetes."""

from __future__ import annotations

import click

from keyturn.cli.options import Output, Where, formats, home


@click.command("version", short_help="Print the versions of the client, the operator and the API server.")
@click.option("--client", is_flag=True, help="Print the version of this CLI only, without a cluster.")
@formats(Output.JSON, Output.YAML)
@home
def version_command(client: bool, output: Output | None, where: Where) -> None:  # noqa: FBT001 - click passes flags so
    """Print the version and the commit of this CLI and of the operator that leads, and the API server's version.

    The operator's is read from the Lease of its leader.
    """
    from keyturn.cli import cluster
    from keyturn.kube import config

    from . import find

    if client:
        find.show(None, output)
    else:
        namespace = where.namespace or config.own_namespace()
        find.show(cluster.run(where, lambda here: find.find_versions(here, namespace)), output)
