"""Real Vault server, built into the cache once, and a client that does not use Keyturn's code."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from sandbox.harness import eventually
from tests.support.goprogram import built

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
        [program(), "127.0.0.1:0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address, token = process.stdout.readline().split()
        server = VaultServer(f"http://{address}", token)
        eventually(server.is_active, "an active Vault", _START)
        for mount, version in (("secret", "2"), ("old", "1")):
            server.call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": version}})
        server.call("POST", "sys/auth/approle", {"type": "approle"})
        yield server
    finally:
        process.kill()
        process.communicate()


def program() -> Path:
    return built(_MODULE, "vault", BUILD_SECONDS)
