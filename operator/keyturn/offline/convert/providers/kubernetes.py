"""Secrets of a Kubernetes cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from keyturn.offline.convert.strict_reader import StrictReader

    from .store import Store

__all__ = ["kubernetes"]

_THIS_CLUSTER: Final = re.compile(r"(https://)?kubernetes\.default(\.svc(\.cluster\.local)?)?(:443)?/?")


def kubernetes(part: StrictReader, store: Store) -> dict[str, Any] | None:
    server, remote = part.part("server"), part.text("remoteNamespace") or "default"
    url = server.text("url") or "kubernetes.default"
    if "authRef" in part:
        found = store.key_of(part.part("authRef"), "kubeconfig")
        _leave(part)
        return {"kubernetes": {"kubeconfigRef": found, "namespace": remote}}
    if not _THIS_CLUSTER.fullmatch(url):
        part.report.lost(
            server.at("url"),
            f"is {url} with its own login; Keyturn takes a kubeconfig",
            f"make a Secret {store.name}-kubeconfig with the server, its certificate and the login",
        )
        _leave(part)
        ref = {"name": f"{store.name}-kubeconfig", "key": "kubeconfig"}
        return {"kubernetes": {"kubeconfigRef": ref, "namespace": remote}}
    _leave(part)
    if store.is_shared or remote != store.namespace:
        part.report.lost(
            "spec",
            f"reads the namespace {remote} of this cluster; no store of Keyturn reaches another namespace,"
            " so this one is left out",
            "make the Secret where it is read, or read it by a kubeconfig that may",
        )
        return None
    return {"kubernetes": {}}


def _leave(part: StrictReader) -> None:
    """Report that the credential is not converted."""
    server = part.part("server")
    for name in ("caBundle", "caProvider"):
        server.changed(name, "is left out: it is the operator's own, or stands in the kubeconfig")
    part.changed("auth", "is left out: Keyturn reads with the operator's own rights, or by the kubeconfig")
