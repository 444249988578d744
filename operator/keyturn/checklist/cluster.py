"""Check of a cluster: every requested point, also without permission to read it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from keyturn.core.policy.findings import Point

from .points import discover
from .points.trouble import find_or_explain

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyturn.core.policy.findings import Finding

    from .points.base import Checked

__all__ = ["check"]


async def check(checked: Checked, points: Collection[str]) -> list[Finding]:
    """Check the points in their order."""
    found: list[Finding] = []
    for point in discover():
        if point.kind in points:
            found += await find_or_explain(Point(point.kind), partial(point.find, checked))
    return found
