"""Who owns a Secret, as far as the Secret says: nobody's may be adopted, anybody's may not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from keyturn.api import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.core.keys import ObjectKey

__all__ = ["filled_by", "foreign_owner", "is_ours", "other_writer", "owner_reference"]

_KIND = "ManagedSecret"

# Secrets that are a program's own record; nobody else may write into one.
_FILLED_BY = {
    "kubernetes.io/service-account-token": "Kubernetes",
    "bootstrap.kubernetes.io/token": "Kubernetes",
    "helm.sh/release.v1": "Helm",
    "keyturn.dev/session": "Keyturn",
    "keyturn.dev/state": "Keyturn",
}
_MANAGED_BY = "app.kubernetes.io/managed-by"
_OURSELVES = "keyturn"
_NAME = re.compile(r"[\w./:-]{1,64}")
# What each of these writes on the Secrets that it goes on writing.
# Sources: the projects' documentation of their labels and annotations.
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
    """Write that a Secret is deleted with its ManagedSecret; it holds nothing up."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": _KIND,
        "name": key.name,
        "uid": uid,
        "controller": True,
    }


def is_ours(reference: Mapping[str, Any], key: ObjectKey) -> bool:
    """Say whether an owner reference names the ManagedSecret, be it one of that name that is gone."""
    return reference.get("kind") == _KIND and reference.get("name") == key.name


def filled_by(type_: str) -> str | None:
    """Name the program that fills the Secrets of a type, if one does."""
    who = _FILLED_BY.get(type_)
    return f"{who} (type {type_})" if who else None


def foreign_owner(metadata: Mapping[str, Any], uid: str) -> str | None:
    """Name who owns a Secret, and by what it says so; None where nobody does, or the object of this UID."""
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
    if labels.get(_MANAGED_BY, _OURSELVES) != _OURSELVES:
        yield f"{labels[_MANAGED_BY]} (label {_MANAGED_BY})"


def other_writer(metadata: Mapping[str, Any]) -> str | None:
    """Name the last field manager but us that has written what is still there; anybody may call himself anything."""
    others = (one for one in metadata.get("managedFields") or () if one.get("manager") != _OURSELVES)
    last = max(others, key=lambda one: one.get("time") or "", default=None)
    name = (last or {}).get("manager") or ""
    return name if _NAME.fullmatch(name) else None
