"""Counts the sessions that an operator has at a PostgreSQL server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from .postgresql import PostgresServer

_PAUSE = 0.05
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keyturn%'"


@contextmanager
def counted_sessions(server: PostgresServer) -> Iterator[list[int]]:
    """Count the operator's sessions 20 times a second, while the block lasts."""
    counts: list[int] = []
    over = threading.Event()

    def count() -> None:
        with server.connect() as session:
            while not over.wait(_PAUSE):
                counts.append(_count(session))

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        try:
            yield counts
        finally:
            over.set()
    counting.result()  # raises what ended it early


def sessions_of(server: PostgresServer) -> int:
    """Return how many sessions the operator has now."""
    with server.connect() as session:
        return _count(session)


def _count(session: psycopg.Connection[Any]) -> int:
    row = session.execute(_SESSIONS).fetchone()
    return int(row[0]) if row else 0
