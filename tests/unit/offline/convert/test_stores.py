"""A store allows the namespaces that it allowed, and one that cannot be read is named."""

from typing import Any

import pytest

from keyturn.offline.convert import Weight, convert

_AWS = {"aws": {"service": "SecretsManager", "region": "eu-central-1"}}


@pytest.mark.parametrize(
    ("conditions", "allowed"),
    [
        (None, {"selector": {}}),
        ([], {"selector": {}}),
        ([{"namespaces": ["shop"]}], {"names": ["shop"]}),
        ([{"namespaces": []}], {}),
    ],
)
def test_a_store_allows_the_namespaces_that_it_allowed(conditions: object, allowed: dict[str, Any]) -> None:
    (made,) = convert([_store(_AWS, conditions=conditions)]).manifests

    assert made.body["spec"]["allowedNamespaces"] == allowed


@pytest.mark.parametrize("provider", ["webhook", "onepassword"])
def test_a_store_of_another_provider_is_left_out_and_named(provider: str) -> None:
    conversion = convert([_store({provider: {"url": "https://shop.test"}})])

    assert conversion.manifests == ()
    assert [(finding.field, finding.weight) for finding in conversion.findings] == [("spec", Weight.LOST)]
    assert provider in conversion.findings[0].what


def _store(provider: dict[str, Any], **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ClusterSecretStore",
        "metadata": {"name": "aws"},
        "spec": {"provider": provider, **spec},
    }
