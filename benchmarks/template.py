"""Template of objects: what a controller needs once, and the object that is created many times and becomes Ready."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from keyturn.kube import errors

from .errors import PeerError

if TYPE_CHECKING:
    from keyturn.kube.client import Api
    from sandbox.harness import Kubectl

SHIPPED = Path(__file__).with_name("templates")
_NAME = "${name}"


@dataclass(frozen=True, slots=True)
class Template:
    """The documents of a template; `${name}` and other placeholders are still in them."""

    once: tuple[dict[str, Any], ...]
    each: str
    """The object, as JSON."""

    @classmethod
    def read(cls, path: Path, **placeholders: str) -> Template:
        """Read a YAML file; the one document with `${name}` is created many times, all others once.

        Raises:
            PeerError: It is not such a file.
        """
        try:
            text = path.read_text(encoding="utf-8")
            for placeholder, value in placeholders.items():
                text = text.replace(f"${{{placeholder}}}", value)
            documents = [one for one in yaml.safe_load_all(text) if one]
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            raise PeerError(f"the template {path} cannot be read: {error}") from error
        if not all(isinstance(one, dict) and {"apiVersion", "kind"} <= one.keys() for one in documents):
            raise PeerError(f"the template {path} has a document without apiVersion or kind")
        each = [one for one in documents if _NAME in str(one.get("metadata"))]
        if len(each) != 1:
            raise PeerError(
                f"the template {path} needs one object whose name has {_NAME}; {len(each)} have it"
            )
        once = tuple(one for one in documents if one is not each[0])
        return cls(once, json.dumps(each[0]))

    @property
    def kind(self) -> str:
        body = self.body("any")
        return f"{body['apiVersion']} {body['kind']}"

    def body(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(self.each.replace(_NAME, name))
        return body

    def with_spec(self, **more: Any) -> Template:
        """Return the template with more fields in the spec of its object."""
        body = self.body(_NAME)
        return replace(self, each=json.dumps({**body, "spec": {**body["spec"], **more}}))

    def prepare(self, kubectl: Kubectl, namespace: str) -> None:
        """Create what is needed once."""
        for body in self.once:
            kubectl("apply", "-n", namespace, "-f", "-", given=body)

    async def path(self, api: Api, namespace: str) -> str:
        """Return the collection of the object, as the API server names it.

        Raises:
            PeerError: The API server does not serve the kind.
        """
        body = self.body("any")
        group = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else f"/api/{body['apiVersion']}"
        try:
            found = await api.get(group)
        except errors.ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            found = {"resources": []}
        for resource in found["resources"]:
            if resource["kind"] == body["kind"] and "/" not in resource["name"]:
                within = f"namespaces/{namespace}/" if resource["namespaced"] else ""
                return f"{group}/{within}{resource['name']}"
        raise PeerError(f"the API server does not serve {self.kind}: no CRD has it")
