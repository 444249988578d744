"""Which store is meant, and who may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.errors import Stalled
from tests.unit.stores.fake_stores import cluster_ref, ref
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from keyturn.api.source import StoreRef
    from tests.unit.stores.fake_stores import Town


async def stalled(town: Town, store: StoreRef, namespace: str = "shop") -> Stalled:
    with pytest.raises(Stalled) as caught:
        await town.read("db", store, namespace=namespace)
    return caught.value


@in_no_time
async def test_a_store_that_is_not_there_is_named_with_those_that_are(town: Town) -> None:
    town.store("aws"), town.store("vault")
    town.store("theirs", namespace="office")

    found = await stalled(town, ref("azure"))

    assert found.reason == "StoreNotFound"
    assert found.message == (
        "there is no SecretStore 'azure' in this namespace; create it or write one of these as storeRef.name:"
        " aws, vault"
    )


@in_no_time
async def test_a_store_of_another_namespace_is_not_there(town: Town) -> None:
    town.keeper.values["db"] = "hunter2"
    town.store("vault", namespace="office")

    found = await stalled(town, ref("vault"))

    assert found.reason == "StoreNotFound"
    assert found.message == ("there is no SecretStore 'vault' in this namespace; create it")


@in_no_time
async def test_stores_for_others_are_not_named(town: Town) -> None:
    town.cluster_store("for-us", names=["shop"])
    town.cluster_store("for-others", names=["office"])

    found = await stalled(town, cluster_ref("nobodys"))

    assert found.message == (
        "there is no ClusterSecretStore 'nobodys'; create it or write one of these as storeRef.name: for-us"
    )


@in_no_time
async def test_a_cluster_store_serves_the_namespaces_that_it_names(town: Town) -> None:
    town.keeper.values["db"] = "hunter2"
    town.cluster_store(names=["shop"])

    assert await town.read("db", cluster_ref()) == "hunter2"
    found = await stalled(town, cluster_ref(), namespace="office")

    assert found.reason == "NamespaceNotAllowed"
    assert found.message == (
        "ClusterSecretStore vault does not serve the namespace 'office'; have 'office' named or selected in its"
        " spec.allowedNamespaces, or write a SecretStore"
    )


@in_no_time
async def test_a_cluster_store_that_names_nobody_serves_nobody(town: Town) -> None:
    town.cluster_store(names=None)
    assert (await stalled(town, cluster_ref())).reason == "NamespaceNotAllowed"


@in_no_time
async def test_a_cluster_store_serves_the_namespaces_that_it_selects(town: Town) -> None:
    town.keeper.values["db"] = "hunter2"
    town.cluster_store(selector={"matchLabels": {"team": "auth"}})
    town.namespace("shop", team="auth")
    town.namespace("office", team="books")

    assert await town.read("db", cluster_ref()) == "hunter2"
    assert (await stalled(town, cluster_ref(), namespace="office")).reason == "NamespaceNotAllowed"

    town.namespace("shop", team="books")
    assert (await stalled(town, cluster_ref())).reason == "NamespaceNotAllowed"


@in_no_time
async def test_an_operator_that_sees_no_labels_says_so(town: Town) -> None:
    town.cluster_store(selector={})
    town.cache.sees_namespaces = False

    found = await stalled(town, cluster_ref())

    assert found.message.endswith(
        "the operator serves chosen namespaces and does not see their labels, so allowedNamespaces.selector"
        " selects none: name the namespace in allowedNamespaces.names"
    )


@in_no_time
async def test_a_cached_value_is_not_given_to_who_may_no_longer_have_it(town: Town) -> None:
    town.keeper.values["db"] = "hunter2"
    town.cluster_store(names=["shop", "office"])
    await town.read("db", cluster_ref(), namespace="office")

    town.cluster_store(names=["shop"])

    assert (await stalled(town, cluster_ref(), namespace="office")).reason == "NamespaceNotAllowed"
