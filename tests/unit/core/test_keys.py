"""Keys of objects: how messages show them, and how they are read from objects and references."""

import pytest

from keyturn.api.account import TargetRef
from keyturn.api.source import StoreRef
from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    ProbeKey,
    StoreKey,
    TargetKey,
    WorkloadKey,
)

VAULT = StoreKey(SECRET_STORE, "shop", "vault")
SHARED = StoreKey(CLUSTER_SECRET_STORE, "", "vault")
ORDERS = TargetKey(DATABASE_TARGET, "shop", "orders")
COMMON = TargetKey(CLUSTER_DATABASE_TARGET, "", "orders")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (ObjectKey("shop", "db"), "shop/db"),
        (WorkloadKey("shop", "Deployment", "api"), "Deployment/api"),
        (EmergencyKey("shop", "inc-1"), "EmergencyRotation shop/inc-1"),
        (ProbeKey("shop", "db"), "probe of shop/db"),
        (VAULT, "SecretStore shop/vault"),
        (SHARED, "ClusterSecretStore vault"),
        (ORDERS, "DatabaseTarget shop/orders"),
        (COMMON, "ClusterDatabaseTarget orders"),
    ],
)
def test_a_message_shows_a_key(key: object, text: str) -> None:
    assert str(key) == text


def test_a_probe_is_of_one_object_and_is_another_key() -> None:
    managed = ObjectKey("shop", "db")
    probe = ProbeKey.of(managed)

    assert probe.managed == managed
    assert len({probe, managed}) == 2


def test_the_key_of_an_object() -> None:
    metadata = {"namespace": "shop", "name": "vault"}

    assert EmergencyKey.of_body({"metadata": metadata}) == EmergencyKey("shop", "vault")
    assert StoreKey.of_body(SECRET_STORE, {"metadata": metadata}) == VAULT
    assert StoreKey.of_body(CLUSTER_SECRET_STORE, {"metadata": {"name": "vault"}}) == SHARED


@pytest.mark.parametrize(
    ("ref", "key"),
    [
        ({"name": "vault"}, VAULT),
        ({"name": "vault", "kind": "SecretStore"}, VAULT),
        ({"name": "vault", "kind": "ClusterSecretStore"}, SHARED),
    ],
)
def test_a_reference_means_the_namespaces_store_unless_it_names_the_other_kind(
    ref: dict[str, str], key: StoreKey
) -> None:
    assert StoreKey.of(StoreRef.model_validate(ref), "shop") == key
    assert key.is_for_all is (key is SHARED)


def test_the_key_of_a_database_target() -> None:
    assert TargetKey.of(TargetRef.model_validate({"name": "orders"}), "shop") == ORDERS
    cluster_wide = TargetRef.model_validate({"kind": CLUSTER_DATABASE_TARGET, "name": "orders"})
    assert TargetKey.of(cluster_wide, "shop") == COMMON
    assert TargetKey.of_body(DATABASE_TARGET, {"metadata": {"namespace": "shop", "name": "orders"}}) == ORDERS
    assert TargetKey.of_body(CLUSTER_DATABASE_TARGET, {"metadata": {"name": "orders"}}) == COMMON
    assert (ORDERS.is_for_all, COMMON.is_for_all) == (False, True)
