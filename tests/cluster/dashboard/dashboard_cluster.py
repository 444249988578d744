"""A cluster whose operator shows its page, and people with different rights who look."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from keyturn.endpoints.dashboard.login import AUDIENCE
from sandbox.harness import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from http.client import HTTPMessage

    from sandbox import ControlPlane
    from sandbox.harness import Kubectl
    from tests.support.browser import Page
    from tests.support.objects import Objects
    from tests.support.operator import Operator

__all__ = [
    "CANARY",
    "HOSTILE",
    "ROOT",
    "Answer",
    "Client",
    "Dashboard",
    "condition",
    "log_in",
    "managed",
    "url_of",
]

ROOT = Path(__file__).parents[3]
CANARY = f"canary-{secrets.token_urlsafe(24)}"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&{{ viewer }}"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """An API server with our kinds, and three namespaces: shop, bank and stage."""

    plane: ControlPlane
    kubectl: Kubectl
    objects: Objects
    folder: Path

    def token(self, name: str, audience: str = AUDIENCE) -> str:
        """Make a token as a person does."""
        return self.kubectl("create", "token", name, "-n", "shop", f"--audience={audience}").strip()


def url_of(operator: Operator, path: str = "/ui", scheme: str = "http") -> str:
    port = operator.wait_for_log("started")["ui_port"]
    return f"{scheme}://127.0.0.1:{port}{path}"


def log_in(page: Page, operator: Operator, token: str) -> None:
    """Log in as a person does."""
    page.open(url_of(operator))
    eventually(lambda: page.evaluate("document.activeElement.id") == "token", "the focus on the token")
    page.type("#token", token)
    page.submit()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: HTTPMessage
    text: str

    @property
    def cookie(self) -> str:
        """The cookie that was set, as it is sent back."""
        return self.headers.get("Set-Cookie", "").partition(";")[0]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(slots=True)
class Client:
    """Asks without a browser, and follows nothing."""

    base: str
    tls: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str = "/ui", **headers: str) -> Answer:
        return self._ask(path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        return self._ask(path, urlencode(fields).encode(), headers)

    def log_in(self, token: str) -> Answer:
        """Log in, and keep the cookie."""
        answer = self.post("/ui/login", {"token": token})
        if answer.cookie:
            self.headers["Cookie"] = answer.cookie
        return answer

    def _ask(self, path: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        request = urllib.request.Request(f"{self.base}{path}", data, {**self.headers, **more})  # noqa: S310
        https = urllib.request.HTTPSHandler(context=self.tls)
        try:
            with urllib.request.build_opener(_NoRedirect, https).open(request, timeout=20) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, cast("HTTPMessage", refusal.headers), refusal.read().decode())


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
    rules = [{"apiGroups": ["keyturn.dev"], "resources": list(resources), "verbs": ["list"]}]
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
