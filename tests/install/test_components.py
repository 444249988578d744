"""What is added to an installation by a line under components."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.install.installation import BASE, MANIFESTS, NAMESPACED
from tests.support.kubectl import Kubectl

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = MANIFESTS / "components" / "workload-identity"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def rendered(folder: Path, resource: Path, **more: Any) -> list[dict[str, Any]]:
    """Render a kustomization of one resource with the component."""
    resources, components = ([os.path.relpath(one, folder)] for one in (resource, TOKENS))
    body = {"kind": "Kustomization", "resources": resources, "components": components, **more}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(body))
    kubectl = Kubectl(folder / "no-cluster")
    return list(yaml.safe_load_all(kubectl("kustomize", str(folder))))


def makers_of_tokens(objects: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """Name the roles that may make tokens."""
    return [
        (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace"))
        for one in objects
        for rule in one.get("rules") or ()
        if "serviceaccounts/token" in rule["resources"]
    ]


def test_tokens_are_made_with_the_component_only(folder: Path) -> None:
    with_it = rendered(folder, BASE)
    without = list(yaml.safe_load_all(Kubectl(folder / "no-cluster")("kustomize", str(BASE))))

    assert makers_of_tokens(with_it) == [("ClusterRole", "keyturn-tokens", None)]
    assert makers_of_tokens(without) == []


def test_the_right_can_be_given_in_one_namespace_only(folder: Path) -> None:
    # As the overlay's folder does with the other rights, so that the lines can be copied there.
    shop = yaml.safe_load((NAMESPACED / "shop" / "kustomization.yaml").read_text())
    objects = rendered(folder, BASE / "access", namespace="shop", patches=shop["patches"])

    assert makers_of_tokens(objects) == [("Role", "keyturn-tokens", "shop")]
    assert {one["kind"] for one in objects} == {"Role", "RoleBinding"}
