"""Two Secrets restart a workload one after the other, and two workloads at the same time."""

from __future__ import annotations

import gc

from keyturn.controllers.managedsecret.restart_budget import RestartLocks
from keyturn.core.keys import WorkloadKey

API, WEB = WorkloadKey("shop", "Deployment", "api"), WorkloadKey("shop", "Deployment", "web")


async def test_restarts_of_one_workload_share_a_lock() -> None:
    locks = RestartLocks()
    async with locks.of(API):
        assert locks.of(API).locked()
        assert not locks.of(WEB).locked()


async def test_no_lock_outlives_its_use() -> None:
    locks = RestartLocks()
    async with locks.of(API):
        pass
    gc.collect()
    assert not locks._locks
