"""Every right that a shipped Role gives is asked for, and each is named when it is taken away."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from keyturn.installation.checks.rights import (
    FEATURES,
    Feature,
    Place,
    Right,
    caller,
    missing,
    rights_of,
    to_install,
)
from keyturn.kube.client import Api
from keyturn.kube.secret_informer import SourceKind
from sandbox.harness import Kubectl
from tests.conftest import ROOT
from tests.install.checks.roles import ACCOUNT, OWN, without

_EVERYWHERE = Place(OWN, None)
_ALL = tuple(rights_of(_EVERYWHERE))
_BASE = ("operator/rbac.yaml", "access/access.yaml", "environments/environments.yaml")


def given(manifest: str) -> Iterator[tuple[str, str, str, str, str]]:
    """List what the Roles of a manifest give, one verb on one resource at a time."""
    for role in yaml.load_all((ROOT / manifest).read_text(), Loader=yaml.CSafeLoader):
        if role["kind"] not in {"Role", "ClusterRole"}:
            continue
        for rule in role["rules"]:
            for verb in rule["verbs"]:
                for path in rule.get("nonResourceURLs", ()):
                    yield verb, "", path, "", manifest
                for group in rule.get("apiGroups", ()):
                    for resource in rule["resources"]:
                        for name in rule.get("resourceNames", [""]):
                            yield verb, group, resource, name, manifest


def told(rights: Iterator[Right]) -> list[tuple[str, str, str, str, str]]:
    return sorted((one.verb, one.group, one.resource, one.name, one.manifest) for one in rights)


def test_what_is_asked_for_is_what_the_manifests_give() -> None:
    shipped = [right for name in _BASE for right in given(f"manifests/base/{name}")]

    assert told(rights_of(_EVERYWHERE)) == sorted(shipped)


@pytest.mark.parametrize("feature", Feature)
def test_a_feature_asks_for_what_its_manifest_gives(feature: Feature) -> None:
    (manifest,) = {need.manifest for need in FEATURES[feature]}
    with_it = set(told(rights_of(Place(OWN, None, frozenset({feature})))))

    assert with_it - set(told(rights_of(_EVERYWHERE))) == set(given(manifest))


def test_who_reads_secrets_by_name_needs_no_right_to_list_them() -> None:
    by_name = list(rights_of(Place(OWN, None, source_kind=SourceKind.BY_NAME)))
    asked, all_of_them = ({replace(one, manifest="") for one in some} for some in (by_name, _ALL))

    assert {(one.verb, one.resource) for one in all_of_them - asked} == {
        ("list", "secrets"),
        ("watch", "secrets"),
    }
    assert asked <= all_of_them
    # To apply the base would give them back.
    assert {one.manifest for one in by_name if one.resource == "secrets" and not one.namespace} == {
        "manifests/overlays/no-list"
    }


def test_who_serves_two_namespaces_needs_nothing_elsewhere() -> None:
    rights = list(rights_of(Place("own", ("shop", "bank"))))

    assert {
        (one.resource, one.namespace) for one in rights if one.resource in {"pods", "leases", "namespaces"}
    } == {
        ("pods", "shop"),
        ("pods", "bank"),
        ("namespaces", "shop"),
        ("namespaces", "bank"),
        ("leases", "own"),
    }
    assert {one.manifest for one in rights if one.namespace == "shop"} == {"manifests/overlays/namespaced"}


@pytest.mark.parametrize(
    ("right", "sentence"),
    [
        (
            Right("get", "coordination.k8s.io", "leases", "keyturn", OWN, is_of_cluster=False, manifest=""),
            "get leases.coordination.k8s.io keyturn in namespace keyturn-system",
        ),
        (Right("list", "", "pods", "", "", is_of_cluster=False, manifest=""), "list pods in all namespaces"),
        (
            Right("update", "keyturn.dev", "secretclasses/status", "", "", is_of_cluster=True, manifest=""),
            "update secretclasses/status.keyturn.dev",
        ),
    ],
    ids=["one object", "all namespaces", "of the cluster"],
)
def test_a_right_reads_as_rbac_writes_it(right: Right, sentence: str) -> None:
    assert str(right) == sentence


# On a real API server


@pytest.mark.usefixtures("installed")
async def test_nothing_is_missing_as_shipped(admin: Api) -> None:
    assert await missing(admin, _ALL, ACCOUNT) == []
    assert await missing(admin, to_install(OWN), None) == []
    assert await caller(admin) != ACCOUNT.user


@pytest.mark.parametrize("right", _ALL, ids=str)
async def test_a_right_that_is_taken_away_is_named(right: Right, admin: Api, installed: Kubectl) -> None:
    del installed
    async with without(right, admin):
        async with asyncio.timeout(20):
            while not await missing(admin, [right], ACCOUNT):  # noqa: ASYNC110 - the world outside sets no events
                await asyncio.sleep(0.02)
        found = await missing(admin, _ALL, ACCOUNT)

    # What one Role gives in the operator's namespace, another gives in all: both are taken away, and both are named.
    assert found == [one for one in _ALL if one == right or (right.namespace and is_like(one, right))]


def is_like(one: Right, other: Right) -> bool:
    return (one.verb, one.group, one.resource, one.name) == (
        other.verb,
        other.group,
        other.resource,
        other.name,
    )
