"""Clients that look at a server from outside: applications that log in, and a count of the operator's sessions."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from .accounts import read_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from benchmarks.cluster import Cluster

    from .accounts import Credentials, Shop

__all__ = ["Logins", "accepts", "counted_sessions", "logging_in", "sessions_of"]

_PAUSE = 0.05
_SESSIONS = b"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keyturn%'"
_END_TIMEOUT = 30.0


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


@contextmanager
def counted_sessions(shop: Shop) -> Iterator[list[int]]:
    """Count the operator's sessions at the server 20 times a second."""
    counts: list[int] = []
    over = threading.Event()

    def count() -> None:
        with psycopg.connect(**shop.conninfo(), autocommit=True) as session:
            while not over.wait(_PAUSE):
                counts.append(_count(session))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join(_END_TIMEOUT)


def sessions_of(shop: Shop) -> int:
    """Return how many sessions the operator has now."""
    with psycopg.connect(**shop.conninfo(), autocommit=True) as session:
        return _count(session)


def _count(session: psycopg.Connection) -> int:
    row = session.execute(_SESSIONS).fetchone()
    return int(row[0]) if row else 0
