"""Clients of the application: send requests all the time, and count those that fail."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_PAUSE: Final = 0.05
_TIMEOUT: Final = 15.0
_CLIENTS: Final = 2
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy of this machine leads to the pods."""


@dataclass
class Clients:
    """Two clients with 20 requests per second each, during a block."""

    url: Callable[[], str]
    """Where the next request is sent; empty where no pod serves, and then the request fails."""
    enter: Callable[[], None] = lambda: None
    """What each client does first in its thread."""
    sent: int = 0
    failed: int = 0
    logins: dict[str, int] = field(default_factory=dict)
    """How many answers came through which login; in the order in which they came first."""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_TIMEOUT)

    def __str__(self) -> str:
        with self._lock:
            return f"{self.sent:5} requests, {self.failed} failed"

    def start_again(self) -> None:
        """Count from 0."""
        with self._lock:
            self.sent = self.failed = 0
            self.logins.clear()

    def _send_all(self) -> None:
        self.enter()
        while not self._over.wait(_PAUSE):
            url = self.url()
            login = _ask(url) if url else ""
            with self._lock:
                self.sent += 1
                self.failed += not login
                if login:
                    self.logins[login] = self.logins.get(login, 0) + 1


def _ask(url: str) -> str:
    """Return the login that an answer came through; nothing if the request failed."""
    try:
        with _OPENER.open(url, timeout=_TIMEOUT) as answer:
            return str(json.load(answer)["login"])
    except (urllib.error.URLError, OSError, ValueError):
        return ""
