"""Detects changes of files that are renewed, such as those of a mounted Secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["RenewedFiles"]

_Stamp: TypeAlias = tuple[int, int] | None


@dataclass(slots=True)
class RenewedFiles:
    """Files whose change or removal since the last check is reported."""

    paths: Sequence[Path]
    _stamps: tuple[_Stamp, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._stamps = self._now()

    def have_changed(self) -> bool:
        before, self._stamps = self._stamps, self._now()
        return self._stamps != before

    def _now(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(path) for path in self.paths)


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
