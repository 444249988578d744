"""Whether a Secret that is read whole takes in, over others, the very Secret that it is read for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.core.keys import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.keys import StoreKey
    from keyturn.kube.cache.store_references import StoreReferenceIndex

__all__ = ["circle"]

_MOST: Final = 1000
"""Secrets that are looked at: who writes a longer circle has other troubles."""


def circle(
    start: str, end: ObjectKey, spreads: StoreReferenceIndex, named: Callable[[StoreKey, str], str | None]
) -> tuple[str, ...]:
    """Return the Secrets over which `start` takes in `end`, in the order in which they are read; none if it does not.

    `named` says which Secret of this namespace a key of a store is; None where it is no such Secret.
    """
    ways: list[tuple[str, ...]] = [(start,)]
    looked_at: set[str] = set()
    while ways and len(looked_at) < _MOST:
        way = ways.pop(0)
        if way[-1] == end.name:
            return way
        if way[-1] in looked_at:
            continue
        looked_at.add(way[-1])
        there = spreads.into(ObjectKey(end.namespace, way[-1]))
        ways += [(*way, name) for store, key in sorted(there) if (name := named(store, key)) is not None]
    return ()
