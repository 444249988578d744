"""The store in conversion, and references of its settings."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from keyturn.core.labels import CONSENT

if TYPE_CHECKING:
    from keyturn.offline.convert.inputs import Inputs
    from keyturn.offline.convert.strict_reader import StrictReader

__all__ = ["Store", "needed"]

_OPERATOR_NAMESPACE: Final = "keyturn-system"
"""Namespace of the operator in the shipped manifests."""


def needed(part: StrictReader, name: str, instead: str) -> str:
    """Return a required text; a missing one is reported."""
    found = part.text(name)
    if not found:
        part.report.lost(part.at(name), f"is absent; {instead} is written", "write the right one")
    return found or instead


@dataclass(frozen=True, slots=True)
class Store:
    """A SecretStore or ClusterSecretStore, which keeps its name."""

    kind: str
    name: str
    namespace: str
    inputs: Inputs
    beside: list[dict[str, Any]] = field(default_factory=list)
    """Further objects that the converted store needs."""

    @property
    def is_shared(self) -> bool:
        return self.kind == "ClusterSecretStore"

    def key_of(self, part: StrictReader, usual: str) -> dict[str, str]:
        """Convert a reference to a key of a Secret; `usual` is the default key."""
        self.report_namespace(part)
        return {"name": needed(part, "name", self.name), "key": part.text("key") or usual}

    def report_namespace(self, part: StrictReader) -> None:
        """Report the namespace in which the referenced object has to be."""
        namespace = part.text("namespace")
        if not part:
            return
        if self.is_shared and namespace != _OPERATOR_NAMESPACE:
            part.report.changed(
                part.at("namespace"),
                f"is {namespace or 'that of each reader'}; a shared store reads its login in {_OPERATOR_NAMESPACE}",
                f"copy {part.text('name')} there",
            )
        elif namespace and not self.is_shared and namespace != self.namespace:
            part.report.changed(part.at("namespace"), "is left out: a SecretStore reads its own namespace")

    def account(self, part: StrictReader) -> dict[str, str] | None:
        """Convert a reference to a ServiceAccount, which is always in the consumer's namespace here."""
        name, namespace = part.text("name"), part.text("namespace")
        if namespace and self.is_shared:
            part.report.lost(
                part.at("namespace"),
                f"is {namespace}; Keyturn logs in as the ServiceAccount {name} of each namespace that reads",
                f"make {name} in each of them and let it log in, or use a static login",
            )
        elif namespace and namespace != self.namespace:
            part.report.changed(
                part.at("namespace"), "is left out: a SecretStore uses accounts of its own namespace"
            )
        if not name:
            return None
        desired = f"ClusterSecretStore/{self.name}" if self.is_shared else self.name
        part.report.changed(
            part.at("name"),
            "has to consent to the store by an annotation",
            f"annotate {name} with {CONSENT}: {desired}",
        )
        return {"name": name}

    def account_of_cloud(self, part: StrictReader) -> dict[str, str] | None:
        """Convert a reference to a ServiceAccount whose tokens have the one audience that the cloud accepts."""
        part.changed("audiences", "is left out: Keyturn asks for the one audience that the store needs")
        return self.account(part)

    def annotation(self, part: StrictReader, name: str) -> str | None:
        """Return an annotation of a ServiceAccount among the documents."""
        namespace = part.text("namespace") or self.namespace
        found = self.inputs.annotations(namespace, part.text("name") or "").get(name)
        return found if isinstance(found, str) else None

    def trust(self, part: StrictReader) -> dict[str, Any]:
        """Convert caBundle or caProvider to caRef."""
        if "caBundle" in part:
            return self._bundle(part)
        provider = part.part("caProvider")
        if not provider:
            return {}
        if provider.text("type") != "ConfigMap":
            provider.report.lost(
                provider.at("type"),
                "is Secret; Keyturn reads certificates in a ConfigMap, since they are no secret",
                "make a ConfigMap of that name with the same key",
            )
        return {"caRef": self.key_of(provider, "ca.crt")}

    def _bundle(self, part: StrictReader) -> dict[str, Any]:
        try:
            text = base64.b64decode("".join((part.text("caBundle") or "").split()), validate=True).decode(
                "ascii"
            )
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        name = f"{self.name}-ca"
        if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE" in text:
            part.report.lost(
                part.at("caBundle"), "is no certificate in base64", f"make a ConfigMap {name} with ca.crt"
            )
            return {"caRef": {"name": name, "key": "ca.crt"}}
        part.report.changed(part.at("caBundle"), f"is the ConfigMap {name} now")
        namespace = _OPERATOR_NAMESPACE if self.is_shared else self.namespace
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        self.beside.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": text}}
        )
        return {"caRef": {"name": name, "key": "ca.crt"}}
