"""What a report is evidence of: its time, its version, and the cluster, namespaces and repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Time and subject of a report; None for what was not checked."""

    made: datetime
    server: str | None = None
    """Address of the API server."""
    namespace: str | None = None
    """The namespace, or None for all of the cluster."""
    repository: str | None = None
    version: str = __version__

    def __str__(self) -> str:
        return f"{self.made:%Y-%m-%d %H:%M:%S} UTC, keyturn {self.version}: {', '.join(self._subjects())}"

    def _subjects(self) -> Iterator[str]:
        if self.server is not None:
            yield f"{self.server}, {f'namespace {self.namespace}' if self.namespace else 'all namespaces'}"
        if self.repository is not None:
            yield f"repository {self.repository}"
