"""Point 7: what is lost can be recovered."""

from __future__ import annotations

from .finding import Finding, Point, Verdict

__all__ = ["not_tried"]


def not_tried() -> list[Finding]:
    """Say that a backup nobody has restored is none."""
    return [
        Finding(
            Point.RECOVERY,
            Verdict.UNKNOWN,
            "no recovery was tried",
            "restore a backup of etcd into another cluster, and see that the Secrets there are these",
        )
    ]
