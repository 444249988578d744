"""That some example shows each setting of a store, a database target and an emergency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.install.test_examples import _FILES, documents

_KINDS = {
    "SecretStore",
    "ClusterSecretStore",
    "DatabaseTarget",
    "ClusterDatabaseTarget",
    "EmergencyRotation",
}


def paths_of(part: Any, name: str = "") -> Iterator[str]:
    """Name every field of an object by its path, without places in lists."""
    match part:
        case dict():
            for key, below in part.items():
                yield f"{name}.{key}"
                yield from paths_of(below, f"{name}.{key}")
        case list():
            for below in part:
                yield from paths_of(below, name)


def shown() -> set[str]:
    return {path for body in documents(*_FILES) if body["kind"] in _KINDS for path in paths_of(body["spec"])}


@pytest.mark.parametrize(
    "field",
    [
        ".keyPrefix",
        ".allowedNamespaces.names",
        ".allowedNamespaces.selector",
        ".refresh.minInterval",
        ".refresh.ratePerSecond",
        ".provider.vault.caRef",
        ".provider.webhook.caRef",
        ".provider.webhook.method",
        ".provider.webhook.body",
        ".provider.awsParameterStore.endpoint",
        ".provider.awsParameterStore.kmsKeyId",
        ".postgresql.port",
        ".postgresql.tls.mode",
        ".postgresql.tls.caRef",
        ".postgresql.alsoAt",
        ".adminCredentials.secretRef.usernameKey",
        ".allowedUsernames",
        ".allowedSchemas",
        ".maxConnections",
        ".names",
        ".selector",
    ],
)
def test_an_example_shows(field: str) -> None:
    assert field in shown()


def test_an_example_shows_either_way_to_revoke() -> None:
    emergencies = [body for body in documents(*_FILES) if body["kind"] == "EmergencyRotation"]

    assert {body["spec"]["revoke"] for body in emergencies} == {"Immediately", "AfterRollout"}
