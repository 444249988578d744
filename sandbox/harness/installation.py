"""Installs Keyturn from the manifests of this checkout, and writes kubeconfigs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox.pki import write_private

from .kubectl import Kubectl, eventually

NAMESPACE = "keyturn-system"
"""The namespace of the operator in `manifests/base`."""
ROOT = Path(__file__).parents[2]
"""The checkout."""
_CRD_TIMEOUT = "--timeout=60s"
_CRD = "kind: CustomResourceDefinition\n"


def install_crds(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    wait_for_crds(kubectl)


def wait_for_crds(kubectl: Kubectl) -> None:
    """Wait until the API server serves each kind."""
    kubectl("wait", "--for=condition=Established", "crd", "--all", _CRD_TIMEOUT)


def install(kubectl: Kubectl, manifests: Path = ROOT / "manifests" / "base") -> None:
    """Install the manifests on a cluster that has the CRDs; the operator is a process, its Deployment has no pods."""
    kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": _without_pods(manifests)})


@cache
def _without_pods(manifests: Path) -> list[Any]:
    bodies = rendered(manifests)
    for body in bodies:
        if body["kind"] == "Deployment":
            body["spec"]["replicas"] = 0
    return bodies


def rendered(manifests: Path) -> list[Any]:
    """Return what a kustomization has beside the CRDs: to parse and apply those takes longer than all the rest."""
    documents = Kubectl()("kustomize", str(manifests)).split("\n---\n")
    return [yaml.load(text, Loader=yaml.CSafeLoader) for text in documents if _CRD not in text]


def create_namespace(kubectl: Kubectl, name: str) -> None:
    """Create a namespace, and wait until pods can run in it."""
    kubectl("create", "namespace", name)
    eventually(
        lambda: kubectl.run("get", "serviceaccount", "default", "-n", name).returncode == 0,
        "the namespace's ServiceAccount",
    )


def current_context(kubectl: Kubectl) -> dict[str, Any]:
    """Return a kubeconfig of the current context alone, with its certificates and credentials."""
    config: dict[str, Any] = kubectl.json("config", "view", "--minify", "--flatten", "--raw")
    return config


def write_account(kubectl: Kubectl, namespace: str, name: str, path: Path, duration: str) -> Path:
    """Write a kubeconfig with a token of a ServiceAccount that is valid for a duration."""
    config = current_context(kubectl)
    token = kubectl("create", "token", name, "-n", namespace, f"--duration={duration}").strip()
    config["users"] = [{"name": name, "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": name, "namespace": namespace}
    write_private(path, json.dumps(config).encode())
    return path
