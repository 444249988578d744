"""The demo waits for an operator as long as it starts, and keeps the log of one that fails."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

from demo import operator as demo
from demo.terminal import Screen
from sandbox import harness
from sandbox.harness import HarnessError

_STARTED = 'print(\'{"event": "started"}\', flush=True)'
_LEADING = 'print(\'{"event": "leading"}\', flush=True)'


def scripted(folder: Path, program: str) -> harness.Operator:
    """Return an operator that is a program of a test."""
    command = sys.executable, "-c", f"import time; {program}"
    return harness.Operator(folder / "kubeconfig", folder / "operator.log", command=command)


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
    with scripted(folder, f"{_STARTED}; time.sleep(1); {_LEADING}; time.sleep(60)") as operator:
        demo.wait_until_it_leads(operator, Screen())

    assert re.search(r"still starting after \d s; last event: started", capsys.readouterr().out)


def test_the_log_of_an_operator_that_fails_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with (
        scripted(folder, f"{_STARTED}; raise SystemExit(7)") as operator,
        pytest.raises(HarnessError) as failure,
        demo.log_on_failure(operator, screen),
    ):
        demo.wait_until_it_leads(operator, screen)
    (folder / "operator.log").unlink()

    kept = Path(str(failure.value).partition("see ")[2])
    assert str(failure.value).startswith("the operator ended with 7")
    assert kept.read_text() == '{"event": "started"}\n'
    assert str(kept) in "".join(capsys.readouterr().out.split("\n"))
