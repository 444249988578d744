"""The command line: `python -m demo`, and how it ends, whatever happens."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sandbox import SandboxError

from . import database, operator, story
from .cluster import Cluster, Current, Kind, Refused, Sandbox
from .terminal import Screen, Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    options = _parser().parse_args(arguments)
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-demo-") as folder:
            _show(cluster_of(options, screen, Path(folder)), Path(folder), with_database=options.database)
    except (Refused, SandboxError) as error:
        screen.cross(str(error))
    except KeyboardInterrupt:
        screen.cross("interrupted; everything that the demo created is removed")
        return _INTERRUPTED
    else:
        screen.end("That was all of it.")
        return 0
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Show the life of a secret.")
    parser.add_argument(
        "--cluster",
        choices=("sandbox", "kind", "current"),
        default="sandbox",
        help="a control plane of its own, a new cluster of kind, or that of the current kubeconfig context",
    )
    parser.add_argument(
        "--database", action="store_true", help="then rotate the password of a real PostgreSQL"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before the current cluster is used")
    return parser


def cluster_of(options: argparse.Namespace, screen: Screen, folder: Path) -> Cluster:
    """Return the cluster that the options name.

    Raises:
        Refused: The database needs another one.
    """
    if options.database and options.cluster != "sandbox":
        raise Refused(
            "the server of the database is on this machine, so it needs the demo's own control plane"
        )
    if options.cluster == "kind":
        return Kind(screen, folder)
    if options.cluster == "current":
        return Current(screen, folder, ask=not options.yes)
    return Sandbox(screen, folder)


def _show(cluster: Cluster, folder: Path, *, with_database: bool) -> None:
    with ExitStack() as stack:
        stack.callback(_close, cluster)
        terminal = Terminal(cluster.screen, cluster.open())
        server = stack.enter_context(database.server(cluster.screen)) if with_database else None
        story.install(terminal)
        options = ["--allow-host=127.0.0.1"] if server else []
        process = stack.enter_context(operator.running(terminal, folder, *options))
        story.show_life(terminal, can_fail=cluster.has_fake_pods)
        if server:
            database.show_password(terminal, server)
        terminal.screen.title("Clean up")
        with terminal.screen.progress("ending the operator", "the operator has ended"):
            process.end()


def _close(cluster: Cluster) -> None:
    """Remove what was made; a second Ctrl-C does not keep it from that."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    cluster.close()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
