"""The application of the real node's tests does what its settings say, and shows no value."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import json
import signal
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import runtime
from sandbox.harness import eventually
from sandbox.node import images
from tests.sandbox.helpers import somebody_listens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUE = "keyturn-canary-app"
FINGERPRINT = hashlib.sha256(VALUE.encode()).hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


@contextmanager
def serving(**environment: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    (port,) = runtime.free_ports(1)
    with subprocess.Popen(
        [images.ensure().app], env={"PORT": str(port), **environment}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            eventually(lambda: somebody_listens(port) or process.poll() is not None, "the application")
            yield port, process
        finally:
            process.kill()


def ask(port: int, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def seen_at(port: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ask(port)[1])
    return content


def test_it_shows_fingerprints_of_both_values_and_neither_value(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(VALUE)
    with serving(SECRET=VALUE, SECRET_FILE=str(file), REVISION="auth=2") as (port, _):
        first = seen_at(port)
        file.write_text("another")
        second = seen_at(port)
    assert (first["env"], first["file"], first["revision"]) == (FINGERPRINT, FINGERPRINT, "auth=2")
    assert (second["env"], second["file"]) == (FINGERPRINT, OTHER)
    assert VALUE not in json.dumps([first, second])


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("revision:auth=2", True),
        ("revision:auth=3", False),
        (f"fingerprint:{FINGERPRINT}", True),
        (f"fingerprint:{OTHER}", False),
        (f"other-than:{OTHER}", True),
        (f"other-than:{FINGERPRINT}", False),
        (f"revision:auth=3,fingerprint:{FINGERPRINT}", True),
    ],
)
def test_a_rule_that_holds_crashes_it_or_keeps_it_unready(*, rule: str, holds: bool) -> None:
    with serving(SECRET=VALUE, REVISION="auth=2", CRASH_ON=rule) as (_, process):
        assert process.poll() == (1 if holds else None)
    with serving(SECRET=VALUE, REVISION="auth=2", UNREADY_ON=rule) as (port, _):
        assert ask(port, "/ready")[0] == (503 if holds else 200)


def test_a_crash_names_its_rule_and_no_value() -> None:
    with serving(SECRET=VALUE, CRASH_ON=f"fingerprint:{FINGERPRINT}") as (_, process):
        assert process.stderr is not None
        told = process.stderr.read()
    assert "CRASH_ON ends this process" in told
    assert VALUE not in told


def test_it_serves_on_after_sigterm_without_being_ready() -> None:
    with serving(TERM_SECONDS="4") as (port, process):
        assert ask(port, "/ready")[0] == 200
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        eventually(lambda: ask(port, "/ready")[0] == 503, "readiness withdrawn")
        assert ask(port)[0] == 200
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - asked >= 4


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(images.ensure().app), "load", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


def test_load_counts_answers_and_what_they_show() -> None:
    with serving(SECRET=VALUE) as (port, _):
        report = json.loads(load(f"--url=http://127.0.0.1:{port}", "--rate=50", "--for=2s").stdout)
    assert (report["failed"], report["env"]) == (0, [FINGERPRINT])
    assert report["ok"] == report["sent"] > 5


def test_load_counts_refused_connections_as_failures() -> None:
    (port,) = runtime.free_ports(1)
    report = json.loads(load(f"--url=http://127.0.0.1:{port}", "--rate=50", "--for=2s").stdout)
    assert report["failed"] == report["sent"] == report["errors"]["connection refused"] > 3


def test_load_counts_bad_statuses_as_failures() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Unavailable) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        report = json.loads(load(f"--url=http://127.0.0.1:{server.server_port}", "--for=2s").stdout)
        server.shutdown()
        thread.join()
    assert report["failed"] == report["sent"] == report["errors"]["status 503"] > 1


class _Unavailable(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # its name there
        """Log nothing."""
