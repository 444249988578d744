"""The story of real containers is that of the example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from demo.cluster import Sandbox
from demo.node import Node
from sandbox.harness.installation import ROOT

if TYPE_CHECKING:
    from demo.cluster import Cluster


def test_both_are_of_the_same_secret_and_of_workloads_that_use_it_alike() -> None:
    assert story_of(Node) == story_of(Sandbox)


def story_of(cluster: type[Cluster]) -> dict[str, Any]:
    """Return what of a cluster's example the demo speaks of."""
    bodies = list(yaml.safe_load_all((ROOT / cluster.example).read_text()))
    secrets = [body["spec"] for body in bodies if body["kind"] == "ManagedSecret"]
    return {"secrets": secrets, "uses": [use_of(body) for body in bodies if body["kind"] == "Deployment"]}


def use_of(deployment: dict[str, Any]) -> tuple[str, int, set[str], bool]:
    """Return a Deployment's name and replicas, the keys in its environment, and whether it has the Secret's files."""
    pod = deployment["spec"]["template"]["spec"]
    sources = [one.get("valueFrom", {}) for one in pod["containers"][0].get("env", ())]
    keys = {one["secretKeyRef"]["key"] for one in sources if "secretKeyRef" in one}
    return deployment["metadata"]["name"], deployment["spec"]["replicas"], keys, "volumes" in pod
