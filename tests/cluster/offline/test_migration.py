"""The page on migration says what works: a Secret of External Secrets is taken over, and nobody restarts."""

import base64
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from keyturn.core.value import Value
from keyturn.offline.convert import convert
from sandbox.harness import Kubectl, eventually
from tests.cluster.namespace import OWNER, Space
from tests.cluster.workloads import deployment, env
from tests.conftest import Cluster
from tests.support.console import BIN
from tests.unit.offline.convert.test_migration import _LETS_GO, _LOOKS_AGAIN

# As the operator of External Secrets would find it served: the schema is nobody's business here.
_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "externalsecrets.external-secrets.io"},
    "spec": {
        "group": "external-secrets.io",
        "scope": "Namespaced",
        "names": {"kind": "ExternalSecret", "plural": "externalsecrets", "singular": "externalsecret"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
_INPUT = """
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: here, namespace: NAMESPACE}
spec: {provider: {kubernetes: {remoteNamespace: NAMESPACE}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: orders, namespace: NAMESPACE}
spec:
  secretStoreRef: {name: here}
  target: {template: {data: {username: shop, password: "{{ .password }}"}}}
  data: [{secretKey: password, remoteRef: {key: kept, property: password}}]
"""


@pytest.fixture
def external_secrets(kubectl: Kubectl) -> Iterator[None]:
    """The kinds of External Secrets, without its operator."""
    kubectl("apply", "-f", "-", given=_CRD)
    kubectl("wait", "--for=condition=Established", "crd/externalsecrets.external-secrets.io", "--timeout=20s")
    yield
    kubectl("delete", "crd", "externalsecrets.external-secrets.io")


@pytest.fixture
def documents(space: Space, kubectl: Kubectl, external_secrets: None) -> list[dict[str, Any]]:
    """An ExternalSecret as it is in a cluster, with the Secret that its operator has made."""
    del external_secrets
    store, desired = yaml.safe_load_all(_INPUT.replace("NAMESPACE", space.namespace))
    kept = {"password": encoded("somebody else's")}
    space.create({"kind": "Secret", "metadata": {"name": "kept"}, "data": kept})
    there = kubectl.json("apply", "-n", space.namespace, "-f", "-", given=desired)
    space.create(
        {
            "kind": "Secret",
            "metadata": {
                "name": "orders",
                "labels": {
                    "reconcile.external-secrets.io/managed": "true",
                    "reconcile.external-secrets.io/created-by": "0123456789abcdef",
                },
                "annotations": {"reconcile.external-secrets.io/data-hash": "fedcba9876543210"},
                "ownerReferences": [owner(there)],
            },
            "data": {**kept, "username": encoded("shop")},
        }
    )
    return [store, desired]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def owner(body: dict[str, Any]) -> dict[str, Any]:
    metadata = body["metadata"]
    name, uid = metadata["name"], metadata["uid"]
    whole = {"controller": True, "blockOwnerDeletion": True}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "name": name, "uid": uid, **whole}


def typed(commands: list[str], namespace: str, cluster: Cluster) -> None:
    """Type what the page says, in another namespace than it names."""
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in commands:
        line = command.replace("-n shop", f"-n {namespace}")
        done = subprocess.run(
            ["bash", "-c", line], env=environment, check=False, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_a_secret_is_taken_over_with_its_values_and_no_workload_restarts(
    documents: list[dict[str, Any]], space: Space, cluster: Cluster, kubectl: Kubectl
) -> None:
    space.run(deployment("web", env("orders", "password")))
    generation, values = space.generation("Deployment", "web"), space.values("orders")
    uid = space.get("Secret", "orders")["metadata"]["uid"]
    for manifest in convert(documents).manifests:
        kubectl("apply", "-n", space.namespace, "-f", "-", given=manifest.body)

    assert "belongs to ExternalSecret 'orders'" in space.stalled("SecretNotOwned", "orders")
    typed(_LETS_GO, space.namespace, cluster)
    typed(_LOOKS_AGAIN, space.namespace, cluster)

    space.settled("orders")
    secret = space.get("Secret", "orders")
    assert (secret["metadata"]["uid"], secret["metadata"]["labels"]) == (uid, {OWNER: "orders"})
    assert (
        space.values("orders")
        == values
        == {"password": Value(b"somebody else's"), "username": Value(b"shop")}
    )
    assert space.generation("Deployment", "web") == generation


def test_afterwards_a_value_that_turns_outside_turns_here(
    documents: list[dict[str, Any]], space: Space, cluster: Cluster, kubectl: Kubectl
) -> None:
    for manifest in convert(documents).manifests:
        kubectl("apply", "-n", space.namespace, "-f", "-", given=manifest.body)
    space.stalled("SecretNotOwned", "orders")
    typed(_LETS_GO, space.namespace, cluster)
    typed(_LOOKS_AGAIN, space.namespace, cluster)

    space.edit("Secret", "kept", lambda body: body["data"].update(password=encoded("a newer one")))
    space.annotate("ManagedSecret", "orders", refresh="now")

    eventually(
        lambda: space.values("orders")["password"] == Value(b"a newer one"), "the newer value is there"
    )
