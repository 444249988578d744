"""Which kinds of workload kopf watches, and who gets the signals while it starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any
from unittest.mock import Mock

import pytest

from keyturn.controllers.kopf_source import kopf_registry, run_kopf
from keyturn.controllers.kopfshell import kopf
from keyturn.controllers.watch_liveness import WatchLiveness
from keyturn.core.observation.workload_kinds import REQUIRED_TYPES, WORKLOAD_TYPES, WorkloadType


@pytest.mark.parametrize("types", [REQUIRED_TYPES, WORKLOAD_TYPES], ids=["required", "all"])
def test_the_kinds_that_are_listed_are_watched(types: tuple[WorkloadType, ...]) -> None:
    watches: Any = Mock(see_namespaces=True, workload_types=types, absent_kinds=set(), listed={})
    registry = kopf_registry(watches, Mock(), WatchLiveness())
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = {
        (one.group, one.version, one.any_name or one.plural)
        for one in selectors
        if one and one.group not in {"keyturn.dev", ""}
    }

    assert watched == {(row.group, row.version, row.plural) for row in types}


def test_kinds_of_database_targets_that_are_not_installed_are_not_watched() -> None:
    watches: Any = Mock(see_namespaces=True, workload_types=(), absent_kinds={"DatabaseTarget"}, listed={})
    registry = kopf_registry(watches, Mock(), WatchLiveness())
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = {one.any_name or one.plural for one in selectors if one}

    assert "databasetargets" not in watched
    assert {"clusterdatabasetargets", "managedsecrets"} < watched


async def test_a_signal_while_kopf_starts_is_the_operators() -> None:
    registry, starts, told = kopf.OperatorRegistry(), asyncio.Event(), asyncio.Event()

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        starts.set()
        await asyncio.Event().wait()

    def restore() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)

    running = asyncio.create_task(
        run_kopf(restore, registry=registry, standalone=True, clusterwide=True, identity="one")
    )
    try:
        async with asyncio.timeout(20):
            await starts.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await told.wait()
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)
