"""Ctrl-C ends `.ci/run` and what it started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from sandbox.harness import eventually

_RUN = Path(__file__).parents[2] / ".ci" / "run"
_MAKE = '#!/bin/sh\necho $$ > "$0.pid"\nexec sleep 600\n'
_INTERRUPTED = 130


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of it, whose `make` takes ten minutes."""
    run = tmp_path / ".ci" / "run"
    make = tmp_path / "make"
    run.parent.mkdir()
    shutil.copy(_RUN, run)
    make.write_text(_MAKE)
    make.chmod(0o755)
    return run


def test_an_interrupt_of_its_group_ends_the_tests(copy: Path) -> None:
    make = copy.parents[1] / "make.pid"
    path = {**os.environ, "PATH": f"{copy.parents[1]}:{os.environ['PATH']}"}
    with subprocess.Popen([copy], env=path, start_new_session=True) as process:
        try:
            eventually(lambda: make.exists() and make.read_text() != "", "the start of make")
            os.killpg(process.pid, signal.SIGINT)

            assert process.wait(timeout=20) == _INTERRUPTED
        finally:
            process.kill()
            if is_running := Path(f"/proc/{make.read_text().strip()}").exists():
                os.kill(int(make.read_text()), signal.SIGKILL)
    assert not is_running


def test_a_failure_of_the_tests_is_its_own(copy: Path) -> None:
    make = copy.parents[1] / "make"
    make.write_text("#!/bin/sh\nexit 2\n")
    path = {**os.environ, "PATH": f"{copy.parents[1]}:{os.environ['PATH']}"}

    assert subprocess.run([copy], env=path, check=False, timeout=20).returncode == 2
