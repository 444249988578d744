"""Findings of a conversion: the field, what happens to it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "Report", "Weight", "grouped"]


class Weight(Enum):
    """Whether the output has the meaning of the input."""

    LOST = auto()
    CHANGED = auto()
    """The same meaning in another form, or with a further object."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A field without a counterpart in the output."""

    document: str
    field: str
    what: str
    remedy: str
    weight: Weight
    quoted: str = ""
    """The input, where it has to be rewritten by hand; never a value of a Secret."""


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Merge equal findings of several fields of a document."""
    first: dict[Finding, list[str]] = {}
    for finding in findings:
        first.setdefault(replace(finding, field=""), []).append(finding.field)
    return [replace(one, field=_together(fields)) for one, fields in first.items()]


def _together(fields: list[str]) -> str:
    return fields[0] if len(fields) == 1 else f"{fields[0]} and {len(fields) - 1} more"


@dataclass(slots=True)
class Report:
    """Collects the findings of one document."""

    document: str
    file: str = ""
    """The file of the document; empty if it is not known."""
    findings: list[Finding] = field(default_factory=list)

    def lost(self, field: str, what: str, remedy: str, quoted: str = "") -> None:
        """Report that the output has less meaning than the input."""
        self.findings.append(Finding(self.document, field, what, remedy, Weight.LOST, quoted))

    def changed(self, field: str, what: str, remedy: str = "") -> None:
        """Report that the output has another form."""
        self.findings.append(Finding(self.document, field, what, remedy, Weight.CHANGED))
