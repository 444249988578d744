"""What the operator may do, and what it must never be able to, by the API server's own answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.install.installation import Installation

_GOLDEN = Path(__file__).parent / "golden"

# On a whole cluster; the overlay gives less, as the golden files show.
NEVER = [
    ("get", "clustersecretstores.keyturn.dev", "*"),
    ("get", "secretstores.keyturn.dev", "shop"),
    ("get", "clusterdatabasetargets.keyturn.dev", "*"),
    ("get", "databasetargets.keyturn.dev", "shop"),
    ("get", "emergencyrotations.keyturn.dev", "shop"),
    ("get", "deployments.apps", "shop"),
    ("get", "statefulsets.apps", "shop"),
    ("get", "daemonsets.apps", "shop"),
    ("patch", "secrets", "shop"),
    ("delete", "secrets", "shop"),
    ("deletecollection", "secrets", "shop"),
    ("create", "pods", "shop"),
    ("delete", "pods", "shop"),
    ("get", "pods/log", "shop"),
    ("create", "pods/exec", "shop"),
    ("create", "pods/ephemeralcontainers", "shop"),
    ("create", "deployments.apps", "shop"),
    ("delete", "deployments.apps", "shop"),
    ("update", "managedsecrets.keyturn.dev", "shop"),
    ("delete", "managedsecrets.keyturn.dev", "shop"),
    ("create", "serviceaccounts/token", "shop"),
    ("create", "tokenreviews.authentication.k8s.io", "*"),
    ("create", "subjectaccessreviews.authorization.k8s.io", "*"),
    ("impersonate", "serviceaccounts", "shop"),
    ("create", "rolebindings.rbac.authorization.k8s.io", "shop"),
    ("escalate", "roles.rbac.authorization.k8s.io", "shop"),
    ("bind", "clusterroles.rbac.authorization.k8s.io", "*"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", "*"),
    ("update", "secretclasses.keyturn.dev", "*"),
    ("create", "secretstores.keyturn.dev", "shop"),
    ("update", "secretstores.keyturn.dev", "shop"),
    ("patch", "secretstores.keyturn.dev", "shop"),
    ("create", "databasetargets.keyturn.dev", "shop"),
    ("update", "databasetargets.keyturn.dev", "shop"),
    ("patch", "databasetargets.keyturn.dev", "shop"),
    ("update", "clusterdatabasetargets.keyturn.dev", "*"),
    ("patch", "clusterdatabasetargets.keyturn.dev", "*"),
    ("update", "clustersecretstores.keyturn.dev", "*"),
    ("patch", "clustersecretstores.keyturn.dev", "*"),
    ("list", "configmaps", "shop"),
    ("patch", "configmaps", "shop"),
    ("delete", "configmaps", "shop"),
    ("create", "emergencyrotations.keyturn.dev", "shop"),
    ("update", "emergencyrotations.keyturn.dev", "shop"),
    ("patch", "emergencyrotations.keyturn.dev", "shop"),
    ("update", "customresourcedefinitions.apiextensions.k8s.io", "*"),
    ("get", "nodes", "*"),
    ("create", "namespaces", "*"),
    ("update", "namespaces", "*"),
    ("patch", "namespaces", "*"),
    ("delete", "namespaces", "*"),
    ("update", "leases.coordination.k8s.io/another", "keyturn-system"),
    ("delete", "leases.coordination.k8s.io/keyturn", "keyturn-system"),
    ("get", "leases.coordination.k8s.io/keyturn", "kube-system"),
]

# In the overlay: what it may in its namespace it may nowhere else.
NOT_ELSEWHERE = [
    (verb, resource, namespace)
    for namespace in ("default", "*")
    for verb, resource in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "secrets"),
        ("update", "secrets"),
        ("list", "managedsecrets.keyturn.dev"),
        ("list", "pods"),
        ("patch", "deployments.apps"),
        ("get", "namespaces"),
        ("list", "namespaces"),
    )
]


def golden(name: str) -> str:
    return (_GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("namespace", ["keyturn-system", "shop"])
def test_the_rights_on_a_whole_cluster_are_these(namespace: str, cluster_wide: Installation) -> None:
    assert cluster_wide.rights(namespace) == golden(f"cluster-wide.{namespace}")


@pytest.mark.parametrize("namespace", ["keyturn-system", "shop", "default"])
def test_the_rights_on_one_namespace_are_these(namespace: str, namespaced: Installation) -> None:
    assert namespaced.rights(namespace) == golden(f"namespaced.{namespace}")


@pytest.mark.parametrize(("verb", "resource", "namespace"), NEVER)
def test_on_a_whole_cluster_it_must_not(
    verb: str, resource: str, namespace: str, cluster_wide: Installation
) -> None:
    assert not cluster_wide.may(verb, resource, namespace)


@pytest.mark.parametrize(("verb", "resource", "namespace"), NOT_ELSEWHERE)
def test_elsewhere_it_must_not(verb: str, resource: str, namespace: str, namespaced: Installation) -> None:
    assert not namespaced.may(verb, resource, namespace)


def test_the_uid_of_its_namespace_can_be_read_and_of_no_other(namespaced: Installation) -> None:
    assert [namespaced.reads_namespace(name) for name in ("shop", "default")] == [True, False]


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("update", "secrets", "shop"),
        ("list", "secrets", "*"),
        ("get", "leases.coordination.k8s.io/keyturn", "keyturn-system"),
        ("update", "managedsecrets.keyturn.dev/status", "shop"),
    ],
)
def test_the_question_is_asked_in_a_way_that_can_be_answered_yes(
    verb: str, resource: str, namespace: str, cluster_wide: Installation
) -> None:
    assert cluster_wide.may(verb, resource, namespace)
