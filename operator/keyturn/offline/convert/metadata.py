"""Converts the metadata of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .strict_reader import StrictReader

__all__ = ["kept", "pass_over", "texts_of"]

_SERVER_FIELDS: Final = (
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields",
    "resourceVersion", "selfLink", "uid",
)  # fmt: skip
"""Fields that the API server sets."""
_FOREIGN_PREFIXES: Final = (
    "external-secrets.io/",
    "reconcile.external-secrets.io/",
    "secret-generator.v1.mittwald.de/",
)
_NOISE: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration", "force-sync"})


def kept(metadata: StrictReader, *, is_namespaced: bool = True) -> dict[str, Any]:
    """Return the metadata of the new object, which has the same name."""
    metadata.ignore(*_SERVER_FIELDS)
    for name in ("ownerReferences", "finalizers"):
        metadata.changed(name, "is left out: its controller sets it again where needed")
    body: dict[str, Any] = {}
    for name in ("name", "namespace") if is_namespaced else ("name",):
        if written := metadata.text(name):
            body[name] = written
    for name in ("labels", "annotations"):
        if texts := texts_of(metadata, name):
            body[name] = texts
    return body


def texts_of(metadata: StrictReader, name: str) -> dict[str, str]:
    """Return the labels or annotations, without those that tools write for themselves."""
    return {key: text for key, text in metadata.texts_by_name(name).items() if not _is_noise(key)}


def pass_over(document: StrictReader) -> None:
    """Skip the fields that every document has."""
    document.ignore("apiVersion", "kind", "status")


def _is_noise(key: str) -> bool:
    return key in _NOISE or key.startswith(_FOREIGN_PREFIXES)
