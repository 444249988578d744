"""Memory of the reads of stores: the one in progress, the last result, and when the next is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.controllers.background import BackgroundJob
    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.keys import ObjectKey
    from keyturn.core.state.lease import StoreLease
    from keyturn.core.state.revision import ItemValues

__all__ = ["PullMemory", "PullRecord", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of one read of all stores of a ManagedSecret."""

    values: Mapping[str, ItemValues] = field(default_factory=dict)
    found: Mapping[str, ItemValues] = field(default_factory=dict)
    """Values that were pushed for an earlier object of the same name and found again."""
    loans: tuple[StoreLease, ...] = ()
    """Leases of the values that were read."""
    problem: Wait | Stalled | None = None
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom with a property that is gone at the store, but kept; `values` includes it."""


@dataclass(slots=True)
class PullRecord:
    """Reads of the stores of one ManagedSecret."""

    reading: BackgroundJob[Reading] | None = None
    reading_since: datetime | None = None
    """Start of the current read, or of the last one."""
    last: Reading | None = None
    """The last read; dropped at the end of the pass."""
    problem: Wait | Stalled | None = None
    """Why the last read failed."""
    was_read: bool = False
    """Whether the last read succeeded."""
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom for which the last read kept a property that is gone at the store."""
    asked: str = ""
    """Name of the last read job: generation, triggers and stores that it was for."""
    attempts: int = 0
    due: datetime | None = None
    """When the stores are due for the next read; None before the first observation of this process."""
    stores: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """UIDs of the stores that the spec names, at the last observation."""


class PullMemory:
    """Reads of stores, by ManagedSecret; values are kept only during a pass."""

    def __init__(self) -> None:
        self._records: dict[ObjectKey, PullRecord] = {}

    def record(self, key: ObjectKey) -> PullRecord:
        return self._records.setdefault(key, PullRecord())

    def last(self, key: ObjectKey) -> Reading | None:
        """Return the read of this pass."""
        record = self._records.get(key)
        return record.last if record else None

    def reading_since(self, key: ObjectKey) -> datetime | None:
        """Return when the read in progress began; None without one."""
        record = self._records.get(key)
        return record.reading_since if record and record.reading else None

    def is_reading(self, key: ObjectKey) -> bool:
        """Whether a read runs; its end wakes the object."""
        record = self._records.get(key)
        return record is not None and record.reading is not None and not record.reading.task.done()

    def retry(self, key: ObjectKey, now: datetime) -> None:
        """Make a failed read due now, because a store has recovered."""
        record = self._records.get(key)
        if record and record.problem:
            record.due = now

    def forget_values(self, key: ObjectKey) -> None:
        if record := self._records.get(key):
            record.last = None

    def forget(self, key: ObjectKey) -> None:
        """Cancel the read of a deleted object, and drop its record."""
        record = self._records.pop(key, None)
        if record and record.reading:
            record.reading.task.cancel()
