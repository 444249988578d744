"""A real Vault: a program around its own core, built once into the cache, and its API past our code."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from sandbox import build, golang

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BUILD_SECONDS", "VaultServer", "running"]

BUILD_SECONDS = 1800
"""Six minutes on two idle cores; seconds for one who has the cache."""
_MODULE = Path(__file__).with_name("vault-go")
_START = 30.0


@dataclass(frozen=True, slots=True)
class VaultServer:
    """A Vault with the key-value engine, version 2 at `secret` and version 1 at `old`, and with AppRoles."""

    address: str
    token: str = field(repr=False)

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310  # our own server
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.token},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            read = answer.read()
        found: dict[str, Any] = json.loads(read) if read else {}
        return found

    def names(self, path: str) -> list[str]:
        """List a folder, of which Vault says that it is not there when it is empty."""
        try:
            found: list[str] = self.call("LIST", path)["data"]["keys"]
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return []
        return found

    def is_active(self) -> bool:
        try:
            self.call("GET", "sys/health")
        except HTTPError:
            return False
        return True


@contextmanager
def running() -> Iterator[VaultServer]:
    process = subprocess.Popen(
        [_program(), "127.0.0.1:0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address, token = process.stdout.readline().split()
        server = VaultServer(f"http://{address}", token)
        deadline = time.monotonic() + _START
        while not server.is_active():
            assert time.monotonic() < deadline, "Vault did not become active"
            time.sleep(0.05)
        for mount, version in (("secret", "2"), ("old", "1")):
            server.call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": version}})
        server.call("POST", "sys/auth/approle", {"type": "approle"})
        yield server
    finally:
        process.kill()
        process.communicate()


def _program() -> Path:
    folder = build._cache() / f"vault-{_key()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with build._only_builder(folder):
        if not folder.exists():
            _compile(folder)
    return folder / "vault"


def _key() -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(_MODULE.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        command = ["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made / "vault"), "."]
        done = subprocess.run(
            [str(golang.find_go(folder.parent)), *command],
            cwd=_MODULE,
            env=golang.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        made.rename(folder)
