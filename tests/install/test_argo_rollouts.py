"""Argo Rollouts on a real API server: when they are watched, how they restart, and which changes policies refuse.

The kind has a small definition of the same name; the test writes the status that the controller would write.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.install.installation import BASE, MANIFESTS, Installation
from tests.install.user import User
from tests.support.objects import Objects, shared
from tests.support.operator import Operator

Body = dict[str, Any]

_COMPONENT = str(MANIFESTS / "components" / "argo-rollouts")
_MARKER = "keyturn.dev/secret-versions"
_OPERATOR = ("system:serviceaccount:keyturn-system:keyturn", "system:masters")
_HERE = ("-n", "shop")
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rollouts.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "names": {"kind": "Rollout", "listKind": "RolloutList", "plural": "rollouts", "singular": "rollout"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "properties": {"spec": _OPEN, "status": _OPEN}}
                },
            }
        ],
    },
}


def rollout(name: str, uses: str = "other", **spec: Any) -> Body:
    container = {"name": "main", "image": "example.org/none", "envFrom": [{"secretRef": {"name": uses}}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    usual = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": usual | spec,
    }


def managed(name: str, **rollout_of: Any) -> Body:
    data = [{"name": "token", "generate": {"bytes": {}}}]
    metadata = {"name": name, "namespace": "shop"}
    spec = {"data": data, "rollout": {"debounce": "0s", **rollout_of}}
    return {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> Kubectl:
    """kubectl for a cluster with Keyturn."""
    return Installation.of(BASE, Kubectl(plane.kubeconfig)).kubectl


@pytest.fixture(scope="module")
def kubectl(installed: Kubectl) -> Kubectl:
    """kubectl for a cluster with Keyturn, Rollouts and the component; the test that removes them restores them."""
    define(installed)
    installed("apply", "-k", _COMPONENT)
    return installed


def objects(kubectl: Kubectl) -> Objects:
    assert kubectl.kubeconfig
    return shared(kubectl.kubeconfig)


def define(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=_CRD)
    kubectl("wait", "crd/rollouts.argoproj.io", "--for=condition=Established", "--timeout=20s")
    eventually(lambda: is_named(kubectl), "the kind")


def is_named(kubectl: Kubectl) -> bool:
    """Say whether discovery names the kind."""
    group = kubectl.run("get", "--raw", "/apis/argoproj.io/v1alpha1")
    return "argoproj.io/v1alpha1" in kubectl("get", "--raw", "/apis") and '"rollouts"' in group.stdout


@pytest.fixture
def operator(plane: ControlPlane, tmp_path: Path) -> Iterator[Operator]:
    """An operator that is not started yet."""
    account = plane.service_account_kubeconfig("keyturn-system", "keyturn", tmp_path / "kubeconfig")
    env = {"POD_NAMESPACE": "keyturn-system"}
    operator = Operator(account, tmp_path / "operator.log", "--all-namespaces", env=env)
    yield operator
    operator.kill()


def of_rollouts(operator: Operator) -> list[str]:
    """Return the events and levels of what an operator has logged of the kind or its lists, until it leads."""
    with operator:
        operator.wait_for_log("leading")
        told = [line["event"] for line in operator.lines() if line.get("kind") == "Rollout"]
        told += [line["event"] for line in operator.lines("objects not listed")]
        operator.stop()
    return told


def test_the_kind_is_found_at_a_start_and_only_with_the_component(
    installed: Kubectl, operator: Operator
) -> None:
    installed("delete", "crd", "rollouts.argoproj.io", "--ignore-not-found")
    installed("delete", "-k", _COMPONENT, "--ignore-not-found")
    eventually(lambda: "argoproj.io" not in installed("get", "--raw", "/apis"), "no kind")
    assert of_rollouts(operator) == [], "without the kind"

    define(installed)
    assert of_rollouts(operator) == ["kind not watched"]

    installed("apply", "-k", _COMPONENT)
    assert of_rollouts(operator) == [], "with its permissions"


def marker(kubectl: Kubectl, kind: str, name: str) -> str | None:
    template = objects(kubectl).get(kind, "shop", name)["spec"]["template"]
    found: str | None = template["metadata"].get("annotations", {}).get(_MARKER)
    return found


def complete(kubectl: Kubectl, name: str, **status: str) -> None:
    """Write what the controller writes after a rollout."""
    generation = str(objects(kubectl).get("Rollout", "shop", name)["metadata"]["generation"])
    healthy = {"phase": "Healthy", "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    text = json.dumps({"status": healthy | {"observedGeneration": generation} | status})
    kubectl("patch", "rollouts.argoproj.io", name, *_HERE, "--subresource=status", "--type=merge", "-p", text)


def states(kubectl: Kubectl, name: str) -> dict[str, str]:
    status = objects(kubectl).get("ManagedSecret", "shop", name).get("status", {})
    return {f"{row['kind']}/{row['name']}": row["state"] for row in status.get("workloads", ())}


def has_restarted(kubectl: Kubectl, name: str) -> bool:
    status = objects(kubectl).get("ManagedSecret", "shop", name)["status"]
    return [row["revision"] for row in status.get("history", ())] == [2, 1]


def test_a_rollout_is_restarted_and_waited_for(kubectl: Kubectl, operator: Operator) -> None:
    with operator:
        operator.wait_for_log("leading")
        kubectl("apply", "-f", "-", given=managed("own"))
        kubectl("wait", "ms/own", *_HERE, "--for=condition=Ready", "--timeout=20s")
        kubectl("apply", "-f", "-", given=rollout("own", uses="own"))
        complete(kubectl, "own")
        eventually(lambda: states(kubectl, "own") == {"Rollout/own": "Current"}, "the consumer")

        kubectl("annotate", "ms/own", *_HERE, "keyturn.dev/rotate=leaver")

        eventually(lambda: marker(kubectl, "Rollout", "own") == "own=2", "the restart")
        eventually(lambda: states(kubectl, "own") == {"Rollout/own": "Rolling"}, "the rollout")
        complete(kubectl, "own")
        eventually(lambda: has_restarted(kubectl, "own"), "the end of the rotation")
        assert states(kubectl, "own") == {"Rollout/own": "Current"}
        operator.stop()


# The policy on the operator's account


def set_marker(body: Body) -> None:
    body["spec"]["template"]["metadata"]["annotations"] = {_MARKER: "db=2"}


def set_time(body: Body) -> None:
    body["metadata"].setdefault("annotations", {})[_MARKER] = "db=2"
    body["spec"]["restartAt"] = "2026-11-24T12:00:00Z"


def set_image(body: Body) -> None:
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "example.org/other"


def set_annotation_of_pods(body: Body) -> None:
    body["spec"]["template"]["metadata"]["annotations"] = {"other": "x"}


def set_label_of_pods(body: Body) -> None:
    body["spec"]["template"]["metadata"]["labels"]["other"] = "x"


def set_replicas(body: Body) -> None:
    body["spec"]["replicas"] = 0


def set_strategy(body: Body) -> None:
    body["spec"]["strategy"] = {"canary": {}}


def set_label(body: Body) -> None:
    body["metadata"]["labels"] = {"other": "x"}


def set_annotation(body: Body) -> None:
    body["metadata"]["annotations"] = {"other": "x"}


def remove_template(body: Body) -> None:
    del body["spec"]["template"]


@pytest.fixture
def limited(kubectl: Kubectl) -> Kubectl:
    """kubectl for a cluster with a Rollout, and the policy in force."""
    if objects(kubectl).find("Rollout", "shop", "limited") is None:
        objects(kubectl).create("shop", rollout("limited"))
    eventually(lambda: refusal(kubectl, set_image) != "", "the policy")
    return kubectl


def refusal(kubectl: Kubectl, change: Callable[[Body], None]) -> str:
    """Say why the operator may not change a Rollout in this way; nothing where that is allowed."""
    body = objects(kubectl).get("Rollout", "shop", "limited")
    change(body)
    return User.of(kubectl, *_OPERATOR).replacement(body)


@pytest.mark.parametrize("change", [set_marker, set_time])
def test_the_operator_may_restart_a_rollout(limited: Kubectl, change: Callable[[Body], None]) -> None:
    assert refusal(limited, change) == ""


@pytest.mark.parametrize(
    "change",
    [
        set_image,
        set_annotation_of_pods,
        set_label_of_pods,
        set_replicas,
        set_strategy,
        set_label,
        set_annotation,
        remove_template,
    ],
)
def test_the_operator_may_change_nothing_else_of_a_rollout(
    limited: Kubectl, change: Callable[[Body], None]
) -> None:
    assert refusal(limited, change).startswith("Keyturn changes ")


# The policy on authors


def author(name: str, *rules: Body) -> list[Body]:
    """Return a user with the rights on a ManagedSecret and its Secret, and further ones."""
    usual = [
        {"apiGroups": ["keyturn.dev"], "resources": ["managedsecrets"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
    ]
    role: Body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    role |= {"metadata": {"name": name, "namespace": "shop"}, "rules": [*usual, *rules]}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    return [role, binding]


def patch(group: str, *resources: str, **more: list[str]) -> Body:
    return {"apiGroups": [group], "resources": list(resources), "verbs": ["patch"], **more}


_APPS = patch("apps", "deployments", "statefulsets", "daemonsets")
_AUTHORS = [
    *author("rollouts-all", _APPS, patch("argoproj.io", "rollouts")),
    *author("rollouts-one", patch("argoproj.io", "rollouts", resourceNames=["one"])),
    *author("rollouts-none", _APPS),
]
_EACH = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
_NONE = [{"kind": "StatefulSet", "name": "any"}]


@pytest.fixture(scope="module")
def authors(kubectl: Kubectl) -> Kubectl:
    """kubectl for a cluster with these users and the policy in force."""
    kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": _AUTHORS})
    for name in ("rollouts-all", "rollouts-one", "rollouts-none"):
        user = User.of(kubectl, name)
        eventually(lambda user=user: user.may("create", "managedsecrets.keyturn.dev", "shop"), "the rights")  # type: ignore[misc]
    stranger = User.of(kubectl, "rollouts-one")
    eventually(lambda: stranger.creation(managed("x", targets=_NONE)) != "", "the policies")
    return kubectl


@pytest.mark.parametrize(
    ("user", "targets", "may"),
    [
        pytest.param("rollouts-all", [("Rollout", "one")], True, id="every Rollout"),
        pytest.param("rollouts-all", [(kind, "one") for kind in _EACH], True, id="one of each kind"),
        pytest.param("rollouts-one", [("Rollout", "one")], True, id="this Rollout"),
        pytest.param("rollouts-one", [("Rollout", "other")], False, id="another Rollout"),
        pytest.param("rollouts-none", [("Deployment", "one")], True, id="a Deployment"),
        pytest.param("rollouts-none", [("Rollout", "one")], False, id="no Rollout"),
        pytest.param("rollouts-none", [(kind, "one") for kind in _EACH], False, id="all but the Rollout"),
    ],
)
def test_an_author_lists_the_rollouts_that_they_may_patch(
    authors: Kubectl,
    user: str,
    targets: list[tuple[str, str]],
    may: bool,
) -> None:
    creates = User.of(authors, user).creation
    listed = [{"kind": kind, "name": name} for kind, name in targets]

    assert creates(managed("listed")) == ""
    assert (creates(managed("listed", targets=listed)) == "") is may
