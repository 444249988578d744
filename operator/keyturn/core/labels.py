"""Annotations, labels and finalizers that Keyturn reads and writes on Kubernetes objects."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACKNOWLEDGE_AUDIT",
    "ACKNOWLEDGE_REPORT",
    "FINALIZER",
    "MARKER",
    "OVERLAP_ANNOTATION",
    "OWNER_LABEL",
    "PUBLISHED_ANNOTATION",
    "REFRESH",
    "RESTART",
    "REVISION_ANNOTATION",
    "ROLLBACK",
    "ROTATE",
]


OWNER_LABEL: Final = "keyturn.dev/managed-secret"
REVISION_ANNOTATION: Final = "keyturn.dev/revision"
PUBLISHED_ANNOTATION: Final = "keyturn.dev/published"
OVERLAP_ANNOTATION: Final = "keyturn.dev/overlap"
ACKNOWLEDGE_AUDIT = "keyturn.dev/acknowledge-audit"
ACKNOWLEDGE_REPORT = "keyturn.dev/acknowledge-report"
MARKER = "keyturn.dev/secret-versions"
RESTART = "keyturn.dev/restart"
FINALIZER = "keyturn.dev/pushed"
REFRESH = "keyturn.dev/refresh"
ROTATE = "keyturn.dev/rotate"
ROLLBACK = "keyturn.dev/rollback"
