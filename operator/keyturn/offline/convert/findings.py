"""What has to be said about a conversion: which field, what happens to it, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "Report", "Weight", "grouped"]


class Weight(Enum):
    """Whether the output still means what the input meant."""

    LOST = auto()
    CHANGED = auto()
    """It means the same in another way, or needs something beside it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One field that has no place of its own in the output."""

    document: str
    field: str
    what: str
    remedy: str
    weight: Weight
    quoted: str = ""
    """What stood there, where a person has to write it anew; never a value of a Secret."""


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Say once what is to be said of many fields of a document."""
    first: dict[Finding, list[str]] = {}
    for finding in findings:
        first.setdefault(replace(finding, field=""), []).append(finding.field)
    return [replace(one, field=_together(fields)) for one, fields in first.items()]


def _together(fields: list[str]) -> str:
    return fields[0] if len(fields) == 1 else f"{fields[0]} and {len(fields) - 1} more"


@dataclass(slots=True)
class Report:
    """Collects the findings on one document."""

    document: str
    findings: list[Finding] = field(default_factory=list)

    def lost(self, field: str, what: str, remedy: str, quoted: str = "") -> None:
        """Say that the output means less than the input."""
        self.findings.append(Finding(self.document, field, what, remedy, Weight.LOST, quoted))

    def changed(self, field: str, what: str, remedy: str = "") -> None:
        """Say that the output means it in another way."""
        self.findings.append(Finding(self.document, field, what, remedy, Weight.CHANGED))
