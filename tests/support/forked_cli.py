"""Starts `keyturn` by fork from a process that has imported it, because tests start it hundreds of times.

An import costs two seconds of processor time, and a full run starts the program well over a thousand times. What is
forked is a process of its own all the same: with its own environment, arguments, streams and end, by signal or exit.
Tests of the start itself run the console script.
"""

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from multiprocessing import connection, get_context, parent_process
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock, Thread
from typing import IO, Any

from keyturn import cli
from keyturn.runtime import failpoints

CONSTANTS = "KEYTURN_TEST_CONSTANTS"
"""Environment variable with numbers of modules to replace in the fork, such as an interval of a minute:
`keyturn.endpoints.audit.audit._SYNC_INTERVAL=2`, more than one with spaces between; of a timedelta, the seconds."""
_FORKS = get_context("forkserver")
_COMMANDS = [module.name for module in pkgutil.walk_packages(cli.__path__, "keyturn.cli.")]
_FORKS.set_forkserver_preload(
    [
        *(__name__, "keyturn.controllers.manager", *_COMMANDS, "kubernetes.config.kube_config", "uvloop"),
        "tests.support.frozen_imports",  # last
    ]
)
_ALONE = Lock()
"""Starting a process looks at the ends of all others, and an end can be read once."""
_ORPHANED = 75


class Forked:
    """One process that runs `keyturn` with some arguments; it ends when the process that started it does."""

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        stdout: IO[Any] | int,
        stderr: IO[Any] | int,
        stdin: IO[Any] | int | None = None,
        folder: Path | None = None,
    ) -> None:
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a file to be read, not a path
            files = [nothing if stdin is None else stdin, stdout, stderr]
            numbers = [one if isinstance(one, int) else one.fileno() for one in files]
            main = _Main(list(arguments), dict(env), str(folder or Path.cwd()), numbers)
            self._process = _FORKS.Process(target=main, daemon=True)
            with _ALONE:
                self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        self.args = ("keyturn", *arguments)

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with _ALONE:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        connection.wait([self._process.sentinel], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    given: str | None = None,
    timeout: float,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with what it prints; files take it, so that no pipe can fill up."""
    with TemporaryFile("w+") as stdin, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        stdin.write(given or "")
        stdin.seek(0)
        process = Forked(arguments, env, stdout, stderr, stdin, folder)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(process.args, code, stdout.read(), stderr.read())


class _Main:
    """What runs in the fork."""

    def __init__(self, arguments: list[str], env: dict[str, str], folder: str, numbers: list[int]) -> None:
        self._arguments, self._env, self._folder, self._numbers = arguments, env, folder, numbers

    def __getstate__(self) -> tuple[list[str], dict[str, str], str, list[Any]]:
        # Pickled while the fork is asked for: then, and only then, a descriptor can be handed on.
        return self._arguments, self._env, self._folder, [DupFd(number) for number in self._numbers]

    def __setstate__(self, state: tuple[list[str], dict[str, str], str, list[Any]]) -> None:
        self._arguments, self._env, self._folder, handed = state
        self._numbers = [one.detach() for one in handed]

    def __call__(self) -> None:
        for number, own in zip(self._numbers, (0, 1, 2), strict=True):
            os.dup2(number, own)
            os.close(number)
        _fresh_streams()
        Thread(target=_end_with_the_test_process, daemon=True).start()
        os.chdir(self._folder)
        os.environ.clear()
        os.environ.update(self._env)
        sys.argv = ["keyturn", *self._arguments]
        importlib.reload(failpoints)  # it read the environment when it was imported
        _replace_constants(os.environ.pop(CONSTANTS, ""))
        from keyturn.cli.commands import main  # noqa: PLC0415  # the test process has no use for it

        main()


def _replace_constants(constants: str) -> None:
    for constant in constants.split():
        name, _, number = constant.partition("=")
        module, _, attribute = name.rpartition(".")
        place = importlib.import_module(module)
        before = getattr(place, attribute)  # a name that is not there is an error
        is_time = isinstance(before, timedelta)
        setattr(place, attribute, timedelta(seconds=float(number)) if is_time else type(before)(number))


def _end_with_the_test_process() -> None:
    parent = parent_process()
    assert parent
    connection.wait([parent.sentinel])
    os._exit(_ORPHANED)


def _fresh_streams() -> None:
    """Give Python's own streams the new descriptors: multiprocessing has closed standard input."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
