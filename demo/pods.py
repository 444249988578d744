"""A process of the application for each ready pod of the fake nodes, and clients that count failed requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

from sandbox.harness import HarnessError

from .operator import die_with_parent
from .terminal import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .terminal import Terminal

_END: Final = 10.0
_LAST_REQUESTS: Final = 0.3
"""Seconds in which a process that gets no new requests answers the last ones."""
_WATCH: Final = "get pods -n shop -l app=orders --watch --output-watch-events -o json"
_VARIABLES: Final = {"DB_USERNAME": "username", "DB_PASSWORD": "password"}
_PAUSE: Final = 0.05
_TIMEOUT: Final = 15.0
_CLIENTS: Final = 2
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy of this machine leads to the processes."""


class Pods:
    """The processes of the pods, by the pods' names; as a context manager all of them end with the block."""

    def __init__(self, terminal: Terminal, secret: str, environment: Mapping[str, str]) -> None:
        """`environment` is what each process has besides its login, which is in the Secret."""
        self._terminal, self._secret, self._environment = terminal, secret, environment
        self._ready: set[str] = set()
        self._running: dict[str, tuple[subprocess.Popen[str], int]] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._follow, self._work)]
        self._turns = count()
        self._watch = subprocess.Popen(
            terminal.kubectl.command(*_WATCH.split()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs now
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.kill()
        self._over.set()
        for thread in self._threads:
            thread.join(_END)
        self._watch.communicate()
        for name in list(self._running):
            self._end(name)

    def url(self) -> str:
        """Return the URL of a process that serves, each in turn, as a Service does; empty if there is none."""
        ports = [port for _, port in list(self._running.values())]
        return f"http://127.0.0.1:{ports[next(self._turns) % len(ports)]}/" if ports else ""

    @property
    def count(self) -> int:
        """How many processes serve, and are to stay."""
        return len(self._ready & set(self._running))

    @property
    def is_settled(self) -> bool:
        """Whether no process is about to end."""
        return set(self._running) <= self._ready

    def _follow(self) -> None:
        for event in _documents(self._watch):
            pod = event["object"]
            name = pod["metadata"]["name"]
            if event["type"] == "DELETED" or "deletionTimestamp" in pod["metadata"]:
                self._ready.discard(name)
            elif _is_ready(pod):
                self._ready.add(name)

    def _work(self) -> None:
        """Start a process for each ready pod; end one once another serves, as a pod that its Service still knows."""
        while not self._over.wait(_PAUSE):
            for name in self._ready - set(self._running):
                self._start(name)
            for name in set(self._running) - self._ready:
                if self.count:
                    self._end(name)

    def _start(self, name: str) -> None:
        try:
            login = variables(self._terminal, self._secret, _VARIABLES)
        except HarnessError:
            return  # until the Secret exists a kubelet starts no container that needs it
        process = subprocess.Popen(
            [sys.executable, "-m", "demo.application"],
            env={**os.environ, **self._environment, **login},
            stdin=subprocess.PIPE,  # its end, with the demo's, ends the process
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        line = process.stdout.readline().strip() if process.stdout else ""
        if line:
            self._running[name] = process, int(line)
        else:  # its login was refused
            process.communicate()

    def _end(self, name: str) -> None:
        process, _ = self._running.pop(name)
        time.sleep(_LAST_REQUESTS)
        process.terminate()
        try:
            process.communicate(timeout=_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _is_ready(pod: Any) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def _documents(process: subprocess.Popen[str]) -> Iterator[Any]:
    """Yield the JSON documents that kubectl prints one after the other."""
    decoder, text = json.JSONDecoder(), ""
    for line in process.stdout or ():
        text += line
        if line.rstrip().endswith("}"):
            with suppress(json.JSONDecodeError):
                document, end = decoder.raw_decode(text.lstrip())
                text = text.lstrip()[end:]
                yield document


@dataclass
class Clients:
    """Two clients with 20 requests per second each, during a block."""

    url: Callable[[], str]
    """Where the next request is sent; empty where no pod serves, and then the request fails."""
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

    def __exit__(self, *_: object) -> None:
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
        while not self._over.wait(_PAUSE):
            url = self.url()
            login = _login_of_answer(url) if url else ""
            with self._lock:
                self.sent += 1
                self.failed += not login
                if login:
                    self.logins[login] = self.logins.get(login, 0) + 1


def _login_of_answer(url: str) -> str:
    """Return the login that an answer came through; nothing if the request failed."""
    try:
        with _OPENER.open(url, timeout=_TIMEOUT) as answer:
            return str(json.load(answer)["login"])
    except (urllib.error.URLError, OSError, ValueError):
        return ""
