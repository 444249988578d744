"""Which store is meant, and who may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.keys import CLUSTER_SECRET_STORE, StoreKey
from tests.unit.stores.fake_stores import cluster_ref, ref
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from keyturn.api.source import StoreRef
    from tests.unit.stores.fake_stores import FakeStores


async def stalled(fake: FakeStores, store: StoreRef, namespace: str = "shop") -> Stalled:
    with pytest.raises(Stalled) as caught:
        await fake.read("db", store, namespace=namespace)
    return caught.value


@in_no_time
async def test_a_store_that_is_not_there_is_named_with_those_that_are(fake: FakeStores) -> None:
    fake.store("aws"), fake.store("vault")
    fake.store("theirs", namespace="office")

    found = await stalled(fake, ref("azure"))

    assert found.reason == "StoreNotFound"
    assert found.message == (
        "there is no SecretStore 'azure' in this namespace; create it or write one of these as storeRef.name:"
        " aws, vault"
    )


@in_no_time
async def test_a_store_of_another_namespace_is_not_there(fake: FakeStores) -> None:
    fake.server.values["db"] = "hunter2"
    fake.store("vault", namespace="office")

    found = await stalled(fake, ref("vault"))

    assert found.reason == "StoreNotFound"
    assert found.message == ("there is no SecretStore 'vault' in this namespace; create it")


@in_no_time
async def test_a_store_of_the_other_kind_with_this_name_is_suggested(fake: FakeStores) -> None:
    fake.store("aws"), fake.store("own")
    fake.cluster_store("shared", names=["shop"])
    fake.cluster_store("others", names=["office"])

    assert "write storeRef.kind: ClusterSecretStore" in (await stalled(fake, ref("shared"))).message
    assert "write storeRef.kind: SecretStore" in (await stalled(fake, cluster_ref("own"))).message
    assert "storeRef.kind" not in (await stalled(fake, ref("others"))).message


@in_no_time
async def test_stores_for_others_are_not_named(fake: FakeStores) -> None:
    fake.cluster_store("for-us", names=["shop"])
    fake.cluster_store("for-others", names=["office"])

    found = await stalled(fake, cluster_ref("nobodys"))

    assert found.message == (
        "there is no ClusterSecretStore 'nobodys'; create it or write one of these as storeRef.name: for-us"
    )


@in_no_time
async def test_a_cluster_store_serves_the_namespaces_that_it_names(fake: FakeStores) -> None:
    fake.server.values["db"] = "hunter2"
    fake.cluster_store(names=["shop"])

    assert await fake.read("db", cluster_ref()) == "hunter2"
    found = await stalled(fake, cluster_ref(), namespace="office")

    assert found.reason == "NamespaceNotAllowed"
    assert found.message == (
        "ClusterSecretStore vault does not allow the namespace 'office'; add 'office' to its"
        " spec.allowedNamespaces, or use a SecretStore"
    )


@in_no_time
async def test_a_cluster_store_without_namespaces_serves_no_namespace(fake: FakeStores) -> None:
    fake.cluster_store(names=None)
    assert (await stalled(fake, cluster_ref())).reason == "NamespaceNotAllowed"


@in_no_time
async def test_a_cluster_store_without_namespaces_serves_none(fake: FakeStores) -> None:
    fake._put(StoreKey(CLUSTER_SECRET_STORE, "", "vault"), {}, {})
    assert (await stalled(fake, cluster_ref())).reason == "NamespaceNotAllowed"


@in_no_time
async def test_a_cluster_store_serves_the_namespaces_that_it_selects(fake: FakeStores) -> None:
    fake.server.values["db"] = "hunter2"
    fake.cluster_store(selector={"matchLabels": {"team": "auth"}})
    fake.namespace("shop", team="auth")
    fake.namespace("office", team="books")

    assert await fake.read("db", cluster_ref()) == "hunter2"
    assert (await stalled(fake, cluster_ref(), namespace="office")).reason == "NamespaceNotAllowed"

    fake.namespace("shop", team="books")
    assert (await stalled(fake, cluster_ref())).reason == "NamespaceNotAllowed"


@in_no_time
async def test_an_operator_that_sees_no_labels_says_so(fake: FakeStores) -> None:
    fake.cluster_store(selector={})
    fake.cache.sees_namespaces = False

    found = await stalled(fake, cluster_ref())

    assert found.message.endswith(
        "the operator watches selected namespaces and cannot read their labels, so allowedNamespaces.selector"
        " matches none: name the namespace in allowedNamespaces.names"
    )


@in_no_time
async def test_a_cached_value_is_not_given_to_who_may_no_longer_have_it(fake: FakeStores) -> None:
    fake.server.values["db"] = "hunter2"
    fake.cluster_store(names=["shop", "office"])
    await fake.read("db", cluster_ref(), namespace="office")

    fake.cluster_store(names=["shop"])

    assert (await stalled(fake, cluster_ref(), namespace="office")).reason == "NamespaceNotAllowed"
