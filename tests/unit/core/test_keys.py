"""Keys of objects: how messages show them, and how they are read from objects and references."""

from __future__ import annotations

import pytest

from keyturn.api.source import StoreRef
from keyturn.core.keys import (
    CLUSTER_SECRET_STORE,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    StoreKey,
    WorkloadKey,
)

VAULT = StoreKey(SECRET_STORE, "shop", "vault")
SHARED = StoreKey(CLUSTER_SECRET_STORE, "", "vault")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (ObjectKey("shop", "db"), "shop/db"),
        (WorkloadKey("shop", "Deployment", "api"), "Deployment/api"),
        (EmergencyKey("shop", "inc-1"), "EmergencyRotation shop/inc-1"),
        (VAULT, "SecretStore shop/vault"),
        (SHARED, "ClusterSecretStore vault"),
    ],
)
def test_a_message_shows_a_key(key: object, text: str) -> None:
    assert str(key) == text


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
