"""Runs a process of the application for each ready pod of the fake nodes, as a kubelet runs a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

from demo import values
from demo.operator import die_with_parent
from sandbox.harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from demo.terminal import Terminal

_END: Final = 10.0
_SECRET: Final = 60.0
_PAUSE: Final = 0.05
_LAST_REQUESTS: Final = 0.3
"""Seconds in which a process that gets no new requests answers the last ones."""
_WATCH: Final = (
    "get",
    "pods",
    "-n",
    "shop",
    "-l",
    "app=orders",
    "--watch",
    "--output-watch-events",
    "-o",
    "json",
)


@dataclass
class _Process:
    """One process of the application, which serves requests or not yet."""

    process: subprocess.Popen[str]
    port: int = 0
    is_ending: bool = False


@dataclass
class Pods:
    """The processes of the pods; as a context manager all of them end with the block."""

    terminal: Terminal
    environment: Mapping[str, str]
    """What each process has besides its login."""
    _known: set[str] = field(default_factory=set)
    _running: dict[str, _Process] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=count)
    _watch: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._watch = subprocess.Popen(
            self.terminal.kubectl.command(*_WATCH),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs now
        )
        self._begin(self._follow)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch:
            self._watch.kill()
            self._watch.wait()
        for name in list(self._running):
            self._end(name)
        for thread in self._threads:
            thread.join(_END)

    def url(self) -> str:
        """Return the URL of a process that serves, each in turn, as a Service does; empty if there is none."""
        with self._lock:
            ready = [one.port for one in self._running.values() if one.port]
        return f"http://127.0.0.1:{ready[next(self._turns) % len(ready)]}/" if ready else ""

    @property
    def count(self) -> int:
        """How many processes serve, and are to stay."""
        with self._lock:
            return sum(bool(one.port) and not one.is_ending for one in self._running.values())

    @property
    def is_settled(self) -> bool:
        """Whether no process is about to end."""
        with self._lock:
            return not any(one.is_ending for one in self._running.values())

    def _follow(self) -> None:
        for event in _documents(self._watch):
            pod = event["object"]
            name, is_gone = pod["metadata"]["name"], event["type"] == "DELETED"
            if is_gone or "deletionTimestamp" in pod["metadata"]:
                self._begin(self._end_in_order, name)
            elif name not in self._known and _is_ready(pod):
                self._known.add(name)
                self._begin(self._start, name)

    def _begin(self, work: Any, *arguments: str) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _start(self, name: str) -> None:
        variables = self._variables()
        with self._lock:
            if name in self._gone:  # it was deleted while its login was read
                return
            process = subprocess.Popen(
                [sys.executable, "-m", "demo.database.application"],
                env={
                    **os.environ,
                    **self.environment,
                    **variables,
                },
                stdin=subprocess.PIPE,  # its end, with the demo's, ends the process
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            self._running[name] = _Process(process)
        line = process.stdout.readline() if process.stdout else ""
        with self._lock:
            if name in self._running and line.strip():
                self._running[name].port = int(line)

    def _variables(self) -> dict[str, str]:
        """Read the Secret, as soon as it exists: until then a kubelet starts no container that needs it."""
        deadline = time.monotonic() + _SECRET
        while True:
            try:
                return values.variables(self.terminal, "shop", "orders-db", _VARIABLES)
            except HarnessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)

    def _end_in_order(self, name: str) -> None:
        """End a process once another one serves: a terminating pod still answers until its Service has moved on."""
        with self._lock:
            self._gone.add(name)
            if (running := self._running.get(name)) is None or running.is_ending:
                return
            running.is_ending = True
        deadline = time.monotonic() + _END
        while not self.count and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        self._end(name)

    def _end(self, name: str) -> None:
        with self._lock:
            running = self._running.pop(name, None)
        if running is None:
            return
        time.sleep(_LAST_REQUESTS)
        running.process.terminate()
        try:
            running.process.wait(_END)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
        for stream in (running.process.stdin, running.process.stdout):
            if stream:
                stream.close()


_VARIABLES: Final = {"DB_USERNAME": "username", "DB_PASSWORD": "password"}


def _is_ready(pod: Any) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def _documents(process: subprocess.Popen[str] | None) -> Iterator[Any]:
    """Yield the JSON documents that kubectl prints one after the other."""
    decoder, text = json.JSONDecoder(), ""
    if process is None or process.stdout is None:
        return
    for line in process.stdout:
        text += line
        if line.rstrip().endswith("}"):
            with suppress(json.JSONDecodeError):
                document, end = decoder.raw_decode(text.lstrip())
                text = text.lstrip()[end:]
                yield document
