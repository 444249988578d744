"""The application of each pod: answers a request with one row that it wrote, through a pool of sessions.

It reads its login from its environment once, as most applications do, so another password needs another process.
A session serves a few requests and then makes room for another one, so that logins happen all the time.

It listens on a free port of the machine, and ends with its input.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import psycopg

_SESSIONS: Final = 2
_USES: Final = 5
_CONNECT_TIMEOUT: Final = 5
_WAIT: Final = 10.0
_INSERT: Final = (
    b"INSERT INTO orders (placed_by) VALUES (session_user)"
    b" RETURNING id, session_user::text, current_user::text"
)


class _Pool:
    """A few sessions; each is replaced after some uses, or after an error."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: queue.Queue[tuple[psycopg.Connection[Any] | None, int]] = queue.Queue()
        for _ in range(_SESSIONS):
            self._idle.put((None, 0))

    def execute(self, statement: bytes) -> Any:
        session, uses = self._idle.get(timeout=_WAIT)
        try:
            session = session or psycopg.connect(
                self._conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT
            )
            row = session.execute(statement).fetchone()
        except psycopg.Error:
            _close(session)
            self._idle.put((None, 0))
            raise
        if uses + 1 >= _USES:
            _close(session)
            session, uses = None, -1
        self._idle.put((session, uses + 1))
        return row


def _close(session: psycopg.Connection[Any] | None) -> None:
    with suppress(psycopg.Error):
        if session is not None:
            session.close()


class _Handler(BaseHTTPRequestHandler):
    pool: _Pool

    def do_GET(self) -> None:
        try:
            number, login, owner = self.pool.execute(_INSERT)
        except (psycopg.Error, queue.Empty):
            self._answer(500, {})
        else:
            self._answer(200, {"order": number, "login": login, "owner": owner})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write no line for each request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # an end waits for the requests that are being answered
    block_on_close = True


def main() -> int:
    """Serve until SIGTERM, or until the end of the input; the first line of the output is the port."""
    login, password = os.environ["DB_USERNAME"], os.environ.pop("DB_PASSWORD")
    conninfo = psycopg.conninfo.make_conninfo(
        os.environ["DB_SERVER"],
        user=login,
        password=password,
        application_name="orders",
        gssencmode="disable",
    )
    _Handler.pool = _Pool(conninfo)
    _Handler.pool.execute(b"SELECT 1")
    with _Server(("127.0.0.1", 0), _Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        threading.Thread(target=_end_with_the_demo, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.05)
    return 0


def _end_with_the_demo() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
