"""What is too long for a glance is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def ask(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, _ROOT / ".ci" / "sizes", folder],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_nothing_of_the_operator_is_too_long() -> None:
    assert ask(_ROOT / "operator") == (0, "")


@pytest.mark.parametrize(
    ("lines", "answer"), [(40, (0, "")), (41, (1, "one.py: look has 41 lines; split it\n"))]
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_function_has_40_lines_at_most(
    kind: str, lines: int, answer: tuple[int, str], tmp_path: Path
) -> None:
    folder = tmp_path / "keyturn"
    folder.mkdir()
    (folder / "one.py").write_text(f"{kind} look():\n" + "    pass\n" * (lines - 1))

    assert ask(folder) == answer


@pytest.mark.parametrize(
    ("lines", "answer"), [(500, (0, "")), (501, (1, "one.py has 501 lines; split it\n"))]
)
def test_a_module_has_500_lines_at_most(lines: int, answer: tuple[int, str], tmp_path: Path) -> None:
    folder = tmp_path / "keyturn"
    folder.mkdir()
    (folder / "one.py").write_text("pass\n" * lines)

    assert ask(folder) == answer
