"""What an object keeps of the metadata of the one it was converted from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .strict_reader import StrictReader

__all__ = ["kept", "pass_over"]

_SERVERS: Final = (
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields",
    "resourceVersion", "selfLink", "uid",
)  # fmt: skip
"""What the API server writes, and nobody wishes for."""
_THEIRS: Final = (
    "external-secrets.io/",
    "reconcile.external-secrets.io/",
    "secret-generator.v1.mittwald.de/",
)
_NOISE: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration", "force-sync"})


def kept(metadata: StrictReader, *, is_namespaced: bool = True) -> dict[str, Any]:
    """Return the metadata of the new object; it has the name of the old one."""
    metadata.ignore(*_SERVERS)
    for name in ("ownerReferences", "finalizers"):
        metadata.changed(name, "is left out: whoever wrote it writes it again where it is wanted")
    body: dict[str, Any] = {}
    for name in ("name", "namespace") if is_namespaced else ("name",):
        if written := metadata.text(name):
            body[name] = written
    for name in ("labels", "annotations"):
        texts = metadata.texts_by_name(name)
        if chosen := {key: text for key, text in texts.items() if not _is_noise(key)}:
            body[name] = chosen
    return body


def pass_over(document: StrictReader) -> None:
    """Pass over what every document has and nobody wishes for."""
    document.ignore("apiVersion", "kind", "status")


def _is_noise(key: str) -> bool:
    return key in _NOISE or key.startswith(_THEIRS)
