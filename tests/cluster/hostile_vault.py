"""A server that says it is a Vault, takes every login, and writes down all that it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hostile:
    """What a hostile server heard."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[bytes] = []
        """Each request as it came: its line, its headers and its body."""
        self.logins: list[str] = []
        """The tokens of ServiceAccounts that it was sent."""


@contextmanager
def hostile(port: int = 0) -> Iterator[Hostile]:
    """Run such a server, at any free port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.heard.append(f"{self.requestline}\n{self.headers}\n".encode() + body)
            if self.path.endswith("/login"):
                server.logins.append(json.loads(body)["jwt"])
                said: dict[str, object] = {
                    "auth": {"client_token": "hvs.hostile", "lease_duration": 600, "renewable": False}
                }
            else:
                said = {"data": {"data": {"password": "hunter2"}, "metadata": {"version": 1}}}
            text = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_LIST = _answer  # noqa: N815  # the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    listening.daemon_threads = True
    server = Hostile(f"http://127.0.0.1:{listening.server_port}")
    with _running(listening):
        yield server


class Hung:
    """What a server that never answers was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.connections = 0


@contextmanager
def hung() -> Iterator[Hung]:
    """Run a server that takes every request, and never answers."""
    ends = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            server.connections += 1
            ends.wait(60)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = Hung(f"http://127.0.0.1:{listening.server_port}")
    with _running(listening):
        yield server
        ends.set()


@contextmanager
def _running(listening: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
