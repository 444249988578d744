"""Clients that look at a server from outside: applications that log in with what the Secrets say."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from .accounts import read_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.cluster import Cluster

    from .accounts import Credentials, Shop

_PAUSE = 0.05


class Logins:
    """Logins with what the Secrets say at that moment, 20 times a second, one account after another."""

    def __init__(self, names: Sequence[str], shop: Shop, cluster: Cluster) -> None:
        self.tried = 0
        self.failed = 0
        self._names, self._shop, self._cluster = names, shop, cluster

    async def run(self) -> None:
        """Log in until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in itertools.cycle(self._names):
                group.create_task(self._log_in(name))
                await asyncio.sleep(_PAUSE)

    async def _log_in(self, name: str) -> None:
        login = await read_credentials(name, self._cluster)
        is_accepted = await asyncio.to_thread(accepts, self._shop, login)
        self.tried += 1
        self.failed += not is_accepted


def accepts(shop: Shop, login: Credentials) -> bool:
    """Log in once, as an application does; return whether the server accepts it."""
    try:
        with psycopg.connect(**shop.conninfo(login, "application")):
            return True
    except psycopg.OperationalError:
        return False


@asynccontextmanager
async def logging_in(names: Sequence[str], shop: Shop, cluster: Cluster) -> AsyncIterator[Logins]:
    """Have applications log in while the block lasts."""
    logins = Logins(names, shop, cluster)
    running = asyncio.create_task(logins.run())
    try:
        yield logins
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
