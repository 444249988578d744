"""The command line: `python -m demo`, and how it ends, whatever happens."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sandbox import SandboxError

from . import story
from .cluster import Cluster, Current, Refused, Sandbox
from .errors import DemoError
from .kubectl import Kubectl
from .screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .operator import Operator

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
    except (DemoError, SandboxError) as error:
        screen.cross(str(error))
    except KeyboardInterrupt:
        screen.cross("interrupted; what was made is removed")
        return _INTERRUPTED
    else:
        screen.end("That was all of it.")
        return 0
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Show the life of a secret.")
    parser.add_argument(
        "--cluster",
        choices=("sandbox", "current"),
        default="sandbox",
        help="a control plane of its own, or the cluster of the current kubeconfig context",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before the current cluster is used")
    return parser


def _cluster(options: argparse.Namespace, screen: Screen, folder: Path) -> Cluster:
    if options.cluster == "current":
        return Current(screen, folder, ask=not options.yes)
    return Sandbox(screen, folder)


def _show(cluster: Cluster, screen: Screen) -> None:
    kubeconfig = cluster.open()
    kubectl = Kubectl(screen, kubeconfig)
    with _closing(cluster, kubectl), ExitStack() as stack:
        operator = story.install(kubectl, screen, cluster.folder)
        stack.enter_context(_last_words(operator, screen))
        stack.enter_context(operator)
        story.start(operator, screen)
        story.write(kubectl, screen)
        first = story.rotate(kubectl, screen)
        if cluster.can_break_pods:
            story.fail(kubectl, screen)
        story.go_back(kubectl, screen, first)
        story.repair(kubectl, screen)
        screen.title("Clean up")
        with screen.progress("ending the operator", "the operator has ended"):
            operator.stop()


@contextmanager
def _closing(cluster: Cluster, kubectl: Kubectl) -> Iterator[None]:
    """Remove what was made on every way out; a second Ctrl-C does not keep it from that."""
    try:
        yield
    finally:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        cluster.close(kubectl)


@contextmanager
def _last_words(operator: Operator, screen: Screen) -> Iterator[None]:
    """Show the end of the operator's log if something fails while it runs."""
    try:
        yield
    except DemoError:
        screen.say("The operator's last words:")
        screen.output(operator.last_words())
        raise


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
