"""Benchmark of a leader that is frozen inside the lock of an account: how soon another process has done its work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from benchmarks.cluster import NAMESPACE, for_each
from benchmarks.errors import BenchmarkError
from benchmarks.process import running
from benchmarks.watching import among, watching
from keyturn.kube import paths
from sandbox.harness import installation

from .accounts import ALLOWED, has_revision, rotate
from .clients import logging_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.cluster import Cluster
    from benchmarks.process import Operator

    from .accounts import Shop

_PATIENCE = 120.0
_LOOK, _REACTION = 0.002, 0.02
_FREEZE_WITHIN = 60.0
_HELD = b"""
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND application_name LIKE 'keyturn%'
"""
"""The locks of accounts that the operator holds."""


async def successor(names: Sequence[str], shop: Shop, cluster: Cluster, leader: Operator) -> dict[str, float]:
    """Freeze the leader amid the third rotation of accounts, inside a lock; it is killed at the end."""
    async with (
        running(cluster, ALLOWED, name="standby", event="watching"),
        watching(cluster, paths.secrets(NAMESPACE), among(names, has_revision(3))) as published,
        logging_in(names, shop, cluster) as logins,
    ):
        try:
            freezing = asyncio.create_task(asyncio.to_thread(_freeze_inside, shop, leader.pid))
            await for_each(names, lambda name: rotate(name, 3, cluster))
            held, at = await freezing
            until = await _end_of_term(cluster)
            last = await published.counts(len(names), _PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.kill(leader.pid, signal.SIGKILL)
    ahead = time.time() - asyncio.get_running_loop().time()
    return {
        "frozen_rotations": len(names),
        "frozen_locks": held,
        "frozen_seconds_until_published": last + ahead - at,
        "frozen_seconds_from_end_of_term": last + ahead - until,
        "frozen_logins": logins.tried,
        "frozen_failed_logins": logins.failed,
    }


def _freeze_inside(shop: Shop, pid: int) -> tuple[int, float]:
    """Stop a process while it holds the lock of an account; return how many it holds, and the time.

    Raises:
        BenchmarkError: It was never found with a lock.
    """
    deadline = time.monotonic() + _FREEZE_WITHIN
    with psycopg.connect(**shop.conninfo(), autocommit=True) as session:
        while time.monotonic() < deadline:
            if _held(session):
                os.kill(pid, signal.SIGSTOP)
                at = time.time()
                time.sleep(_REACTION)  # in which a statement ends that was sent already
                if held := _held(session):
                    return held, at
                os.kill(pid, signal.SIGCONT)  # it was about to leave
            time.sleep(_LOOK)
    raise BenchmarkError("the leader was never seen with the lock of an account, so it was not frozen there")


def _held(session: psycopg.Connection) -> int:
    row = session.execute(_HELD).fetchone()
    return int(row[0]) if row else 0


async def _end_of_term(cluster: Cluster) -> float:
    """Return when the Lease of the frozen leader may be taken."""
    lease = (await cluster.api.get(paths.lease(installation.NAMESPACE, "keyturn")))["spec"]
    renewed = datetime.fromisoformat(lease["renewTime"]).timestamp()
    return float(renewed + lease["leaseDurationSeconds"])
