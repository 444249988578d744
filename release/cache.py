"""Where what is made for a release is kept between runs, one maker at a time."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox import cache as programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def folder() -> Path:
    """Return the folder for images, beside what the sandbox keeps."""
    found = programs.root().with_name("image")
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def only_maker() -> Iterator[None]:
    """Wait until no other process makes anything there; what a killed one has left goes first."""
    with programs.only_builder(folder() / "making", "the operator's image"):
        for leftover in folder().glob(".*-*"):
            shutil.rmtree(leftover)
        yield


def drop_older(pattern: str, kept: int) -> None:
    """Remove all but the ones that were used last."""
    found = sorted(folder().glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[kept:]:
        shutil.rmtree(path)
