"""Floor of a bare client that creates the same objects and makes the same writes, and the cost of the CRD in it."""

from __future__ import annotations

import asyncio
import base64
import secrets
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from keyturn.kube import paths
from sandbox.harness import Kubectl, installation

from .cluster import NAMESPACE, for_each, managed_secret, prepared
from .speed import sampled
from .system import System
from .watching import is_ready, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sandbox import ControlPlane

    from .cluster import Bare, Cluster

Crd: TypeAlias = "dict[str, Any]"
CrdPlanes: TypeAlias = "Callable[[Crd], AbstractAsyncContextManager[Cluster]]"
_SHIPPED = installation.ROOT / "crds" / "keyturn.dev_managedsecrets.yaml"
_RULES = "x-kubernetes-validations"


def shipped() -> Crd:
    crd: Crd = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    return crd


def without_rules() -> Crd:
    """Return the shipped CRD without its CEL rules."""
    crd: Crd = _without(_RULES, shipped())
    return crd


def without_schema() -> Crd:
    """Return a CRD of the same kind that accepts everything."""
    crd = shipped()
    accepts = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for version in crd["spec"]["versions"]:
        version["schema"] = {
            "openAPIV3Schema": {"type": "object", "properties": {"spec": accepts, "status": accepts}}
        }
        version.pop("selectableFields", None)
        version.pop("additionalPrinterColumns", None)
    return crd


def _without(key: str, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _without(key, below) for name, below in tree.items() if name != key}
    if isinstance(tree, list):
        return [_without(key, below) for below in tree]
    return tree


CRDS = {"shipped": shipped, "without_rules": without_rules, "without_schema": without_schema}


async def floors(objects: int, planes: CrdPlanes) -> dict[str, float]:
    """Time the floor with each CRD, on a control plane of its own, and count what the control plane uses."""
    figures: dict[str, float] = {"objects": objects}
    for name, crd in CRDS.items():
        async with planes(crd()) as cluster:
            figures |= {f"{name}_{key}": figure for key, figure in (await _costs(objects, cluster)).items()}
    return figures


async def _costs(objects: int, cluster: Cluster) -> dict[str, float]:
    system = System(cluster.plane)
    async with sampled() as speed:
        before = system.reading()
        seconds = await floor(objects, cluster)
        used = system.reading().since(before)
    return {
        "per_second": objects / seconds,
        "api_server_ms": used.cpu["api_server"] * 1000 / objects,
        "etcd_ms": used.cpu["etcd"] * 1000 / objects,
        "work_ms": speed.ms,
    }


@asynccontextmanager
async def with_crd(crd: Crd) -> AsyncIterator[Cluster]:
    """Start a control plane that has one CRD and nothing else of Keyturn."""
    async with prepared(partial(_install, crd)) as cluster:
        yield cluster


def _install(crd: Crd, plane: ControlPlane, _: Path) -> Path:
    kubectl = Kubectl(plane.kubeconfig)
    kubectl("apply", "--server-side", "-f", "-", given=crd)
    installation.wait_for_crds(kubectl)
    installation.create_namespace(kubectl, NAMESPACE)
    return plane.kubeconfig


def names(kind: str, objects: int) -> list[str]:
    return [f"{kind}-{number:05}" for number in range(objects)]


async def floor(objects: int, cluster: Cluster) -> float:
    """Make the same objects and the same writes with one client that decides nothing and reads nothing."""
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(names("floor", objects), lambda name: _bare_object(name, cluster.bare))
        return await ready.counts(objects, patience=30) - began


async def _bare_object(name: str, bare: Bare) -> None:
    await bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name))
    state = bare_secret(f"{name}-keyturn", key="state", size=680)
    await bare.create(paths.secrets(NAMESPACE), state)
    await bare.create(paths.secrets(NAMESPACE), bare_secret(name))
    await bare.merge(paths.managed_secret_status(NAMESPACE, name), {"status": _status(name)})


def bare_secret(
    name: str, namespace: str = NAMESPACE, key: str = "password", size: int = 32
) -> dict[str, Any]:
    """Make a Secret as large as the operator's own; `size` is that of its value, in bytes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "benchmark"},
            "annotations": {"benchmark": "x" * 60},
        },
        "data": {key: base64.b64encode(secrets.token_bytes(size)).decode()},
    }


def _status(name: str) -> dict[str, Any]:
    """Write the status that the operator writes."""
    now = "2026-01-01T00:00:00Z"
    conditions = (
        ("Ready", "True", "Published", "the Secret holds revision 1 with every key"),
        ("Rotating", "False", "Idle", "no rotation is in progress"),
        ("WorkloadsCurrent", "True", "NoConsumers", "0 of 0 workloads run the current revision"),
        (
            "PolicyCompliant",
            "False",
            "noSchedule",
            "noSchedule: nothing says when password rotates; write one",
        ),
    )
    keys = ("type", "status", "reason", "message")
    return {
        "observedGeneration": 1,
        "secretName": name,
        "revision": 1,
        "lastRotationTime": now,
        "overdue": False,
        "history": [
            {"revision": 1, "reason": "Created", "startedAt": now, "finishedAt": now, "result": "Succeeded"}
        ],
        "conditions": [
            {**dict(zip(keys, one, strict=True)), "lastTransitionTime": now, "observedGeneration": 1}
            for one in conditions
        ],
    }
