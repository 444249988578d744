"""When files that are renewed are loaded again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from keyturn.runtime.tls_files import RenewedFiles

if TYPE_CHECKING:
    from pathlib import Path


class Loaded:
    """The contents that were loaded; `broken` is one that cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: list[str] = []
        self.files = RenewedFiles([path], self._load)

    def _load(self) -> None:
        content = self.path.read_text()
        if content == "broken":
            raise ValueError(content)
        self.contents.append(content)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "file").write_text("one")
    return Loaded(tmp_path / "file")


def write(path: Path, content: str, *, at: int) -> None:
    path.write_text(content)
    os.utime(path, ns=(at, at))


def test_files_are_loaded_at_first_and_after_each_change(loaded: Loaded) -> None:
    assert [loaded.files.refresh(), loaded.files.refresh()] == [True, False]
    write(loaded.path, "two", at=1)
    assert [loaded.files.refresh(), loaded.files.refresh()] == [True, False]
    assert loaded.contents == ["one", "two"]


def test_a_load_that_fails_is_tried_again_though_no_file_changes(loaded: Loaded) -> None:
    loaded.files.refresh()
    write(loaded.path, "broken", at=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            loaded.files.refresh()

    write(loaded.path, "two", at=1)  # what a clock with whole seconds shows as no change
    assert loaded.files.refresh()
    assert loaded.contents == ["one", "two"]


def test_a_file_that_comes_back_after_its_removal_is_loaded(loaded: Loaded) -> None:
    loaded.files.refresh()
    loaded.path.unlink()
    with pytest.raises(FileNotFoundError):
        loaded.files.refresh()
    write(loaded.path, "two", at=1)
    assert loaded.files.refresh()
