"""The command line: `python -m demo.database`, and how it ends, whatever happens."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from demo import story as chapters
from demo.cluster import Refused
from demo.operator import log_on_failure
from demo.screen import Screen
from demo.terminal import Terminal
from release.errors import ReleaseError
from sandbox import SandboxError

from .local import Local
from .node import Containers
from .story import Story

if TYPE_CHECKING:
    from .scene import Scene

_INTERRUPTED: Final = 130
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    options = _parser().parse_args()
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-demo-") as folder:
            scene = (Containers if options.node == "real" else Local)(screen, Path(folder))
            _show(scene, screen)
    except (Refused, ReleaseError, SandboxError) as error:
        screen.cross(str(error))
    except KeyboardInterrupt:
        screen.cross("interrupted; everything that the demo created is removed")
        return _INTERRUPTED
    else:
        screen.end("That was all of it.")
        return 0
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.database", description="Rotate the password of a real PostgreSQL under load."
    )
    parser.add_argument(
        "--node",
        choices=("fake", "real"),
        help="what the pods run on: fake nodes, with a process here for each pod, or a real one, as root",
    )
    return parser


def _show(scene: Scene, screen: Screen) -> None:
    with ExitStack() as stack:
        stack.callback(_close, scene)
        terminal = Terminal(screen, scene.open())
        server = stack.enter_context(scene.server(terminal))
        chapters.install(terminal, screen)
        operator = stack.enter_context(scene.operator(terminal))
        with log_on_failure(operator, screen):
            operator.start()
            application = stack.enter_context(scene.application(terminal))
            _tell(Story(terminal, screen, scene, server, application))


def _tell(story: Story) -> None:
    first = story.create()
    with story.clients:
        story.rotate()
        story.fail()
        story.declare_emergency()
        story.end(first)


def _close(scene: Scene) -> None:
    """Remove what was made; a second Ctrl-C does not keep it from that."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    scene.close()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
