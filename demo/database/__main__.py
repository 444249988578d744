"""The command line: `python -m demo.database`, and how it ends, whatever happens."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NoReturn

from demo import story as chapters
from demo.cluster import Sandbox
from demo.operator import Process
from demo.screen import Screen
from demo.terminal import Terminal
from sandbox import SandboxError
from sandbox.harness import HarnessError

from .clients import Clients
from .pods import Pods
from .shop import Shop
from .story import Story

_INTERRUPTED: Final = 130
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-demo-") as folder:
            _show(screen, Path(folder))
    except SandboxError as error:
        screen.cross(str(error))
    except KeyboardInterrupt:
        screen.cross("interrupted; what was made is removed")
        return _INTERRUPTED
    else:
        screen.end("That was all of it.")
        return 0
    return 1


def _show(screen: Screen, folder: Path) -> None:
    with ExitStack() as stack:
        cluster = Sandbox(screen, folder)
        stack.callback(_close, cluster)
        terminal = Terminal(screen, cluster.open())
        with screen.progress("starting PostgreSQL", "PostgreSQL takes logins"):
            shop = stack.enter_context(Shop())
        chapters.install(terminal, screen)
        operator = Process(terminal, screen, folder, "--allow-host=127.0.0.1")
        stack.enter_context(operator)
        try:
            operator.start()
            _tell(stack, terminal, screen, shop)
        except HarnessError:
            screen.say("The operator's last words:")
            screen.output(operator.last_words())
            raise


def _tell(stack: ExitStack, terminal: Terminal, screen: Screen, shop: Shop) -> None:
    pods = stack.enter_context(Pods(terminal, shop.environment))
    clients = Clients(pods)
    story = Story(terminal, screen, shop, pods, clients)
    first = story.create()
    with clients:
        story.rotate()
        story.fail()
        story.declare_emergency()
        story.end(first)


def _close(cluster: Sandbox) -> None:
    """Remove what was made; a second Ctrl-C does not keep it from that."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    cluster.close()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
