"""A package that grows beyond its ceiling is named, and a ceiling follows what shrinks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGE = "operator/keyturn/one"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    (tmp_path / _PACKAGE).mkdir(parents=True)
    (tmp_path / _PACKAGE / "__init__.py").touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, timeout=20)
    allow(tmp_path, f"{_PACKAGE} .py 400\n")
    return tmp_path


def allow(checkout: Path, rows: str) -> None:
    (checkout / ".ci" / "sizes-allowed").write_text(rows)


def ask(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(_ROOT / ".ci" / "sizes"), *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (400, (0, "")),
        (200, (0, "")),
        (401, (1, f"{_PACKAGE} .py has 401 lines, allowed are 400\n")),
        (199, (1, f"{_PACKAGE} .py has 199 lines, allowed are 400: run .ci/sizes --lower\n")),
    ],
)
def test_a_package_has_a_ceiling(lines: int, answer: tuple[int, str], checkout: Path) -> None:
    (checkout / _PACKAGE / "one.py").write_text("pass\n" * lines)

    assert ask(checkout) == answer


def test_a_package_without_a_row_is_named(checkout: Path) -> None:
    allow(checkout, "")
    (checkout / _PACKAGE / "one.py").write_text("pass\n")

    assert ask(checkout) == (1, f"{_PACKAGE} .py has 1 lines and no row in .ci/sizes-allowed\n")


def test_ceilings_are_lowered_and_never_raised(checkout: Path) -> None:
    allow(checkout, f"{_PACKAGE} .py 400\ndocs .md 100\ngone .py 100\n")
    (checkout / _PACKAGE / "one.py").write_text("pass\n" * 101)
    (checkout / "docs").mkdir()
    (checkout / "docs" / "one.md").write_text("text\n" * 150)

    assert ask(checkout, "--lower") == (1, "docs .md has 150 lines, allowed are 100\n")

    rows = (checkout / ".ci" / "sizes-allowed").read_text().splitlines()[1:]
    assert rows == ["docs .md 100", f"{_PACKAGE} .py 200"]


@pytest.mark.parametrize("lines", [500, 501])
def test_a_module_has_500_lines_at_most(lines: int, checkout: Path) -> None:
    allow(checkout, f"{_PACKAGE} .py 600\n")
    (checkout / _PACKAGE / "one.py").write_text("pass\n" * lines)

    named = f"{_PACKAGE}/one.py has 501 lines; a module has 500 at most\n"
    assert ask(checkout) == ((1, named) if lines > 500 else (0, ""))
