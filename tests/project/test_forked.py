"""A forked `keyturn` is a process like one that the interpreter starts: it differs by its start alone."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.support.console import BIN
from tests.support.forked_cli import CONSTANTS, Forked, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_ROOT = Path(__file__).parents[2]
_OWNER = f"""
import os
from tests.support.forked_cli import Forked
silent = os.open(os.devnull, os.O_RDWR)
print(Forked({["convert", "-f", "-"]!r}, os.environ, silent, silent, os.pipe()[0]).pid, flush=True)
input()
"""
_CONSTANT = re.compile(r"(keyturn(?:\.\w+)+)\.(\w+)=")
_WAITS = ("convert", "-f", "-")
"""It reads standard input to its end."""


@pytest.fixture
def silent() -> Iterator[IO[bytes]]:
    with Path(os.devnull).open("r+b", buffering=0) as silent:
        yield silent


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("status",),
        ("no-such-command",),
        ("run", "--all-namespaces"),
        ("convert", "-f", "-"),
    ],
    ids=" ".join,
)
def test_it_says_what_the_console_script_says(arguments: tuple[str, ...]) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    given = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n"

    forked = run(arguments, env, given=given, timeout=60)

    script = subprocess.run(
        [BIN / "keyturn", *arguments],
        env=env,
        input=given,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert forked.returncode == script.returncode
    assert (forked.stdout, forked.stderr) == (script.stdout, script.stderr)


def test_a_signal_ends_it_and_is_its_exit_code(silent: IO[bytes]) -> None:
    reads, writes = os.pipe()
    process = Forked(_WAITS, os.environ, silent, silent, reads)

    process.kill()

    assert process.wait(20) == -signal.SIGKILL
    for end in (reads, writes):
        os.close(end)


def test_it_does_not_outlive_the_process_that_started_it() -> None:
    # A killed process leaves its temporary files; the path of pytest's folder is too long for its socket.
    with TemporaryDirectory() as scratch:
        with subprocess.Popen(
            [sys.executable, "-c", _OWNER],
            cwd=_ROOT,
            env={**os.environ, "TMPDIR": scratch},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as owner:
            assert owner.stdout
            process = Path("/proc") / owner.stdout.readline().strip()
            assert process.exists()
            owner.kill()

        eventually(lambda: not process.exists(), "the end of the forked process")


@pytest.mark.parametrize(
    ("constant", "code"),
    [
        ("keyturn.endpoints.audit.audit._SYNC_INTERVAL=2", 0),
        ("keyturn.core.spec.references._DEFAULT_PROBE=0.5", 0),
        ("keyturn.endpoints.audit.audit._NONE=2", 1),
    ],
    ids=["a number", "a time", "a name that is not there"],
)
def test_a_constant_that_is_replaced_must_exist(constant: str, code: int) -> None:
    assert run(("--version",), {**os.environ, CONSTANTS: constant}, timeout=60).returncode == code


def test_each_constant_that_a_test_replaces_exists() -> None:
    files = [one for one in _ROOT.joinpath("tests").rglob("*.py") if one != Path(__file__)]

    named = {found for one in files for found in _CONSTANT.findall(one.read_text())}

    assert len(named) > 10
    assert [one for one in sorted(named) if not hasattr(importlib.import_module(one[0]), one[1])] == []
