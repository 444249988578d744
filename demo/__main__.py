"""The command line: `python -m demo`, and how it ends, whatever happens."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from release.errors import ReleaseError
from sandbox import SandboxError

from . import story
from .cluster import Cluster, Current, Kind, Refused, Sandbox
from .node import Node
from .operator import log_on_failure
from .screen import Screen
from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator


_INTERRUPTED = 130
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    options = _parser().parse_args()
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-demo-") as folder:
            _show(_cluster(options, screen, Path(folder)), screen)
    except Refused as refusal:
        screen.cross(str(refusal))
    except (ReleaseError, SandboxError) as error:
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
        "--node",
        choices=("fake", "real"),
        help="what pods of that control plane run on: fake nodes, which say that they run, or a real one, as root",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before the current cluster is used")
    return parser


def _cluster(options: argparse.Namespace, screen: Screen, folder: Path) -> Cluster:
    if options.cluster != "sandbox" and options.node:
        raise Refused(
            f"NODE selects the node of the demo's own control plane: leave NODE or CLUSTER={options.cluster} out"
        )
    if options.cluster == "kind":
        return Kind(screen, folder)
    if options.cluster == "current":
        return Current(screen, folder, ask=not options.yes)
    if options.node == "real":
        return Node(screen, folder)
    return Sandbox(screen, folder)


def _show(cluster: Cluster, screen: Screen) -> None:
    with _closing(cluster), ExitStack() as stack:
        terminal = Terminal(screen, cluster.open())
        story.install(terminal, screen)
        operator = cluster.operator(terminal)
        stack.enter_context(log_on_failure(operator, screen))
        stack.enter_context(operator)
        operator.start()
        _tell(cluster, terminal, screen)
        screen.title("Clean up")
        with screen.progress("ending the operator", "the operator has ended"):
            operator.end()


def _tell(cluster: Cluster, terminal: Terminal, screen: Screen) -> None:
    """Show the life of the secret, and after each value what real processes make of it."""
    ask = partial(story.ask, terminal, screen) if cluster.runs_processes else _nothing
    story.write(terminal, screen, cluster.example)
    ask()
    first = story.rotate(terminal, screen, cluster.clients(terminal))
    ask()
    if cluster.fault:
        story.fail(terminal, screen, cluster.fault)
        ask()
    story.go_back(terminal, screen, first)
    ask()
    story.repair(terminal, screen)


def _nothing() -> None:
    """Ask no process, where none runs."""


@contextmanager
def _closing(cluster: Cluster) -> Iterator[None]:
    """Remove what was made on every way out; a second Ctrl-C does not keep it from that."""
    try:
        yield
    finally:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        cluster.close()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
