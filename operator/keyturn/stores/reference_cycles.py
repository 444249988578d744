"""Detects cycles of Secrets that read each other whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.core.keys import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.keys import StoreKey
    from keyturn.kube.cache.externals import DataFromIndex

_MAX_SECRETS: Final = 1000
"""Maximum Secrets of one search."""


def reference_cycle(
    start: str, end: ObjectKey, data_from: DataFromIndex, named: Callable[[StoreKey, str], str | None]
) -> tuple[str, ...]:
    """Return the Secrets through which `start` reads `end`, in order; empty without a cycle.

    `named` maps a key of a store to a Secret of this namespace; None if it names none.
    """
    ways: list[tuple[str, ...]] = [(start,)]
    looked_at: set[str] = set()
    while ways and len(looked_at) < _MAX_SECRETS:
        way = ways.pop(0)
        if way[-1] == end.name:
            return way
        if way[-1] in looked_at:
            continue
        looked_at.add(way[-1])
        there = data_from.sources_of(ObjectKey(end.namespace, way[-1]))
        ways += [(*way, name) for store, key in sorted(there) if (name := named(store, key)) is not None]
    return ()
