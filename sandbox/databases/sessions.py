"""Counts the sessions that an operator has at a PostgreSQL server."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from .postgresql import PostgresServer

__all__ = ["counted_sessions", "sessions_of"]

_PAUSE = 0.05
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keyturn%'"
_END_TIMEOUT = 30.0


@contextmanager
def counted_sessions(server: PostgresServer) -> Iterator[list[int]]:
    """Count the operator's sessions 20 times a second, while the block lasts."""
    counts: list[int] = []
    over = threading.Event()

    def count() -> None:
        with server.connect() as session:
            while not over.wait(_PAUSE):
                counts.append(_count(session))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join(_END_TIMEOUT)


def sessions_of(server: PostgresServer) -> int:
    """Return how many sessions the operator has now."""
    with server.connect() as session:
        return _count(session)


def _count(session: psycopg.Connection[Any]) -> int:
    row = session.execute(_SESSIONS).fetchone()
    return int(row[0]) if row else 0
