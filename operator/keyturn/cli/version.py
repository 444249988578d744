"""`keyturn version`: which Keyturn this is, which one leads in the cluster, and which Kubernetes that is."""

from __future__ import annotations

import click

from .options import Where, home

__all__ = ["version_command"]


@click.command("version", short_help="Print the versions of this CLI, the operator and the API server.")
@click.option("--client", is_flag=True, help="Ask no cluster.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="One document with stable names.")
@home
def version_command(client: bool, output: str | None, where: Where) -> None:  # noqa: FBT001 - click passes flags so
    """Print the version and the commit of this CLI and of the operator that leads, and the API server's version.

    The operator's is read from the Lease of its leader.
    """
    from . import checking, cluster, versions

    as_json = output == "json"
    if client:
        versions.show(None, as_json=as_json)
    else:
        namespace = checking.namespace_of(where)
        versions.show(cluster.run(where, lambda here: versions.found(here, namespace)), as_json=as_json)
