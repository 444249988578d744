"""Kubeconfigs that the demo writes; only this user can read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .kubectl import Kubectl


def of_the_operator(kubectl: Kubectl, path: Path) -> Path:
    """Write a kubeconfig with the rights of the operator's ServiceAccount, good for an hour."""
    config = kubectl.json("config view --minify --flatten --raw")
    token = kubectl.quiet("create token keyturn -n keyturn-system --duration=1h").strip()
    cluster = config["clusters"][0]
    write_private(
        path,
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": "keyturn", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "keyturn",
                    "context": {"cluster": cluster["name"], "user": "keyturn", "namespace": "keyturn-system"},
                }
            ],
            "current-context": "keyturn",
        },
    )
    return path


def write_private(path: Path, config: dict[str, Any]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
