"""Minimal HTTPS client for the API server and etcd, and the fake nodes: created with it, kept ready by kwok."""

from __future__ import annotations

import http.client
import json
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import SandboxError

NODE = "sandbox.keyturn.dev/node"
"""What a node is; kwok plays those that are `FAKE` and leaves all others alone."""
FAKE = "fake"
REAL = "real"

NODES = 3
_ROOM = {"cpu": "64", "memory": "256Gi", "pods": "2000"}
_TIMEOUT = 10.0


class Api:
    """An HTTPS server that knows its clients by certificate."""

    def __init__(self, server: str, ca_file: Path, certificate: Path, key: Path) -> None:
        self.server = server
        self._trust = ssl.create_default_context(cafile=ca_file)
        self._trust.load_cert_chain(certificate, key)

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        return self._call("POST", path, body)

    def delete(self, path: str) -> None:
        """Delete what is at `path`; absent is success."""
        self._call("DELETE", path, None, HTTPStatus.NOT_FOUND)

    def answers(self, path: str) -> bool:
        """Tell whether a GET of `path` succeeds now."""
        try:
            status, _ = self._exchange("GET", path, None)
        except (OSError, http.client.HTTPException):
            return False
        return status == HTTPStatus.OK

    def _call(self, method: str, path: str, body: object, accepted: int = HTTPStatus.OK) -> Any:
        try:
            status, content = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"{method} {self.server}{path}: {error}") from error
        if status >= HTTPStatus.BAD_REQUEST and status != accepted:
            # Not the body: an API server's error can repeat what it refuses.
            raise SandboxError(f"{method} {self.server}{path} answered {status}")
        return json.loads(content)

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        host = urlsplit(self.server).netloc
        connection = http.client.HTTPSConnection(host, timeout=_TIMEOUT, context=self._trust)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def create_nodes(api: Api, count: int) -> None:
    for number in range(count):
        labels = {
            NODE: FAKE,
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": f"node-{number}",
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": f"zone-{number}",
        }
        metadata = {"name": f"node-{number}", "labels": labels}
        status = {"allocatable": _ROOM, "capacity": _ROOM}
        api.post(
            "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}
        )


def nodes_are_ready(api: Api, count: int, kind: str = FAKE) -> bool:
    """Tell whether `count` nodes of a kind are there and pods can be scheduled on each."""
    nodes = api.get(f"/api/v1/nodes?labelSelector={NODE}%3D{kind}")["items"]
    return len(nodes) == count and all(_is_ready(node) for node in nodes)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in node["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")
