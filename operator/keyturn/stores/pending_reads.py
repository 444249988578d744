"""Limits the reads of one namespace that are in progress or waiting, which bounds memory."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .providers.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Iterator

_RETRY_AFTER: Final = 10.0
"""Retry-After in seconds: about half the time limit of a read."""


class PendingReads:
    """Counts reads by namespace, and rejects those above the limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    @contextmanager
    def join(self, namespace: str) -> Iterator[None]:
        """Count one more read of `namespace`.

        Raises:
            Throttled: The limit is reached.
        """
        if self._inside[namespace] >= self._most:
            raise Throttled(
                "TooManyReads",
                f"{self._most} reads of its namespace are in progress, because stores answer slowly",
                retry_after=_RETRY_AFTER,
            )
        self._inside[namespace] += 1
        try:
            yield
        finally:
            self._inside[namespace] -= 1
            if not self._inside[namespace]:
                del self._inside[namespace]
