"""The demo waits for an operator as long as it starts, and keeps the log of one that fails."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo import operator as demo
from demo.screen import Screen
from sandbox import harness
from sandbox.harness import HarnessError

if TYPE_CHECKING:
    from demo.terminal import Terminal

_STARTED = 'print(\'{"event": "started"}\', flush=True)'
_LEADING = 'print(\'{"event": "leading"}\', flush=True)'


class Scripted(demo.Process):
    """An operator that is a program of a test."""

    def __init__(self, screen: Screen, folder: Path, program: str) -> None:
        terminal: Terminal = None  # type: ignore[assignment]  # no command is shown
        super().__init__(terminal, screen, folder)
        command = sys.executable, "-c", f"import time; {program}"
        self._process = harness.Operator(folder / "kubeconfig", folder / "operator.log", command=command)

    def start(self) -> None:
        self._process.begin()
        self._wait_until_it_leads()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_NEWS", 0.2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "demo"
    folder.mkdir()
    return folder


def test_a_slow_start_is_awaited_and_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = f"{_STARTED}; time.sleep(1); {_LEADING}; time.sleep(60)"
    with Scripted(Screen(), folder, program) as operator:
        operator.start()

    assert re.search(r"still starting after \d s; last event: started", capsys.readouterr().out)


def test_the_log_of_an_operator_that_fails_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with (
        pytest.raises(HarnessError) as failure,
        Scripted(screen, folder, f"{_STARTED}; raise SystemExit(7)") as operator,
        demo.log_on_failure(operator, screen),
    ):
        operator.start()
    (folder / "operator.log").unlink()

    kept = Path(str(failure.value).partition("see ")[2])
    assert str(failure.value).startswith("the operator ended with 7")
    assert kept.read_text() == '{"event": "started"}\n'
    assert str(kept) in "".join(capsys.readouterr().out.split("\n"))
