"""How the page is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the page is, and with which certificate."""

    port: int
    certificate: Path | None = None
    """Without one it is served in plain, and to the loopback address only."""
    key: Path | None = None
