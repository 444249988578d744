"""How many reads of one namespace are under way or wait: no more than may cost us memory."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .providers.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Crowd"]

_AGAIN: Final = 10.0
"""Seconds after which there may be room: about half of what a server has for its answer."""


class Crowd:
    """Counts by namespaces, and turns away who comes when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    @contextmanager
    def joined(self, namespace: str) -> Iterator[None]:
        """Count one more of `namespace`.

        Raises:
            Throttled: There are too many already.
        """
        if self._inside[namespace] >= self._most:
            raise Throttled(
                "TooManyReads",
                f"{self._most} reads of its namespace are under way; stores that answer slowly keep them waiting",
                retry_after=_AGAIN,
            )
        self._inside[namespace] += 1
        try:
            yield
        finally:
            self._inside[namespace] -= 1
            if not self._inside[namespace]:
                del self._inside[namespace]
