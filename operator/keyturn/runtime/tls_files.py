"""Loads files that are renewed, such as those of a mounted Secret, again after each change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_Stamp: TypeAlias = tuple[int, int] | None


@dataclass(slots=True)
class RenewedFiles:
    """Files with the function that loads them."""

    paths: Sequence[Path]
    load: Callable[[], None]
    _loaded: tuple[_Stamp, ...] | None = field(init=False, default=None)
    """The files at the last load that succeeded; None before the first."""

    def refresh(self) -> bool:
        """Load the files if they differ from those of the last load that succeeded; return whether they do.

        An error of `load` is raised, and the next call loads again: its cause may have been elsewhere.
        """
        now = tuple(map(_stamp, self.paths))
        if now == self._loaded:
            return False
        self.load()
        self._loaded = now
        return True


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
