"""Which Keyturn one is: found without git, and never anything but a commit."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn import __version__
from keyturn.runtime import build
from tests.conftest import ROOT

_COMMIT = "17cd311dd37aa877b468748d9c01759cd875154c"


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the package at another place, where nothing says which commit it is; return the place of the checkout."""
    monkeypatch.setattr(build, "_PACKAGE", tmp_path / "operator" / "keyturn")
    monkeypatch.delenv(build.VARIABLE, raising=False)
    (tmp_path / "operator" / "keyturn").mkdir(parents=True)
    build.commit.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    build.commit.cache_clear()
    yield
    build.commit.cache_clear()  # other tests of this process ask for the true one


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_nothing_that_says_it_is_no_commit(commit: Path) -> None:
    assert (commit.exists(), build.commit()) == (True, "")
    assert (build.version(), build.user_agent()) == (__version__, f"keyturn/{__version__}")


def test_what_the_build_wrote_comes_first(commit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(commit / "operator" / "keyturn" / build.FILE, "17cd311dd37a-dirty\n")
    monkeypatch.setenv(build.VARIABLE, "0" * 40)
    written(commit / ".git" / "HEAD", "1" * 40)

    assert build.user_agent() == f"keyturn/{__version__} (17cd311dd37a-dirty)"


def test_the_environment_comes_before_the_checkout(commit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.VARIABLE, _COMMIT)
    written(commit / ".git" / "HEAD", "1" * 40)

    assert build.commit() == "17cd311dd37a"


@pytest.mark.parametrize("where", ["HEAD", "loose", "packed", "worktree"])
def test_a_checkout_says_it_in_the_files_of_git(where: str, commit: Path) -> None:
    git = commit / ".git"
    match where:
        case "HEAD":
            written(git / "HEAD", f"{_COMMIT}\n")
        case "loose":
            written(git / "HEAD", "ref: refs/heads/main\n")
            written(git / "refs" / "heads" / "main", f"{_COMMIT}\n")
        case "packed":
            written(git / "HEAD", "ref: refs/heads/main\n")
            written(
                git / "packed-refs", f"# pack-refs\n{'0' * 40} refs/heads/main2\n{_COMMIT} refs/heads/main\n"
            )
        case _:
            written(git, "gitdir: ../repository/.git/worktrees/one\n")
            common = commit.parent / "repository" / ".git"
            written(common / "worktrees" / "one" / "HEAD", "ref: refs/heads/one\n")
            written(common / "worktrees" / "one" / "commondir", "../..\n")
            written(common / "refs" / "heads" / "one", f"{_COMMIT}\n")

    assert build.commit() == "17cd311dd37a"


def test_a_real_checkout_agrees_with_git() -> None:
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=20
    )

    assert build.commit() == said.stdout[:12]


@pytest.mark.parametrize(
    "text", ["main", "17cd31", "17cd311dd37a\r\nX-Evil: 1", "a" * 80, "17CD311DD37A", "ü"]
)
def test_what_is_no_commit_is_not_repeated(text: str, commit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del commit
    monkeypatch.setenv(build.VARIABLE, text)

    assert build.commit() == ""


@pytest.mark.timeout(120)
def test_a_wheel_says_from_which_commit_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.VARIABLE, _COMMIT)
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, *command, "--wheel-dir", tmp_path, ROOT],
        check=True,
        capture_output=True,
        timeout=110,
    )

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"keyturn/{build.FILE}").decode() == f"{_COMMIT}\n"
        assert not [name for name in archive.namelist() if re.search(r"build_commit|\.git", name)]
