"""The browser of tests ends with the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.conftest import ROOT
from tests.support import browser
from tests.support.browser import end

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER = """
import time
from tests.support.browser import browser
with browser():
    print("up", flush=True)
    time.sleep(600)
"""
_STUBBORN = "trap '' TERM; echo up; while :; do sleep 1; done"


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose browser has its profile below the folder of the test."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", _OWNER]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def count(folder: Path) -> int:
    """Count the processes that have a folder in their command."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += os.fsencode(folder) in (process / "cmdline").read_bytes()
        except OSError:  # it ended
            continue
    return found


def test_the_browser_ends_with_a_killed_owner(owner: subprocess.Popen[str], tmp_path: Path) -> None:
    assert owner.stdout
    assert owner.stdout.readline() == "up\n"
    assert count(tmp_path) > 0

    owner.kill()

    eventually(lambda: count(tmp_path) == 0, "the end of the browser", 20)


def test_a_browser_that_ignores_the_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "_PATIENCE", 0.5)
    with subprocess.Popen(["sh", "-c", _STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()

        end(process)

    assert process.returncode == -9
