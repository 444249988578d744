"""What the API server answers to another user, whom an administrator impersonates: one request each, no kubectl."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode

from sandbox.harness import Kubectl
from tests.support.objects import Body, Client, path_of, shared_client

_DENIED = "denied request: "
_DRY = {"dryRun": "All", "fieldValidation": "Strict"}
_MERGE = "application/merge-patch+json"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SUBRESOURCES = frozenset({"log", "exec", "ephemeralcontainers", "eviction", "token", "status"})


@dataclass(frozen=True, slots=True)
class User:
    """A user of a cluster; the API server keeps nothing of what it writes."""

    client: Client
    name: str
    group: str = ""

    @classmethod
    def of(cls, kubectl: Kubectl, name: str, group: str = "") -> Self:
        assert kubectl.kubeconfig
        return cls(shared_client(kubectl.kubeconfig), name, group)

    def creation(self, body: Body) -> str:
        """Say why a policy denies to create an object; nothing where it does not."""
        return self._denial("POST", _collection(body), body)

    def warnings(self, body: Body) -> list[str]:
        """Return what the API server warns of when an object is created."""
        headers = {"Content-Type": "application/json", "Impersonate-User": self.name}
        response = self.client.send("POST", f"{_collection(body)}?{urlencode(_DRY)}", body, headers)
        assert response.status == HTTPStatus.CREATED, response.read()
        return list(response.headers.getlist("Warning"))

    def replacement(self, body: Body) -> str:
        return self._denial("PUT", f"{_collection(body)}/{body['metadata']['name']}", body)

    def patch(self, path: str, patch: Body) -> str:
        return self._denial("PATCH", path, patch)

    def deletion(self, path: str) -> str:
        return self._denial("DELETE", path, None)

    def post(self, path: str, body: Body) -> str:
        """Say why a policy denies what a subresource is asked."""
        return self._denial("POST", path, body)

    def token(self, namespace: str, account: str, audiences: tuple[str, ...], seconds: int) -> str:
        """Say why a policy denies a token of a ServiceAccount."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        spec = {"audiences": list(audiences), "expirationSeconds": seconds}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.post(path, body)

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Return whether the user may; a resource is written as `pods`, `pods/log` or `leases.group/name`.

        An empty namespace stands for all.
        """
        kind, _, rest = resource.partition("/")
        plural, _, group = kind.partition(".")
        asked = {"verb": verb, "group": group, "resource": plural, "namespace": namespace}
        if rest:
            asked["subresource" if rest in _SUBRESOURCES else "name"] = rest
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        status, answer = self._ask("POST", _REVIEWS, body, {})
        assert status == HTTPStatus.CREATED, answer["message"]
        return bool(answer["status"]["allowed"])

    def _denial(self, verb: str, path: str, body: Body | None) -> str:
        status, answer = self._ask(verb, path, body, _DRY if verb != "DELETE" else {"dryRun": "All"})
        if status < HTTPStatus.BAD_REQUEST:
            return ""
        assert _DENIED in answer["message"], answer["message"]
        return str(answer["message"]).rpartition(_DENIED)[2].strip()

    def _ask(self, verb: str, path: str, body: Body | None, query: Mapping[str, str]) -> tuple[int, Any]:
        content = _MERGE if verb == "PATCH" else "application/json"
        headers = {"Content-Type": content, "Impersonate-User": self.name}
        if self.group:
            headers["Impersonate-Group"] = self.group
        where = f"{path}?{urlencode(query)}" if query else path
        response = self.client.send(verb, where, body, headers)
        return response.status, json.loads(response.read())


def _collection(body: Body) -> str:
    return path_of(body["kind"], body["metadata"]["namespace"])
