"""Shards: which one a namespace belongs to, in every process and every release, and the names of their Leases."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["CLUSTER_SHARD", "LEASE", "MAX_SHARDS", "layout_name", "shard_lease", "shard_of"]

MAX_SHARDS: Final = 16
CLUSTER_SHARD: Final = 0
"""The shard of cluster-scoped objects."""
LEASE: Final = "keyturn"
"""The Lease of the leader; with several shards, that of all replicas with their number."""

_BYTES: Final = 8


def shard_of(namespace: str, count: int) -> int:
    """Return the shard of a namespace among `count`: the first 8 bytes of its SHA-256, big-endian, modulo `count`.

    Cluster-scoped objects have no namespace, and belong to shard 0.
    """
    if not namespace:
        return CLUSTER_SHARD
    return int.from_bytes(hashlib.sha256(namespace.encode()).digest()[:_BYTES], "big") % count


def shard_lease(shard: int) -> str:
    """Return the name of a shard's Lease."""
    return f"{LEASE}-{shard}"


def layout_name(count: int) -> str:
    """Return the holder of the Lease `keyturn` while replicas with `count` shards run."""
    return f"{count} shards"
