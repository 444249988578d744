"""Benchmark of database passwords: the driver's memory, one rotation, many at once, and a frozen leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.process import running

from .accounts import ALLOWED, shop
from .burst import burst
from .memory import memory
from .single import single
from .successor import successor

if TYPE_CHECKING:
    from benchmarks.cluster import Planes

_SUCCEEDED = 20
"""Accounts that rotate while the leader is frozen."""


async def databases(
    accounts: int, planes: Planes, *, rotations: int = 3, overlap: int = 30
) -> dict[str, float]:
    """Rotate one account, then many at once with an `overlap` in seconds; then freeze the leader."""
    names = [f"account-{number:03}" for number in range(accounts)]
    with shop() as server:
        async with planes() as cluster, running(cluster, ALLOWED) as operator:
            figures = {
                "accounts": accounts,
                **await memory(server, cluster, operator),
                **await single(rotations, server, cluster),
                **await burst(names, overlap, server, cluster, operator),
                **await successor(names[:_SUCCEEDED], server, cluster, operator),
            }
    return figures
