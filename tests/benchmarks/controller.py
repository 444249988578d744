"""Tiny controller of Widgets. Its first argument is how it behaves."""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import time
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

WIDGETS = "/apis/bench.example/v1/namespaces/bench/widgets"
SECRETS = "/api/v1/namespaces/bench/secrets"


class Api:
    """Calls to the API server of the kubeconfig."""

    def __init__(self) -> None:
        config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._address = urlsplit(cluster["server"]).netloc
        self._token = config["users"][0]["user"]["token"]
        self._context = ssl.create_default_context(cadata=authority)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        with closing(HTTPSConnection(self._address, timeout=10, context=self._context)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer: dict[str, Any] = json.load(connection.getresponse())
        return answer


def widgets(api: Api) -> list[dict[str, Any]]:
    # An API server that has just begun to serve this kind refuses a first list.
    found: list[dict[str, Any]] = api.call("GET", WIDGETS).get("items", [])
    return found


def make_ready(api: Api, name: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    api.call("POST", SECRETS, secret)
    condition = {"type": "Ready", "status": "True"}
    api.call("PATCH", f"{WIDGETS}/{name}/status", {"status": {"conditions": [condition]}})


def work(api: Api, behaviour: str, widget: dict[str, Any]) -> None:
    if behaviour == "ends":
        sys.exit("cannot work with widgets")
    if behaviour == "works" and "status" not in widget:
        make_ready(api, widget["metadata"]["name"])


def main(behaviour: str) -> None:
    api = Api()
    while True:
        for widget in widgets(api):
            work(api, behaviour, widget)
        time.sleep(0.2 if behaviour in {"ends", "idle"} else 1.5)


if __name__ == "__main__":
    main(sys.argv[1])
