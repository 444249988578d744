"""Which stores let namespaces reach each other's keys, and what is said of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.api.base import Schema
from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.controllers.external_health import store_status
from keyturn.core.keys import CLUSTER_SECRET_STORE, SECRET_STORE, StoreKey
from keyturn.core.observation.health import Health
from keyturn.stores.health_check import VALID
from keyturn.stores.providers import discover, provider_of
from keyturn.stores.settings import located, shared_keys

KEY = StoreKey(CLUSTER_SECRET_STORE, "", "vault")
SEVERAL = {"names": ["shop", "bank"]}
VAULT = {
    "vault": {
        "server": "https://vault.test",
        "auth": {"token": {"secretRef": {"name": "vault", "key": "token"}}},
    }
}
AS_ITSELF = {
    "vault": {
        "server": "https://vault.test",
        "auth": {"kubernetes": {"role": "teams", "serviceAccountRef": {"name": "reader"}}},
    }
}
GCP = {
    "gcpSecretManager": {
        "projectId": "shop-prod",
        "auth": {"secretRef": {"name": "gcp", "key": "key"}},
    }
}


def store(provider: dict[str, Any] = VAULT, **spec: Any) -> ClusterSecretStore:
    metadata = {"name": "vault", "uid": "u", "generation": 1, "resourceVersion": "1"}
    return ClusterSecretStore.model_validate({"metadata": metadata, "spec": {"provider": provider, **spec}})


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"allowedNamespaces": SEVERAL}, id="two by name"),
        pytest.param({"allowedNamespaces": {"selector": {}}}, id="all"),
        pytest.param({"allowedNamespaces": {"names": ["shop"], "selector": {}}}, id="one, and all"),
        pytest.param({"allowedNamespaces": SEVERAL, "keyPrefix": "team/"}, id="one prefix for both"),
    ],
)
def test_keys_of_a_store_for_several_without_a_namespace_in_its_prefix_are_shared(
    spec: dict[str, Any],
) -> None:
    said = shared_keys(KEY, store(**spec))

    assert said
    assert said.startswith("each allowed namespace may read, and by pushTo overwrite, the keys of the others")
    assert "write keyPrefix: '{namespace}/' and move their keys there" in said


@pytest.mark.parametrize(
    ("provider", "spec"),
    [
        pytest.param(
            VAULT, {"allowedNamespaces": SEVERAL, "keyPrefix": "{namespace}/"}, id="a prefix for each"
        ),
        pytest.param(VAULT, {"allowedNamespaces": SEVERAL, "keyPrefix": "x/{namespace}/y"}, id="within it"),
        pytest.param(VAULT, {"allowedNamespaces": {"names": ["shop"]}}, id="for one"),
        pytest.param(VAULT, {}, id="for none"),
        pytest.param(AS_ITSELF, {"allowedNamespaces": SEVERAL}, id="a login of its own for each"),
        pytest.param({"kubernetes": {}}, {"allowedNamespaces": SEVERAL}, id="Secrets of its own for each"),
        pytest.param({"vault": {}}, {"allowedNamespaces": SEVERAL}, id="settings that cannot be followed"),
    ],
)
def test_nothing_is_said_where_keys_are_not_shared(provider: dict[str, Any], spec: dict[str, Any]) -> None:
    assert shared_keys(KEY, store(provider, **spec)) is None


def test_a_store_of_one_namespace_shares_nothing() -> None:
    metadata = {"name": "vault", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"}
    mine = SecretStore.model_validate({"metadata": metadata, "spec": {"provider": VAULT}})

    assert shared_keys(StoreKey(SECRET_STORE, "shop", "vault"), mine) is None


def test_the_prefix_that_is_named_is_one_that_the_store_takes() -> None:
    said = shared_keys(KEY, store(GCP, allowedNamespaces=SEVERAL))

    assert said
    assert "keyPrefix: '{namespace}_'" in said


@pytest.mark.parametrize("kind", discover())
def test_every_prefix_that_is_named_is_accepted(kind: str) -> None:
    provider = provider_of(kind)
    assert provider
    assert issubclass(provider.Config, Schema)
    prefix = f"{{namespace}}{provider.parts_with}"
    store(keyPrefix=prefix)
    provider.__new__(provider)._check(located("db", prefix, "shop"))  # looks at the key only


@pytest.mark.parametrize("kind", discover())
def test_no_namespace_has_the_character_that_separates_keys_in_its_name(kind: str) -> None:
    provider = provider_of(kind)
    assert provider
    assert not re.search("[-a-z0-9]", provider.parts_with)


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [
        pytest.param({"files": {"path": "/run/secrets"}}, "{namespace}_", id="files"),
        pytest.param(
            {"kubernetes": {"kubeconfigRef": {"name": "k", "key": "c"}, "namespace": "x"}},
            "{namespace}.",
            id="Secrets of another cluster",
        ),
    ],
)
def test_keys_without_slashes_are_separated_by_another_character(
    provider: dict[str, Any], prefix: str
) -> None:
    said = shared_keys(KEY, store(provider, allowedNamespaces=SEVERAL))

    assert said
    assert f"keyPrefix: '{prefix}'" in said


@pytest.mark.parametrize("is_ready", [True, False])
def test_the_status_says_so_beside_whether_it_is_ready(is_ready: bool) -> None:  # noqa: FBT001
    health = VALID if is_ready else Health(is_ready=False, reason="Unreachable", message="x", passes=True)
    conditions = store_status(store(), health, datetime(2026, 11, 27, tzinfo=UTC), "say").conditions

    assert [(one.type, one.status, one.reason, one.message) for one in conditions[-1:]] == [
        ("KeysShared", "True", "NoNamespaceInPrefix", "say")
    ]
    assert conditions[0].type == "Ready"
    assert len(store_status(store(), VALID, datetime(2026, 11, 27, tzinfo=UTC)).conditions) == 1
