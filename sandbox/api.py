"""Minimal HTTPS client for the API server and etcd."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import SandboxError

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Api:
    """An HTTPS server that knows its clients by certificate."""

    server: str
    trust: ssl.SSLContext

    @classmethod
    def at(cls, server: str, ca_file: Path, certificate: Path, key: Path) -> Api:
        trust = ssl.create_default_context(cafile=ca_file)
        trust.load_cert_chain(certificate, key)
        return cls(server, trust)

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        return self._call("POST", path, body)

    def delete(self, path: str) -> None:
        """Delete what is at `path`; absent is success."""
        try:
            status, _ = self._exchange("DELETE", path, None)
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"DELETE {self.server}{path}: {error}") from error
        if status >= http.client.BAD_REQUEST and status != http.client.NOT_FOUND:
            raise SandboxError(f"DELETE {self.server}{path} answered {status}")

    def answers(self, path: str) -> bool:
        """Tell whether a GET of `path` succeeds now."""
        try:
            status, _ = self._exchange("GET", path, None)
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def _call(self, method: str, path: str, body: object) -> Any:
        try:
            status, content = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"{method} {self.server}{path}: {error}") from error
        if status >= http.client.BAD_REQUEST:
            # Not the body: an API server's error can repeat what it refuses.
            raise SandboxError(f"{method} {self.server}{path} answered {status}")
        return json.loads(content)

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        host = urlsplit(self.server).netloc
        connection = http.client.HTTPSConnection(host, timeout=_TIMEOUT, context=self.trust)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
