"""The demo keeps the log of an operator that fails."""

import sys
import tempfile
from pathlib import Path

import pytest

from demo import operator as demo
from demo.terminal import Screen
from sandbox import harness
from sandbox.harness import HarnessError

_STARTED = 'print(\'{"event": "started"}\', flush=True)'


def scripted(folder: Path, program: str) -> harness.Operator:
    """Return an operator that is a program of a test."""
    command = sys.executable, "-c", f"import time; {program}"
    return harness.Operator(folder / "kubeconfig", folder / "operator.log", command=command)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "demo"
    folder.mkdir()
    return folder


def test_the_log_of_an_operator_that_fails_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with (
        scripted(folder, f"{_STARTED}; raise SystemExit(7)") as operator,
        pytest.raises(HarnessError) as failure,
        demo.log_on_failure(operator, screen),
    ):
        operator.wait_for_log("leading")
    (folder / "operator.log").unlink()

    kept = Path(str(failure.value).partition("see ")[2])
    assert str(failure.value).startswith("the operator ended with 7")
    assert kept.read_text() == '{"event": "started"}\n'
    assert str(kept) in "".join(capsys.readouterr().out.split("\n"))
