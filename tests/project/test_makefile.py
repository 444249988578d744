"""The Makefile's first step says what is missing before anything is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SUITS = _ROOT / ".ci" / "python-suits"
_NO_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\n'
_OLD = '#!/bin/sh\ncase "$1$2" in *version_info*) exit 1 ;; --version) echo Python 3.9.2 ;; esac\n'


def ask(python: str) -> tuple[int, str]:
    done = subprocess.run([_SUITS, python], check=False, capture_output=True, text=True, timeout=20)
    return done.returncode, done.stderr


def test_this_python_suits() -> None:
    assert ask(sys.executable) == (0, "")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        pytest.param(_NO_VENV, "apt-get install python3-venv", id="no venv module"),
        pytest.param(_OLD, "is Python 3.9.2; 3.11 or newer is needed", id="too old"),
    ],
)
def test_a_python_that_does_not_suit_is_refused(script: str, sentence: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(0o755)

    code, said = ask(str(python))

    assert (code, sentence in said) == (1, True)


def test_no_python_at_all_is_said() -> None:
    code, said = ask("no-such-python")

    assert (code, "there is no no-such-python" in said) == (1, True)


def test_every_target_is_explained() -> None:
    text = (_ROOT / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:"))
    helped = subprocess.run(
        ["make", "help"], cwd=_ROOT, check=True, capture_output=True, text=True, timeout=20
    )

    explained = {line.split()[0] for line in helped.stdout.splitlines() if line.startswith("  ")}
    assert explained == set(phony.split()[1:])


@pytest.mark.parametrize("target", ["test", "unit"])
def test_coverage_is_judged_in_full_runs_only(target: str) -> None:
    full, selected = (
        subprocess.run(
            ["make", "--dry-run", target, f"ARGS={chosen}"],
            cwd=_ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout
        for chosen in ("", "tests/faults -x")
    )

    assert ("--fail-under" in full, "--fail-under" in selected) == (True, False)
