"""Stores, and what is pulled and pushed, as the models read them."""

from datetime import timedelta
from typing import Any

import pydantic
import pytest

from keyturn.api import ClusterSecretStore, ManagedSecret, ProviderChoice, SecretStore
from keyturn.api.meta import LabelRequirement, LabelSelector, Operator
from keyturn.api.secretstore import AllowedNamespaces, Refresh, SecretStoreStatus
from keyturn.api.source import (
    DataFrom,
    From,
    PushTo,
    RemoteDestination,
    RemoteDocument,
    RemoteRef,
    StoreKind,
    StoreRef,
    UpdatePolicy,
)
from keyturn.api.status import ManagedSecretStatus
from keyturn.api.target import DeletionPolicy
from tests.support.initial_status import filled_in

VAULT = {"vault": {"server": "https://vault:8200"}}


def managed(**spec: Any) -> ManagedSecret:
    return ManagedSecret.model_validate({"metadata": {"name": "app", "namespace": "shop"}, "spec": spec})


def store(kind: type[SecretStore | ClusterSecretStore], **spec: Any) -> Any:
    return kind.model_validate({"metadata": {"name": "vault"}, "spec": {"provider": VAULT, **spec}})


def test_a_store_is_read_by_the_names_that_users_write() -> None:
    read = store(SecretStore, refresh={"minInterval": "1m", "ratePerSecond": 5})

    assert read.spec.provider == ProviderChoice(VAULT)
    assert read.spec.refresh == Refresh(min_interval=timedelta(minutes=1), rate_per_second=5)
    assert read.status == SecretStoreStatus()


def test_a_store_of_all_namespaces_says_which_and_what() -> None:
    selector = {
        "matchLabels": {"team": "auth"},
        "matchExpressions": [{"key": "stage", "operator": "In", "values": ["production"]}],
    }

    read = store(
        ClusterSecretStore,
        allowedNamespaces={"names": ["shop"], "selector": selector},
        keyPrefix="{namespace}/",
    )

    assert read.spec.key_prefix == "{namespace}/"
    assert read.spec.allowed_namespaces == AllowedNamespaces(
        names=["shop"],
        selector=LabelSelector(
            match_labels={"team": "auth"},
            match_expressions=[LabelRequirement(key="stage", operator=Operator.IN, values=["production"])],
        ),
    )


def test_a_store_of_all_namespaces_allows_none_where_it_says_nothing() -> None:
    assert store(ClusterSecretStore).spec.allowed_namespaces is None


def test_what_the_api_server_fills_in_is_an_empty_status() -> None:
    body = {"metadata": {"name": "vault"}, "spec": {"provider": VAULT}, "status": filled_in("SecretStore")}

    assert SecretStore.model_validate(body).status == SecretStoreStatus()


def test_a_condition_of_the_operator_is_kept_beside_one_that_was_filled_in() -> None:
    ready, pushed = filled_in("ManagedSecret")["conditions"][0], {"type": "Pushed", "status": "True"}
    pushed |= {"reason": "Pending", "message": "m", "lastTransitionTime": "2026-11-24T12:00:00Z"}

    read = ManagedSecretStatus.model_validate({"conditions": [ready, pushed]})

    assert [one.type for one in read.conditions] == ["Pushed"]


def test_conditions_that_are_no_list_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="valid list"):
        ManagedSecretStatus.model_validate({"conditions": {}})


def test_what_is_pulled_and_pushed_is_read_by_the_names_that_users_write() -> None:
    vault = {"name": "vault"}
    spec = managed(
        data=[
            {
                "name": "token",
                "from": {"storeRef": vault, "remoteRef": {"key": "app", "property": "token", "version": "3"}},
            },
            {"name": "id", "literal": "shop"},
        ],
        dataFrom=[
            {
                "storeRef": {"kind": "ClusterSecretStore", "name": "vault"},
                "remoteRef": {"key": "all"},
                "prefix": "APP_",
            }
        ],
        refreshInterval="10s",
        pushTo=[
            {
                "storeRef": vault,
                "remoteRef": {"key": "backup"},
                "secretKey": "id",
                "updatePolicy": "IfNotExists",
                "deletionPolicy": "Delete",
            }
        ],
    ).spec

    here, everywhere = StoreRef(name="vault"), StoreRef(kind=StoreKind.CLUSTER_SECRET_STORE, name="vault")
    assert [item.from_ for item in spec.data] == [
        From(store_ref=here, remote_ref=RemoteRef(key="app", property="token", version="3")),
        None,
    ]
    assert spec.data_from == [
        DataFrom(store_ref=everywhere, remote_ref=RemoteDocument(key="all"), prefix="APP_")
    ]
    assert spec.refresh_interval == timedelta(seconds=10)
    assert spec.push_to == [
        PushTo(
            store_ref=here,
            remote_ref=RemoteDestination(key="backup"),
            secret_key="id",  # noqa: S106  # a name
            update_policy=UpdatePolicy.IF_NOT_EXISTS,
            deletion_policy=DeletionPolicy.DELETE,
        )
    ]


def test_an_item_that_is_written_again_says_from() -> None:
    item = {"name": "token", "from": {"storeRef": {"name": "vault"}, "remoteRef": {"key": "app"}}}

    (read,) = managed(data=[item]).spec.data

    assert read.model_dump(by_alias=True, exclude_none=True) == item


def test_a_secret_of_what_is_brought_has_no_items() -> None:
    spec = managed(dataFrom=[{"storeRef": {"name": "vault"}, "remoteRef": {"key": "app"}}]).spec

    assert (spec.data, len(spec.data_from), spec.push_to) == ([], 1, [])


@pytest.mark.parametrize("interval", ["0s", "9s"])
def test_no_request_is_sent_more_often_than_every_10_seconds(interval: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="write 10s or longer"):
        managed(refreshInterval=interval)


# What a key may be is held to at both ends: by the API server, and here for what never went through it.


@pytest.mark.parametrize(
    "key", ["app", "prod/payments", ".env", "...", "a..b", "..a", "arn:aws:x", "größe", "a b/c", "k" * 1024]
)
def test_a_key_is_a_path(key: str) -> None:
    assert RemoteDestination(key=key).key == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "//a",
        "/../a",
        "a/",
        "a//b",
        ".",
        "..",
        "./a",
        "../a",
        "a/.",
        "a/..",
        "a/../b",
        "a\\b",
        "a\0",
        "a\n",
        "k" * 1025,
    ],
    ids=lambda key: repr(key[:8]),
)
def test_a_key_leads_nowhere_else(key: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="write a key such as prod/payments"):
        RemoteDestination(key=key)


@pytest.mark.parametrize(
    "prefix",
    ["{namespace}/", "shop/", "shop-", "shop/{namespace}/", "{namespace}_", "a/{namespace}.b-", "A@+="],
)
def test_a_prefix_comes_before_the_keys(prefix: str) -> None:
    assert store(ClusterSecretStore, keyPrefix=prefix).spec.key_prefix == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "//shop/",
        "/../",
        "../",
        "shop/../",
        "./",
        ".x",
        "{name}/",
        "{namespace",
        "a b",
        "shop//",
        "a\\",
    ],
)
def test_a_prefix_leads_nowhere_else(prefix: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"write a prefix such as \{namespace\}/"):
        store(ClusterSecretStore, keyPrefix=prefix)


@pytest.mark.parametrize(
    "prefix", ["{namespace}", "{namespace}-", "{namespace}x/", "a..b/", "a{namespace}X/"]
)
def test_a_prefix_keeps_namespaces_apart(prefix: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"\{namespace\}|two dots"):
        store(ClusterSecretStore, keyPrefix=prefix)
