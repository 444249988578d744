"""Content of the first page: ManagedSecrets by group, and emergencies with their deadlines."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import chain
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from keyturn.core.status.summary import Known, SummaryState, summary_of
from keyturn.runtime.clock import loop_time

from .clocks import clock_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from keyturn.core.keys import ObjectKey
    from keyturn.kube.cache.cache import InformerCache

    from .clocks import Clock

__all__ = ["Board", "BoardRow", "BoardRows", "Group", "clocks_of", "rows_of"]

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_CACHE_FACTOR: Final = 10
"""Rows are cached for ten times as long as they take to compute, which limits the CPU to a tenth of a core."""


class Group(Enum):
    """Groups of states, in the order of the page."""

    ATTENTION = frozenset(
        {SummaryState.FAILED, SummaryState.STALLED, SummaryState.OVERDUE, SummaryState.UNSEEN}
    )
    TROUBLE = frozenset(
        {
            SummaryState.NOT_READY,
            SummaryState.CRD_OUTDATED,
            SummaryState.BEHIND,
            SummaryState.NOT_SYNCED,
            SummaryState.NOT_COMPLIANT,
        }
    )
    ROTATING = frozenset({SummaryState.ROTATING, SummaryState.OVERLAPPING})
    DUE = frozenset({SummaryState.DUE})
    REST = frozenset({SummaryState.SUSPENDED, SummaryState.HELD, SummaryState.READY})

    @classmethod
    def of(cls, state: SummaryState) -> Group:
        return next(one for one in cls if state in one.value)


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A row for one ManagedSecret."""

    namespace: str
    name: str
    state: SummaryState
    message: str
    revision: int | None
    current: int
    workloads: int
    rotated: datetime | None
    due: datetime | None

    @property
    def order(self) -> tuple[int, datetime, str, str]:
        return self.state.rank, self.due or _NEVER, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class BoardRows:
    """All rows, by namespace, so that a page costs what its viewer may see."""

    _by_namespace: Mapping[str, list[tuple[int, BoardRow]]]
    """Each row with its place among all."""

    @classmethod
    def grouped(cls, rows: Iterable[BoardRow]) -> BoardRows:
        found: defaultdict[str, list[tuple[int, BoardRow]]] = defaultdict(list)
        for place, row in enumerate(rows):
            found[row.namespace].append((place, row))
        return cls(dict(found))

    def of(self, namespaces: Iterable[str]) -> list[BoardRow]:
        """Return the rows of some namespaces, the most urgent first."""
        found = chain.from_iterable(self._by_namespace.get(one, ()) for one in namespaces)
        return [row for _, row in sorted(found, key=itemgetter(0))]


class Board:
    """Caches the rows for a moment, so that many viewers cost as much as one."""

    def __init__(self, cache: InformerCache, now: Callable[[], datetime]) -> None:
        """Use the informer cache and the clock of the API server."""
        self._mirror = cache
        self._now = now
        self._making = asyncio.Lock()
        self._rows = BoardRows({})
        self._until = -inf

    async def rows(self) -> BoardRows:
        """Return the rows of all namespaces."""
        async with self._making:
            began = loop_time()
            if began >= self._until:
                self._rows = await asyncio.to_thread(_grouped_rows, self._mirror, self._now())
                self._until = loop_time() + (loop_time() - began) * _CACHE_FACTOR
            return self._rows


def _grouped_rows(cache: InformerCache, now: datetime) -> BoardRows:
    return BoardRows.grouped(rows_of(cache, now))


def rows_of(cache: InformerCache, now: datetime) -> list[BoardRow]:
    """Compute all rows; runs in a thread, so it begins with a copy of the keys."""
    found = (_row(key, cache, now) for key in list(cache.managed_keys()))
    return sorted((one for one in found if one), key=lambda one: one.order)


def _row(key: ObjectKey, cache: InformerCache, now: datetime) -> BoardRow | None:
    found = cache.managed(key)
    if found is None:
        return None
    managed, trouble = found
    summary = summary_of(Known(managed, trouble, managed.metadata.creation_timestamp or now), now)
    status = managed.status
    return BoardRow(
        namespace=key.namespace,
        name=key.name,
        state=summary.state,
        message=summary.message,
        revision=status.revision,
        current=sum(one.state.is_done for one in status.workloads),
        workloads=len(status.workloads),
        rotated=status.last_rotation_time,
        due=status.next_rotation_time,
    )


def clocks_of(cache: InformerCache, namespaces: Iterable[str], now: datetime) -> list[Clock]:
    """Return the emergencies of some namespaces: open ones first, then the newest; runs in a thread."""
    keys = [key for namespace in namespaces for key in cache.emergencies.of_namespace(namespace)]
    declared = [one for key in keys if (one := cache.emergencies.declared(key))]
    clocks = [clock_of(one.emergency, now) for one in declared]
    return sorted(clocks, key=lambda one: (one.is_closed, now - one.started, one.namespace, one.name))
