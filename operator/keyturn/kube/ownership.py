"""Ownership of a Secret by its type, owner references, labels and annotations.

Only a Secret without owner may be adopted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from keyturn.api import GROUP, VERSION
from keyturn.core.labels import KEYTURN, MANAGED_BY, SERVICE_ACCOUNT_TOKEN, SESSION_TYPE, STATE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.core.keys import ObjectKey

__all__ = ["filled_by", "foreign_owner", "is_ours", "other_writer", "owner_reference"]

_KIND = "ManagedSecret"

# Types of Secrets that are internal to a program; no other writer may change them.
_FILLED_BY = {
    SERVICE_ACCOUNT_TOKEN: "Kubernetes",
    "bootstrap.kubernetes.io/token": "Kubernetes",
    "helm.sh/release.v1": "Helm",
    SESSION_TYPE: "Keyturn",
    STATE_TYPE: "Keyturn",
}
_NAME = re.compile(r"[\w./:-]{1,64}")
# Labels and annotations of programs that continue to write the Secrets that have them. Sources: the projects'
# documentation of their labels and annotations.
_LABELS = {
    "reconcile.external-secrets.io/managed": "External Secrets",
    "reconcile.external-secrets.io/created-by": "External Secrets",
    "controller.cert-manager.io/fao": "cert-manager",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_ANNOTATIONS = {
    "reconcile.external-secrets.io/data-hash": "External Secrets",
    "cert-manager.io/certificate-name": "cert-manager",
    "sealedsecrets.bitnami.com/managed": "Sealed Secrets",
    "secret-generator.v1.mittwald.de/autogenerate": "the secret generator of mittwald",
    "meta.helm.sh/release-name": "Helm",
    "argocd.argoproj.io/tracking-id": "Argo CD",
}


def owner_reference(key: ObjectKey, uid: str) -> dict[str, Any]:
    """Return the owner reference that deletes a Secret with its ManagedSecret, without blocking the deletion."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": _KIND,
        "name": key.name,
        "uid": uid,
        "controller": True,
    }


def is_ours(reference: Mapping[str, Any], key: ObjectKey) -> bool:
    """Whether an owner reference names the ManagedSecret, also a deleted one of that name."""
    return reference.get("kind") == _KIND and reference.get("name") == key.name


def filled_by(type_: str) -> str | None:
    """Return the program that fills Secrets of a type, or None."""
    who = _FILLED_BY.get(type_)
    return f"{who} (type {type_})" if who else None


def foreign_owner(metadata: Mapping[str, Any], uid: str) -> str | None:
    """Return the owner of a Secret with its evidence; None if it has none but the object with `uid`."""
    return next(_owners(metadata, uid), None)


def _owners(metadata: Mapping[str, Any], uid: str) -> Iterator[str]:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("uid") != uid:
            yield f"{reference.get('kind')} {reference.get('name')!r} (ownerReferences)"
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for label, who in _LABELS.items():
        if label in labels:
            yield f"{who} (label {label})"
    for annotation, who in _ANNOTATIONS.items():
        if annotation in annotations:
            yield f"{who} (annotation {annotation})"
    if labels.get(MANAGED_BY, KEYTURN) != KEYTURN:
        yield f"{labels[MANAGED_BY]} (label {MANAGED_BY})"


def other_writer(metadata: Mapping[str, Any]) -> str | None:
    """Return the last field manager other than Keyturn that owns fields; managers choose their own names."""
    others = (entry for entry in metadata.get("managedFields") or () if entry.get("manager") != KEYTURN)
    last = max(others, key=lambda entry: entry.get("time") or "", default=None)
    name = (last or {}).get("manager") or ""
    return name if _NAME.fullmatch(name) else None
