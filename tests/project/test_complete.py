"""A run that leaves a test out fails, in one process and in two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PLUGINS = ("-p", "xdist.plugin", "-p", "tests.support.complete")
_GOOD = "def test_good(): pass\n"
_SKIPPED = "import pytest\ndef test_left_out(): pytest.skip()\n"
_EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_wrong(): assert False\n"
_HOOK = """
def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if "chosen_against" in item.name]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
"""
_DESELECTED = "def test_chosen_against(): pass\n"
_WRONG = "def test_wrong(): assert False\n"


@pytest.mark.parametrize(
    ("tests", "processes", "code"),
    [
        pytest.param(_GOOD, 0, 0, id="all pass"),
        pytest.param(_GOOD + _SKIPPED, 2, 10, id="one of two processes skips a test"),
        pytest.param(_GOOD + _EXPECTED, 0, 10, id="a test is expected to fail"),
        pytest.param(_GOOD + _DESELECTED, 0, 10, id="a test is deselected"),
        pytest.param(_GOOD + _DESELECTED, 2, 10, id="two processes deselect a test"),
        pytest.param(_WRONG + _SKIPPED, 0, 10, id="one test fails and one is skipped"),
    ],
)
def test_only_a_run_of_every_test_passes(tests: str, processes: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "conftest.py").write_text(_HOOK)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_PLUGINS, "-n", str(processes), "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == code, done.stdout
    assert ("1 deselected; every test must run" in done.stdout) == (_DESELECTED in tests)
