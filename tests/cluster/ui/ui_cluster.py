"""A cluster with secrets in several namespaces, people with different rights, and their `keyturn ui`."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from sandbox import ControlPlane
from sandbox.harness import Kubectl
from tests.support.objects import Objects
from tests.support.operator import BEGUN
from tests.support.web_ui import WebUi, web_ui

CANARY = f"canary-{secrets.token_urlsafe(24)}"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&{{ server }}"


@dataclass(frozen=True, slots=True)
class Desk:
    """An API server with our kinds, three namespaces (shop, bank and stage), and a machine of one person."""

    plane: ControlPlane
    kubectl: Kubectl
    objects: Objects
    folder: Path

    @property
    def seen(self) -> Path:
        """Every page and answer of the tests: a place in which the gate of the run looks for values."""
        return self.folder / "seen"

    def note(self, text: str) -> None:
        BEGUN.add(self.seen)
        with self.seen.open("a") as file:
            file.write(f"{text}\n")

    def serving(self, person: str, *options: str, **environment: str) -> AbstractContextManager[WebUi]:
        """Run `keyturn ui` as a person does, until the end of the block."""
        return web_ui(self.folder / person, self.folder, *options, **environment)

    def client(self, ui: WebUi) -> Client:
        return Client(ui.url, self)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: HTTPMessage
    text: str


@dataclass(slots=True)
class Client:
    """Asks without a browser, and follows nothing."""

    url: str
    desk: Desk

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def ask(self, path: str = "", method: str = "GET", *, url: str = "", **headers: str) -> Answer:
        request = urllib.request.Request(f"{url or self.url}{path}", headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                found = Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                found = Answer(refusal.code, cast("HTTPMessage", refusal.headers), refusal.read().decode())
        self.desk.note(f"{found.headers}{found.text}")
        return found


# Objects


def managed(name: str, *data: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    items = list(data) or [{"name": "token", "generate": {"bytes": {}}}]
    return {"kind": "ManagedSecret", "metadata": {"name": name}, "spec": {"data": items, **spec}}


def condition(type_: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at(hours=-1),
    }


def at(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).strftime("%Y-%m-%dT%H:%M:%SZ")


def role(name: str, namespace: str, *resources: str) -> list[dict[str, Any]]:
    """Let a ServiceAccount of shop list something in a namespace, or in all of them."""
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["keyturn.dev"], "resources": list(resources), "verbs": ["get", "list"]}]
    return [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "shop"}],
        },
    ]


def applied(kubectl: Kubectl, bodies: list[dict[str, Any]]) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        given=json.loads(json.dumps({"kind": "List", "apiVersion": "v1", "items": bodies})),
    )
