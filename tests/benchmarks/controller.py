"""Tiny controller of Widgets, or one that restarts Deployments. Its first argument is how it behaves."""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

WIDGETS = "/apis/bench.example/v1/namespaces/bench/widgets"
SECRETS = "/api/v1/namespaces/bench/secrets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/bench/deployments"
REQUEST = "renew"
"""The annotation of a Widget, its Secret and the pods that read it: the last request to read the store."""


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
    report(api, name, "")


def report(api: Api, name: str, request: str) -> None:
    condition = {"type": "Ready", "status": "True"}
    api.call("PATCH", f"{WIDGETS}/{name}/status", {"status": {"conditions": [condition], "read": request}})


def read_store(key: str) -> str:
    headers = {"X-Amz-Target": "secretsmanager.GetSecretValue"}
    with closing(HTTPConnection(urlsplit(os.environ["STORE"]).netloc, timeout=10)) as connection:
        connection.request("POST", "/", json.dumps({"SecretId": key}), headers)
        return str(json.load(connection.getresponse())["SecretString"])


def pull(api: Api, name: str, request: str) -> None:
    value = base64.b64encode(read_store(f"bench/{name}").encode()).decode()
    metadata = {"name": name, "annotations": {REQUEST: request}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": value}}
    api.call(*(("PUT", f"{SECRETS}/{name}") if request else ("POST", SECRETS)), secret)
    report(api, name, request)


def restart(api: Api, name: str, request: str) -> None:
    template = {"metadata": {"annotations": {REQUEST: request}}}
    api.call("PATCH", f"{DEPLOYMENTS}/{name}", {"spec": {"template": template}})


def restart_all(api: Api) -> None:
    """Restart each Deployment whose Secret was read again since."""
    for deployment in api.call("GET", DEPLOYMENTS)["items"]:
        name = deployment["metadata"]["name"]
        request = request_of(api.call("GET", f"{SECRETS}/{name}"))
        if request and request != request_of(deployment["spec"]["template"]):
            restart(api, name, request)


def request_of(body: dict[str, Any]) -> str:
    found: str = body["metadata"].get("annotations", {}).get(REQUEST, "")
    return found


def work(api: Api, behaviour: str, widget: dict[str, Any]) -> None:
    name, request = widget["metadata"]["name"], request_of(widget)
    if behaviour == "ends":
        sys.exit("cannot work with widgets")
    if behaviour == "works" and "status" not in widget:
        make_ready(api, name)
    if behaviour == "pulls" and widget.get("status", {}).get("read") != request:
        pull(api, name, request)


def main(behaviour: str) -> None:
    api = Api()
    while True:
        for widget in widgets(api):
            work(api, behaviour, widget)
        if behaviour == "restarts":
            restart_all(api)
        time.sleep(0.2 if behaviour in {"ends", "idle"} else 1.5)


if __name__ == "__main__":
    main(sys.argv[1])
