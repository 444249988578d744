"""The command line: `python -m demo`, and how it ends, whatever happens."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sandbox import ControlPlane, SandboxError, build, kind

from . import database, operator, story
from .terminal import Screen, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INTERRUPTED = 130
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    options, screen = _parser().parse_args(arguments), Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-demo-") as folder:
            _show(options, screen, Path(folder))
    except SandboxError as error:
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
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--cluster",
        choices=("sandbox", "kind"),
        default="sandbox",
        help="a control plane of its own, or a new cluster of kind",
    )
    either.add_argument(
        "--database", action="store_true", help="then rotate the password of a real PostgreSQL"
    )
    return parser


def _show(options: argparse.Namespace, screen: Screen, folder: Path) -> None:
    cluster = kind_cluster(screen, folder) if options.cluster == "kind" else _sandbox(screen)
    with ExitStack() as stack:
        terminal = Terminal(screen, stack.enter_context(cluster))
        stack.callback(_ignore_signals)
        server = stack.enter_context(database.server(screen)) if options.database else None
        story.install(terminal)
        flags = ["--allow-host=127.0.0.1"] if server else []
        process = stack.enter_context(operator.running(terminal, folder, *flags))
        story.show_life(terminal, can_fail=options.cluster == "sandbox")  # kwok keeps pods from being ready
        if server:
            database.show_password(terminal, server)
        screen.title("Clean up")
        with screen.progress("ending the operator", "the operator has ended"):
            process.end()


@contextmanager
def _sandbox(screen: Screen) -> Iterator[Path]:
    """Run a control plane until the block ends; its value is an admin's kubeconfig."""
    screen.title("A Kubernetes control plane on this machine, without containers")
    build.ensure()  # shows its own progress
    doing = "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok"
    with screen.progress(doing, "the control plane is ready"):
        plane = ControlPlane.start()
    try:
        yield plane.kubeconfig
    finally:
        with screen.progress("ending the control plane", "the control plane is gone, with all it held"):
            plane.stop()


@contextmanager
def kind_cluster(screen: Screen, folder: Path) -> Iterator[Path]:
    """Have a new cluster of kind until the block ends; its value is an admin's kubeconfig."""
    screen.title("A Kubernetes cluster of kind, in a container of this machine")
    with ExitStack() as stack:
        with screen.progress("creating the cluster; its image has 400 MB", "the cluster is ready"):
            stack.enter_context(kind.cluster(folder))
        try:
            yield folder / "kubeconfig"
        finally:
            with screen.progress("deleting the cluster", "the cluster is deleted"):
                stack.close()


def _ignore_signals() -> None:
    """Let no second Ctrl-C keep the demo from removing what it made."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
