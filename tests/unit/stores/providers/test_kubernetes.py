"""Which Secrets a store of Kubernetes reads, and what its settings look like to the API server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.stores.client import memory_of
from keyturn.stores.providers import properties
from keyturn.stores.providers.errors import Refused, StoreError
from tests.support.api_servers import Scripted, answer, scripted
from tests.unit.stores.providers.provider_fixtures import opened


def secret(kind: str = "Opaque", **data: bytes) -> dict[str, Any]:
    written = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"type": kind, "metadata": {"name": "a", "resourceVersion": "7"}, "data": written}


async def read(*answers: Any, key: str = "a", namespace: str = "shop") -> Any:
    script = Scripted(*answers)
    async with scripted(script) as api:
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


async def test_a_secret_with_more_keys_than_a_document_may_have_is_refused() -> None:
    def body(number: int) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "1"}, "data": {str(key): "" for key in range(number)}}

    found, _ = await read(answer(body=body(1000)))
    assert memory_of(found.content) > 1000 * 200, "what Python needs for each counts in the cache"
    refusal = await failing(answer(body=body(1001)))
    assert (refusal.code, "1000" in str(refusal)) == ("TooManyProperties", True)
    assert (await failing(answer(body={"metadata": {"resourceVersion": "1"}, "data": 7}))).code == (
        "MalformedAnswer"
    )


@pytest.mark.parametrize("kind", ["keyturn.dev/state", "kubernetes.io/service-account-token"])
async def test_records_of_ours_and_tokens_of_accounts_are_not_read(kind: str) -> None:
    assert (await failing(answer(body=secret(kind, token=b"x")))).code == "NotForReading"


async def test_without_a_namespace_nothing_is_read() -> None:
    assert isinstance(await failing(answer(), namespace=""), Refused)
