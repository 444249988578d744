"""A proxy of the server of a store: it records the requests, and injects faults."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TIMEOUT = 60.0
_HANGS = 120.0


class ProxiedRequest(NamedTuple):
    """One request."""

    method: str
    path: str
    at: float
    """By the monotonic clock."""


Answer: TypeAlias = "tuple[int, dict[str, str], bytes] | None"
"""A status, headers and a body; None cuts the connection."""
Fault: TypeAlias = "Callable[[Callable[[], Answer]], Answer]"
"""What is done instead of handing a request on, or with it."""


def refuse(status: int, body: bytes = b"{}", **headers: str) -> Fault:
    """Answer without asking the server."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda _: (status, named, body)


def after(seconds: float) -> Fault:
    """Hand it on late."""

    def late(hand_on: Callable[[], Answer]) -> Answer:
        time.sleep(seconds)
        return hand_on()

    return late


def lose(hand_on: Callable[[], Answer]) -> Answer:
    """Have the server do it, and say nothing of it."""
    hand_on()
    return None


@dataclass(eq=False)
class StoreProxy:
    """The requests so far, and the fault of the next one."""

    server: str
    address: str = ""
    asked: list[ProxiedRequest] = field(default_factory=list)
    fault: Callable[[ProxiedRequest], Fault | None] = lambda _: None
    """Chooses what goes wrong with a request; nothing where it returns None."""
    ends: threading.Event = field(default_factory=threading.Event)

    def count(self, *methods: str, of: str = "") -> int:
        """Count requests by their methods, and by a part of their paths."""
        return sum(one.method in methods and of in one.path for one in list(self.asked))

    def hang(self, _: Callable[[], Answer]) -> Answer:
        """Never answer."""
        self.ends.wait(_HANGS)
        return None

    def _hand_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        upstream = urlsplit(self.server)
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {"Content-Type": answer.getheader("Content-Type", "")}, answer.read()
        finally:
            connection.close()


@contextmanager
def store_proxy(server: str) -> Iterator[StoreProxy]:
    """Run one before the server at an address."""
    made = StoreProxy(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = ProxiedRequest(self.command, self.path, time.monotonic())
            made.asked.append(asked)
            headers = {name: text for name, text in self.headers.items() if name.lower() != "connection"}
            fault = made.fault(asked) or (lambda hand_on: hand_on())
            answer = fault(lambda: made._hand_on(self.command, self.path, headers, body))
            if answer is None:
                self.close_connection = True
                return
            status, said, content = answer
            self.send_response(status)
            for name, text in {**said, "Content-Length": str(len(content))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                return  # the one who asked has gone

        do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _serve  # noqa: N815  # the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    made.address = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.ends.set()
        listening.shutdown()
        thread.join()
        listening.server_close()
