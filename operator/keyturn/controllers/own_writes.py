"""Which events wait for the answer to a write of the operator: the answer shows whether they are news.

The watch often reports a write before its answer arrives. Handled as a change by another writer, the event of each
status would cause one more reconcile, that of a class a reconcile of all its users.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator

    from keyturn.kube.client import Body
    from keyturn.kube.status import Written

__all__ = ["OwnWrites"]


class OwnWrites:
    """Writes that the API server has not answered yet, each with the events of its object."""

    def __init__(self) -> None:
        self._held: dict[Hashable, dict[str, Callable[[], None]]] = {}
        """By key, the last event of each UID: an object may be recreated meanwhile."""

    @contextmanager
    def of(self, key: Hashable) -> Iterator[None]:
        """Write an object, and put the answer into the cache, in this block; its events are delivered afterwards."""
        held = self._held[key] = {}
        try:
            yield
        finally:
            self._held.pop(key, None)
            for deliver in held.values():
                deliver()

    async def write_status(
        self, key: Hashable, write: Awaitable[Written | None], put: Callable[[Body], object]
    ) -> Written | None:
        """Write the status of an object, and `put` the answer into the cache."""
        with self.of(key):
            written = await write
            if written is not None:
                put(written.body)
        return written

    def hold(self, key: Hashable, body: dict[str, Any], deliver: Callable[[], None]) -> bool:
        """Whether an event waits for an answer; `deliver` is called then, unless a later event replaces it."""
        held = self._held.get(key)
        if held is None:
            return False
        held[body["metadata"].get("uid", "")] = deliver
        return True
