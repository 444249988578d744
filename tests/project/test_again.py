"""A failed run is tried again where that is honest, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FIRST_TIME_ONLY = """
from pathlib import Path
def test_late():
    seen = Path("seen")
    was_there = seen.exists()
    seen.touch()
    assert was_there
def test_good(): pass
"""
_WRONG = "def test_wrong(): assert False\n"
_SKIPPED = "import pytest\ndef test_left_out(): pytest.skip()\n"
_MANY = "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_wrong(n): assert False\n"


@pytest.mark.parametrize(
    ("tests", "passes"),
    [
        pytest.param(_FIRST_TIME_ONLY, True, id="late once"),
        pytest.param(_FIRST_TIME_ONLY + _WRONG, False, id="wrong both times"),
        pytest.param(_FIRST_TIME_ONLY + _SKIPPED, False, id="late once, and another left out"),
        pytest.param(_SKIPPED, False, id="left out"),
        pytest.param(_MANY, False, id="too many"),
        pytest.param("syntax error\n", False, id="not even collected"),
    ],
)
def test_only_a_few_failed_tests_are_tried_again(tests: str, passes: bool, tmp_path: Path) -> None:  # noqa: FBT001
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    first = python(tmp_path, "-m", "pytest", "-p", "tests.support.complete", "-n", "2", "test_it.py")

    second = python(tmp_path, str(_ROOT / ".ci" / "again"), "--no-coverage")

    assert first.returncode != 0
    assert (second.returncode == 0) is passes, second.stdout


def test_a_test_that_is_tried_again_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(_FIRST_TIME_ONLY)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    python(tmp_path, "-m", "pytest", "-p", "tests.support.complete", "test_it.py")

    said = python(tmp_path, str(_ROOT / ".ci" / "again"), "--no-coverage").stdout

    assert "tried again alone: test_it.py::test_late" in said
    assert "test_good" not in said


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
