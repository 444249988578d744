"""Result of a conversion: manifests, each with its findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .findings import Finding, Weight

if TYPE_CHECKING:
    from .inputs import Body

__all__ = ["Conversion", "Manifest"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A converted object with its findings."""

    body: dict[str, Any]
    source: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversion:
    """Result of all documents."""

    manifests: tuple[Manifest, ...]
    """Stores first, then their users."""
    findings: tuple[Finding, ...]
    others: tuple[Body, ...]
    """Documents of other kinds."""

    @property
    def is_whole(self) -> bool:
        return all(finding.weight is not Weight.LOST for finding in self.findings)
