"""Client of Chromium's DevTools protocol, for tests of the web UI."""

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import websocket

from sandbox.harness import eventually
from tests.support.chromium import chromium

_PATIENCE: Final = 30.0
_BOUND: Final = ("setpriv", "--pdeathsig=KILL", "--")
_OPTIONS: Final = (
    "--headless",
    # As root, as in most containers, Chromium has no sandbox of its own; it sees pages of our own only.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
)


@dataclass(slots=True)
class Page:
    """A tab, and all that it asked for and complained about."""

    _socket: websocket.WebSocket
    asked: list[str] = field(default_factory=list)
    """Every URL that was asked for."""
    complaints: list[str] = field(default_factory=list)
    """What the console says: errors, and what a policy forbade."""
    on_load: Callable[[], object] = lambda: None
    """Called after each page."""
    _number: int = 0
    _loads: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return cast("dict[str, Any]", answer["result"])

    def open(self, url: str) -> None:
        with self._loading():
            failed = self.call("Page.navigate", url=url).get("errorText")
            assert not failed, f"{url}: {failed}"

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that."""
        with self._loading():
            self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def evaluate(self, expression: str) -> Any:
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    @property
    def text(self) -> str:
        """What a person reads, folded parts apart."""
        return str(self.evaluate("document.body.innerText"))

    @property
    def source(self) -> str:
        return str(self.evaluate("document.documentElement.outerHTML"))

    @property
    def path(self) -> str:
        return str(self.evaluate("location.pathname"))

    def look(self, *, width: int = 1200, height: int = 800, theme: str = "light") -> None:
        """Have a screen of this size, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    @contextmanager
    def _loading(self) -> Iterator[None]:
        before = self._loads
        yield
        deadline = time.monotonic() + _PATIENCE
        while self._loads == before:
            assert time.monotonic() < deadline, "no page was loaded"
            self._next()
        self.on_load()

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv())
        told = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loads += 1
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(told["exceptionDetails"]["text"])
        return message


@contextmanager
def browser() -> Iterator[Page]:
    """Start one with nothing in it, and end it; the kernel ends it with the thread that started it."""
    found = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name)
        command = [
            *_BOUND,
            str(found.program),
            *_OPTIONS,
            f"--user-data-dir={home / 'profile'}",
            "about:blank",
        ]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=found.environment(home), stdout=log, stderr=log, start_new_session=True
            )
        try:
            with _page(home) as page:
                yield page
        finally:
            end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """End a process in order, or kill it if it does not end."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _page(home: Path) -> Iterator[Page]:
    port = _port(home)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=_PATIENCE) as answer:
        (first,) = [one for one in json.load(answer) if one["type"] == "page"]
    # With an Origin it would be taken for a web site, and refused.
    socket = websocket.create_connection(
        first["webSocketDebuggerUrl"], timeout=_PATIENCE, suppress_origin=True
    )
    try:
        page = Page(socket)
        for domain in ("Page", "Network", "Log", "Runtime"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        socket.close()


def _port(home: Path) -> int:
    written = home / "profile" / "DevToolsActivePort"
    eventually(
        lambda: written.exists() and "\n" in written.read_text(),
        "the port of Chromium",
        _PATIENCE,
        instead=lambda: (home / "log").read_text()[-2000:],
    )
    return int(written.read_text().splitlines()[0])
