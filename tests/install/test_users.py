"""What users may do with the objects of Keyturn by the roles view, edit and admin, by the API server's own answer."""

import re
from collections.abc import Mapping

import pytest

from sandbox.harness import Kubectl, eventually
from tests.install.installation import Installation

_ROLES = ("view", "edit", "admin")
_LOOK, _WRITE = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}
_ANYONE = {"secretclasses.keyturn.dev": _LOOK}

Rights = dict[str, set[str]]
"""The verbs for each resource."""

# A cluster-wide kind is listed for who has a role in a namespace, too; the API server gives it cluster-wide only.
VIEW: Rights = {
    **_ANYONE,
    "clusterdatabasetargets.keyturn.dev": _LOOK,
    "clustersecretstores.keyturn.dev": _LOOK,
    "databasetargets.keyturn.dev": _LOOK,
    "managedsecrets.keyturn.dev": _LOOK,
    "secretstores.keyturn.dev": _LOOK,
    "emergencyrotations.keyturn.dev": _LOOK,
}
EDIT: Rights = {
    **VIEW,
    "managedsecrets.keyturn.dev": _LOOK | _WRITE,
    "databasetargets.keyturn.dev": _LOOK | _WRITE,
    "secretstores.keyturn.dev": _LOOK | _WRITE,
    "emergencyrotations.keyturn.dev": _LOOK | {"create", "patch"},
}
ADMIN: Rights = {
    **EDIT,
    "emergencyrotations.keyturn.dev": _LOOK | {"create", "patch", "delete", "deletecollection"},
}
# An author of ManagedSecrets and SecretStores has the operator do this, so that the role has to include it.
REACHED: Mapping[str, set[str]] = {
    "secrets": {"get", "list", "create", "update", "delete"},
    "configmaps": {"get"},
    "deployments.apps": {"get", "list", "patch"},
    "statefulsets.apps": {"get", "list", "patch"},
    "daemonsets.apps": {"get", "list", "patch"},
    "serviceaccounts/token": {"create"},
}


@pytest.fixture(scope="module")
def users(cluster_wide: Installation) -> Kubectl:
    """kubectl for a cluster with a user for each role in the namespace shop, and one who views all namespaces."""
    kubectl = cluster_wide.kubectl
    for role in _ROLES:
        who = (f"--clusterrole={role}", f"--user=a-{role}")
        kubectl("create", "rolebinding", f"a-{role}", *who, "-n", "shop")
    kubectl("create", "clusterrolebinding", "views-all", "--clusterrole=view", "--user=views-all")
    eventually(lambda: rights(kubectl, "a-admin", "shop") != _ANYONE, "the aggregation")
    return kubectl


def rights(kubectl: Kubectl, user: str, namespace: str, *, of_ours: bool = True) -> Rights:
    """Return what somebody may do, on the kinds of Keyturn or on others."""
    who = (f"--as={user}", "--as-group=system:authenticated")
    found: Rights = {}
    for line in kubectl("auth", "can-i", "--list", *who, "-n", namespace).splitlines():
        row = re.fullmatch(r"(\S+) +\[\] +\[\] +\[(.*)\]", line)
        if row and row[1].endswith(".keyturn.dev") is of_ours:
            found.setdefault(row[1], set()).update(row[2].split())
    return found


@pytest.mark.parametrize(("role", "desired"), [("view", VIEW), ("edit", EDIT), ("admin", ADMIN)])
def test_a_user_has_the_rights_of_the_role(role: str, desired: Rights, users: Kubectl) -> None:
    eventually(lambda: rights(users, f"a-{role}", "shop") == desired, f"the rights of {role}", 15)


def test_a_user_has_no_right_in_another_namespace(users: Kubectl) -> None:
    assert rights(users, "a-admin", "default") == _ANYONE


def test_a_user_without_a_role_reads_classes_and_nothing_else(users: Kubectl) -> None:
    assert rights(users, "a-newcomer", "shop") == _ANYONE


@pytest.mark.parametrize(("user", "may"), [("views-all", True), ("a-admin", False)])
def test_who_views_the_whole_cluster_sees_the_stores_for_all(user: str, may: bool, users: Kubectl) -> None:
    done = users.run("get", "clustersecretstores", f"--as={user}", "--as-group=system:authenticated")

    assert (done.returncode == 0) is may


def test_kubernetes_gives_an_editor_what_the_operator_does_for_one(users: Kubectl) -> None:
    has = rights(users, "a-edit", "shop", of_ours=False)

    assert {kind: verbs - has.get(kind, set()) for kind, verbs in REACHED.items()} == {
        kind: set() for kind in REACHED
    }
