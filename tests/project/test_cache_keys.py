"""Programs of tests are made again once anything changes that decides what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import goprogram

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGE = "example.com/judge"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Go module whose build takes no compiler."""

    def compile_(module: Path, into: Path, *_: object) -> None:
        (into / "judge").write_bytes((module / "main.go").read_bytes())

    monkeypatch.setenv("KEYTURN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(goprogram, "_compile", compile_)
    folder = tmp_path / "judge-go"
    folder.mkdir()
    (folder / "main.go").write_text("package main\n")
    return folder


def test_a_program_has_a_folder_of_its_own_per_source_package_and_flag(module: Path) -> None:
    folders = [goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE,))]
    folders.append(goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE, "example.com/other")))
    folders.append(goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE,), flags=("-tags=small",)))
    (module / "main.go").write_text("package main // changed\n")
    folders.append(goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE,)))

    assert len(set(folders)) == 4
    assert folders[-1] == goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE,))


def test_what_a_killed_build_left_is_removed(module: Path) -> None:
    folder = goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE,))
    left = folder.with_name(f".{folder.name}-left")
    folder.rename(left)

    assert goprogram.folder_of(module, "judge", 9, packages=(_PACKAGE,)) == folder
    assert not left.exists()
