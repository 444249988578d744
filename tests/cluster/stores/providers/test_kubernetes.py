"""Which Secrets a store of Kubernetes reads, and what its settings look like to the API server."""

from keyturn.installation.crds.schema import structural
from keyturn.stores.providers import discover
from sandbox.harness import Kubectl


async def test_the_api_server_takes_the_settings_of_every_provider(kubectl: Kubectl) -> None:
    union = {kind: structural(provider.Config) for kind, provider in discover().items()}
    spec = {"type": "object", "properties": {"provider": {"type": "object", "properties": union}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    kubectl(
        *("create", "--dry-run=server", "-f", "-"),
        given={
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "trials.test.keyturn.dev"},
            "spec": {
                "group": "test.keyturn.dev",
                "scope": "Namespaced",
                "names": {"kind": "Trial", "plural": "trials", "singular": "trial"},
                "versions": [version],
            },
        },
    )
