"""Fake nodes of a plane: created through the API, kept ready by kwok."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Api

LABEL = "sandbox.keyturn.dev/node"
"""What a node is; kwok plays those that are `FAKE` and leaves all others alone."""
FAKE = "fake"
REAL = "real"

COUNT = 3
_ROOM = {"cpu": "64", "memory": "256Gi", "pods": "2000"}


def create(api: Api, count: int) -> None:
    for number in range(count):
        api.post("/api/v1/nodes", _node(f"node-{number}", f"zone-{number}"))


def are_ready(api: Api, count: int, kind: str = FAKE) -> bool:
    """Tell whether `count` nodes of a kind are there and pods can be scheduled on each."""
    nodes = api.get(f"/api/v1/nodes?labelSelector={LABEL}%3D{kind}")["items"]
    return len(nodes) == count and all(_is_ready(node) for node in nodes)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in node["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def _node(name: str, zone: str) -> dict[str, Any]:
    labels = {
        LABEL: FAKE,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": zone,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": _ROOM, "capacity": _ROOM},
    }
