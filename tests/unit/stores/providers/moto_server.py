"""The servers that speak what the providers speak, each a process of its own, for the whole session."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from sandbox.runtime import free_ports

_START = 60.0


def free_port() -> int:
    (port,) = free_ports(1)
    return port


@dataclass(frozen=True, slots=True)
class Moto:
    """AWS, as moto plays it."""

    address: str

    def call(self, service: str, target: str, **body: object) -> dict[str, Any]:
        """Ask as an administrator whom nobody checks, past all of our code."""
        request = urllib.request.Request(  # noqa: S310  # our own server
            self.address,
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/{service}/aws4_request",
                "X-Amz-Target": target,
                "Content-Type": "application/x-amz-json-1.1",
            },
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found

    def form(self, service: str, action: str, **parameters: str) -> str:
        """Ask a service of the older kind, and return its XML."""
        request = urllib.request.Request(  # noqa: S310
            self.address,
            data=urlencode({"Action": action, "Version": "2010-05-08", **parameters}).encode(),
            headers={
                "Authorization": f"AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/{service}/aws4_request",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return str(answer.read().decode())

    def let_in(self, requests: int) -> None:
        """Check nobody for some requests, where everybody is checked else."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}/moto-api/reset-auth",
            data=str(requests).encode(),
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310


@contextmanager
def moto(log: Path, **environment: str) -> Iterator[Moto]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **environment, "PYTHONWARNINGS": "ignore"}
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, f"{address}/moto-api/", log)
        yield Moto(address)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} did not answer")
