"""Which events wait for the answer to a write of the operator: the answer shows whether they are news.

The watch often reports a write before its answer arrives. Without this, the event of an own status write would cause
another reconcile, and that of a SecretClass a reconcile of each user.

An answer may take until the timeout of a request. An event that cannot be of the write does not wait: a deletion, or
one of another generation than the write leaves.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping

    from keyturn.api.meta import Metadata
    from keyturn.kube.status import HasStatus, WrittenStatus
    from keyturn.kube.wire import Body


@dataclass(frozen=True, slots=True)
class _Write:
    """A write without an answer yet."""

    kept: Metadata | None
    """Metadata of the object, if the write changes neither UID nor generation."""
    held: dict[str, Callable[[], None]] = field(default_factory=dict)
    """The last event of each UID: an object may be recreated meanwhile."""

    def may_cause(self, metadata: Mapping[str, Any]) -> bool:
        """Whether an event may be of this write."""
        kept = self.kept
        return kept is None or (kept.uid, kept.generation) == (
            metadata.get("uid"),
            metadata.get("generation"),
        )


class OwnWrites:
    """Writes that the API server has not answered yet, each with the events of its object."""

    def __init__(self) -> None:
        self._writes: dict[Hashable, _Write] = {}

    @contextmanager
    def of(self, key: Hashable, kept: Metadata | None = None) -> Iterator[None]:
        """Write an object, and put the answer into the cache, in this block; its events are delivered afterwards.

        `kept` is its metadata, if the write leaves the generation as it is.
        """
        write = self._writes[key] = _Write(kept)
        try:
            yield
        finally:
            self._writes.pop(key, None)
            for deliver in write.held.values():
                deliver()

    async def write_status(
        self,
        key: Hashable,
        before: HasStatus,
        write: Awaitable[WrittenStatus | None],
        put: Callable[[Body], object],
    ) -> WrittenStatus | None:
        """Write the status of an object, and `put` the answer into the cache."""
        with self.of(key, before.metadata):
            written = await write
            if written is not None:
                put(written.body)
        return written

    def hold(self, key: Hashable, body: dict[str, Any], deliver: Callable[[], None]) -> bool:
        """Whether an event waits for an answer; `deliver` is called then, unless a later event replaces it."""
        write = self._writes.get(key)
        if write is None or not write.may_cause(body["metadata"]):
            return False
        write.held[body["metadata"].get("uid", "")] = deliver
        return True
