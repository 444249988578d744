"""Point 7: values can be recovered, as a drill shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keyturn.core.policy.findings import Finding, Point, Verdict

from .base import PointCheck

if TYPE_CHECKING:
    from .base import Checked

__all__ = ["Recovery"]


class Recovery(PointCheck):
    """Runs the drill; an untested backup is none."""

    kind: ClassVar[str] = Point.RECOVERY

    async def find(self, checked: Checked) -> list[Finding]:
        if checked.drill:
            return await checked.drill.findings(checked.facts)
        remedy = (
            "write a backup with keyturn backup, create an empty namespace, and test the restore there:"
            " keyturn audit --only recovery --backup FILE --identity FILE --drill NAMESPACE"
        )
        return [Finding(Point.RECOVERY, Verdict.UNKNOWN, "no recovery was tested", remedy)]
