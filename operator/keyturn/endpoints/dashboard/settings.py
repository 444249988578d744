"""Settings of the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DashboardSettings"]


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """Port and certificate of the dashboard."""

    port: int
    certificate: Path | None = None
    """Without a certificate it uses plain HTTP, on the loopback address only."""
    key: Path | None = None
