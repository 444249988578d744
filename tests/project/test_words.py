"""Lines with words that plain technical English avoids are counted, and their number only shrinks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SCRIPT = _ROOT / ".ci" / "words"


def ask(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, _SCRIPT, *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a repository with two lines too many in a document, and one in a module."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    write(
        tmp_path,
        "docs/page.md",
        "Nobody reads it.\nA lease is renewed.\nThen it goes on.\nWrite appliedBy: Nobody, or `Nobody`.\n",
    )
    write(
        tmp_path, "operator/one.py", '"""Read the file anew."""\n\nanew = 1  # a name is none of its words\n'
    )
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def allow(folder: Path, rows: str) -> None:
    write(folder, ".ci/words-allowed", f"# The numbers only shrink.\n{rows}")


def rows(folder: Path) -> list[str]:
    return (folder / ".ci" / "words-allowed").read_text().splitlines()[1:]


@pytest.mark.parametrize("row", ["docs/page.md", "docs/"])
def test_more_than_allowed_fails(row: str, folder: Path) -> None:
    allow(folder, f"{row} 1\noperator/ 1\n")

    assert ask(folder) == (
        1,
        f"{row} has 2 lines with avoided words, allowed are 1: .ci/words --list {row}\n",
    )


def test_a_file_without_a_row_may_have_none(folder: Path) -> None:
    allow(folder, "operator/ 1\n")

    assert ask(folder) == (
        1,
        "docs/page.md has 2 lines with avoided words, allowed are 0: .ci/words --list docs/page.md\n",
    )


def test_fewer_than_allowed_fails_until_the_number_is_lowered(folder: Path) -> None:
    allow(folder, "docs/page.md 3\noperator/ 1\nsandbox/ 4\n")

    code, said = ask(folder)

    assert (code, said.splitlines()) == (
        1,
        [
            "docs/page.md has 2 lines with avoided words, allowed are 3: run .ci/words --lower",
            "sandbox/ has 0 lines with avoided words, allowed are 4: run .ci/words --lower",
        ],
    )
    assert ask(folder, "--lower") == (0, "")
    assert rows(folder) == ["docs/page.md 2", "operator/ 1"]
    assert ask(folder) == (0, "")


def test_lower_raises_nothing(folder: Path) -> None:
    allow(folder, "docs/page.md 1\noperator/ 2\n")

    assert ask(folder, "--lower")[0] == 1
    assert rows(folder) == ["docs/page.md 1", "operator/ 1"]


def test_the_lines_are_listed(folder: Path) -> None:
    code, said = ask(folder, "--list")

    assert (code, said.splitlines()) == (
        0,
        [
            "docs/page.md:1: Nobody reads it.",
            "docs/page.md:3: Then it goes on.",
            'operator/one.py:1: """Read the file anew."""',
        ],
    )
    assert ask(folder, "--list", "operator/")[1].count("\n") == 1


@pytest.mark.parametrize("name", ["look_again", "_told", "CannotLook", "hold_to_size", "TWINS"])
def test_names_of_the_operator_count(name: str, folder: Path) -> None:
    allow(folder, "docs/page.md 2\noperator/one.py 1\n")
    write(folder, "operator/two.py", f"{name} = 1\nletter = outsider = 0\n")

    code, said = ask(folder)

    assert (code, said.startswith("operator/two.py has ")) == (1, True)
    assert ask(folder, "--list", "operator/two.py") == (0, f"operator/two.py:1: {name} = 1\n")
