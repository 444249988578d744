"""Which Secrets a store of Kubernetes reads, and what its settings look like to the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.installation.crds.schema import structural
from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.stores.providers import discover
from tests.unit.stores.providers.provider_fixtures import opened

if TYPE_CHECKING:
    from sandbox.harness import Kubectl
    from tests.conftest import Cluster


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


async def test_names_are_listed_without_their_data(
    cluster: Cluster, namespace: str, kubectl: Kubectl
) -> None:
    kubectl("create", "secret", "generic", "login", "-n", namespace, "--from-literal=a=b")
    connection = await config.load(str(cluster.kubeconfig))
    async with config.session(connection) as session:
        asked: list[str] = []
        api = Api(session, connection.server, on_response=lambda verb, *_: asked.append(verb))
        assert await opened("kubernetes", {}, api=api, namespace=namespace).keys() == ("login",)
    assert asked == ["list"]
