"""Interface of the check of a point, and what it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.checklist.backup import Drill
    from keyturn.checklist.facts import Facts
    from keyturn.core.policy.findings import Finding

__all__ = ["Checked", "Other", "PointCheck"]


@dataclass(frozen=True, slots=True)
class Other:
    """Another cluster, whose values must differ."""

    name: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Checked:
    """The checked cluster, and what it is compared with."""

    facts: Facts
    other: Other | None = None
    schedule: str | None = None
    drill: Drill | None = None
    tell: Callable[[str], None] = lambda _: None
    operator_namespace: str = "keyturn-system"
    """The operator's namespace, which has the access log."""


class PointCheck(ABC):
    """Check of one point of the checklist in a cluster."""

    kind: ClassVar[str]
    """The point, a member of `Point`."""

    @abstractmethod
    async def find(self, checked: Checked) -> list[Finding]:
        """Return the findings, of which there is at least one.

        Raises:
            Forbidden, Unavailable: Something cannot be read; the caller turns it into a finding.
        """
