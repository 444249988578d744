"""`keyturn ui`: opens read-only pages about secrets and emergencies in the browser."""

from __future__ import annotations

import sys

import click

from keyturn.cli.options import INTERRUPTED, Where, place


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

    from . import server

    if all_namespaces and where.namespace:
        raise click.UsageError("write --namespace or --all-namespaces, not both")
    cluster.run(
        where,
        lambda here: server.serve(here, port, everywhere=all_namespaces, opens_browser=not no_browser),
    )
    sys.exit(INTERRUPTED)
