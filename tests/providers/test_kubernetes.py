"""Which Secrets a store of Kubernetes reads, and what its settings look like to the API server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from keyturn.installation.crds.schema import structural
from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.stores.providers import discover, properties
from keyturn.stores.providers.errors import Refused, StoreError
from tests.kube.helpers import Scripted, answer, refused, scripted
from tests.providers.shops import opened

if TYPE_CHECKING:
    from tests.conftest import Cluster
    from tests.support.kubectl import Kubectl


def secret(kind: str = "Opaque", **data: bytes) -> dict[str, Any]:
    written = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"type": kind, "metadata": {"name": "a", "resourceVersion": "7"}, "data": written}


async def read(*answers: Any, key: str = "a", namespace: str = "shop") -> Any:
    script = Scripted(*answers)
    async with scripted(script, timeout=1) as api:
        return await opened("kubernetes", {}, api=api, namespace=namespace).read(key), script.asked


async def failing(*answers: Any, **asked: str) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        await read(*answers, **asked)
    return refusal.value


async def test_its_own_namespace_is_the_only_one_it_asks() -> None:
    _, asked = await read(answer(body=secret()), key="a.b")
    assert [request.path for request in asked] == ["/api/v1/namespaces/shop/secrets/a.b"]


async def test_a_binary_part_comes_through() -> None:
    found, _ = await read(answer(body=secret(key=b"\xff\x00")))
    assert properties.take(found.content, "key") == Value(b"\xff\x00")


@pytest.mark.parametrize("kind", ["keyturn.dev/state", "kubernetes.io/service-account-token"])
async def test_records_of_ours_and_tokens_of_accounts_are_not_read(kind: str) -> None:
    assert (await failing(answer(body=secret(kind, token=b"x")))).code == "NotForReading"


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "Unauthorized", "Unauthorized"),
        (403, "Forbidden", "Denied"),
        (404, "NotFound", "NotFound"),
        (404, "Unknown", "Unreachable"),
        (400, "BadRequest", "Refused"),
    ],
)
async def test_a_refusal_of_the_api_server_has_its_meaning(status: int, reason: str, kind: str) -> None:
    assert type(await failing(refused(status, reason))).__name__ == kind


async def test_a_throttling_api_server_says_when_to_come_again() -> None:
    error = await failing(refused(429, "TooManyRequests", Retry_After="30"))
    assert (type(error).__name__, error.retry_after) == ("Throttled", 30.0)


async def test_without_a_namespace_nothing_is_read() -> None:
    assert isinstance(await failing(answer(), namespace=""), Refused)


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
