"""The nodes of a plane: made through the API, kept alive by kwok."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Api

_COUNT = 3
_ROOM = {"cpu": "64", "memory": "256Gi", "pods": "2000"}


def create(api: Api) -> None:
    for number in range(_COUNT):
        api.post("/api/v1/nodes", _node(f"node-{number}", f"zone-{number}"))


def are_ready(api: Api) -> bool:
    """Tell whether pods can be scheduled on every node."""
    nodes = api.get("/api/v1/nodes")["items"]
    return len(nodes) == _COUNT and all(_is_ready(node) for node in nodes)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in node["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def _node(name: str, zone: str) -> dict[str, Any]:
    labels = {
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
