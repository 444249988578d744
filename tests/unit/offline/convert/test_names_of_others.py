"""Names and namespaces that another operator was given are those of the output."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.offline.convert import Weight, convert


@pytest.mark.parametrize(
    ("bootstrap", "database"),
    [
        ({}, "app"),
        ({"initdb": {"owner": "shop"}}, "app"),
        ({"initdb": {"database": "orders"}}, "orders"),
        ({"initdb": {"import": {"type": "microservice"}}}, "app"),
        ({"recovery": {"source": "backup"}}, "app"),
        ({"recovery": {"source": "backup", "database": "orders"}}, "orders"),
        ({"pg_basebackup": {"source": "old", "database": "orders"}}, "orders"),
    ],
)
def test_a_target_connects_to_the_database_of_the_cluster(bootstrap: dict[str, Any], database: str) -> None:
    target, what = _target(bootstrap=bootstrap)

    assert target["postgresql"]["database"] == database
    assert what == []


def test_a_database_that_is_not_known_is_lost() -> None:
    target, what = _target(bootstrap={"initdb": {"import": {"type": "monolith", "databases": ["*"]}}})

    assert target["postgresql"]["database"] == "app"
    assert what == ["spec.bootstrap.initdb.import"]


def test_the_names_of_secrets_are_those_of_the_cluster() -> None:
    target, _ = _target(
        superuserSecret={"name": "my-super"},
        certificates={"serverCASecret": "my-ca", "serverTLSSecret": "tls"},
    )

    assert target["adminCredentials"] == {"secretRef": {"name": "my-super"}}
    assert target["postgresql"]["tls"] == {"caRef": {"name": "my-ca"}}


def test_the_names_of_secrets_have_defaults() -> None:
    target, _ = _target()

    assert target["adminCredentials"] == {"secretRef": {"name": "pg-superuser"}}
    assert target["postgresql"]["tls"] == {"caRef": {"name": "pg-ca"}}


@pytest.mark.parametrize(
    ("conditions", "allowed"),
    [
        (None, {"selector": {}}),
        ([], {"selector": {}}),
        ([{"namespaces": ["shop"]}], {"names": ["shop"]}),
        ([{"namespaces": []}], {}),
        ({}, {}),
    ],
)
def test_a_store_allows_the_namespaces_that_it_allowed(conditions: object, allowed: dict[str, Any]) -> None:
    body = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ClusterSecretStore",
        "metadata": {"name": "aws"},
        "spec": {
            "conditions": conditions,
            "provider": {"aws": {"service": "SecretsManager", "region": "eu-central-1"}},
        },
    }

    (made,) = convert([body]).manifests

    assert made.body["spec"]["allowedNamespaces"] == allowed


def _target(**spec: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the target of a cluster, and the fields that are lost with it."""
    role = {"name": "shop", "login": True, "passwordSecret": {"name": "pg-shop"}}
    body = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": {"name": "pg", "namespace": "shop"},
        "spec": {"enableSuperuserAccess": True, "managed": {"roles": [role]}, **spec},
    }
    made = next(one for one in convert([body]).manifests if one.body["kind"] == "DatabaseTarget")
    lost = [one.field for one in made.findings if one.weight is Weight.LOST]
    target: dict[str, Any] = made.body["spec"]
    return target, lost
