"""Applied again and again from Git: nothing drifts, and the operator has nothing to write."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from keyturn.core.reasons import ErrorReason
from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.cluster.namespace import Space, password
from tests.gitops.argocd import SETTINGS, run_action
from tests.gitops.judge import CHECKS
from tests.support.initial_status import filled_in
from tests.support.objects import Body

_MANIFESTS = Path(__file__).parents[2] / "manifests"
_ARGO_CD = _MANIFESTS / "gitops" / "argocd"
_EXAMPLES = sorted((_MANIFESTS / "examples").glob("*.yaml"))
_OPERATOR = "system:serviceaccount:keyturn-system:keyturn"
_WRITES = {"create", "update", "patch", "delete", "deletecollection"}
# As Argo CD and Flux apply, and as plain `kubectl apply` does.
_WAYS = (("--server-side", "--field-manager=argocd-controller", "--force-conflicts"), ())


def example(path: Path, namespace: str) -> list[Body]:
    """Read an example as it is for a namespace of the test's own; the namespace itself is there."""
    text = path.read_text().replace("namespace: shop", f"namespace: {namespace}")
    return [body for body in yaml.safe_load_all(text) if body["kind"] != "Namespace"]


def as_list(bodies: list[Body]) -> Body:
    return {"apiVersion": "v1", "kind": "List", "items": bodies}


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.stem)
def test_no_default_is_written_into_the_spec_of_an_example(path: Path, kubectl: Kubectl) -> None:
    bodies = [body for body in example(path, "default") if body["apiVersion"].startswith("keyturn.dev/")]

    # Nothing is stored, so that all can use one namespace.
    made = kubectl.json("apply", "--dry-run=server", "-f", "-", given=as_list(bodies))

    specs = [body["spec"] for body in (made["items"] if made["kind"] == "List" else [made])]
    assert specs == [body["spec"] for body in bodies]


@pytest.fixture
def bodies(namespace: str, kubectl: Kubectl) -> Iterator[list[Body]]:
    """Every example that belongs into Git; what belongs to no namespace is deleted afterwards.

    An emergency does not: its clock goes on, and made again it would rotate again. An account waits for a database
    server, which does not run here.
    """
    bodies = [body for path in _EXAMPLES for body in example(path, namespace)]
    bodies = [body for body in bodies if body["kind"] != "EmergencyRotation"]
    bodies = [body for body in bodies if "account" not in body.get("spec", {})]
    yield bodies
    kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", given=as_list(bodies))


def test_the_same_manifests_applied_again_and_again_cause_no_write(
    space: Space, bodies: list[Body], kubectl: Kubectl, plane: ControlPlane
) -> None:
    names = {body["metadata"]["name"] for body in bodies}
    kubectl("apply", "-f", "-", given=as_list(bodies))
    eventually(lambda: is_at_rest(space, bodies), "all of it at rest", 120, lambda: reasons(space, bodies))
    space.rotated("auth-secrets")
    assert space.marker("api"), "the mark of a restart stands in what is applied again"

    for way in _WAYS:
        kubectl("apply", *way, "-f", "-", given=as_list(bodies))  # who applied it changes once
        eventually(lambda: is_at_rest(space, bodies), "all of it at rest")
        before, began = versions(space), audit_size(plane)
        kubectl("apply", *way, "-f", "-", given=as_list(bodies))

        assert operator_writes(plane, began, space.namespace, names) == []
        assert versions(space) == before
        assert kubectl.run("diff", *way, "-f", "-", given=as_list(bodies)).stdout == ""


def is_at_rest(space: Space, bodies: list[Body]) -> bool:
    """Say whether everything was looked at and has come as far as it can."""
    for body in bodies:
        found = space.get(body["kind"], body["metadata"]["name"])
        generation, status = found["metadata"].get("generation"), found.get("status") or {}
        if status.get("observedGeneration") != generation or status.get("rotation"):
            return False
        # A status that says "the stores are being read" is followed by another, which no `apply` has caused.
        if any(
            one["reason"] in {ErrorReason.READING_STORES, ErrorReason.MAKING_VALUES}
            for one in status.get("conditions", ())
        ):
            return False
        if body["kind"] == "Deployment" and status.get("availableReplicas") != body["spec"].get(
            "replicas", 1
        ):
            return False
    return True


def reasons(space: Space, bodies: list[Body]) -> dict[str, list[str]]:
    """Return the reasons of the conditions of each object."""
    found = [space.get(body["kind"], body["metadata"]["name"]) for body in bodies]
    return {
        f"{one['kind']}/{one['metadata']['name']}": [
            condition["reason"] for condition in one.get("status", {}).get("conditions", ())
        ]
        for one in found
    }


def versions(space: Space) -> dict[str, str]:
    """Return the version of everything in a namespace that somebody could write for a ManagedSecret."""
    kinds = ("ManagedSecret", "Secret", "Deployment", "StatefulSet", "DaemonSet")
    found = [(kind, one) for kind in kinds for one in space.objects.all(kind, space.namespace)]
    return {f"{kind}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for kind, one in found}


def audit_size(plane: ControlPlane) -> int:
    return plane.audit_log.stat().st_size


def operator_writes(plane: ControlPlane, since: int, namespace: str, names: set[str]) -> list[str]:
    """Return what the operator wrote in a namespace, or at the named objects that are in none."""
    with plane.audit_log.open("rb") as log:
        log.seek(since)
        calls = [json.loads(line) for line in log]
    return [
        f"{call['verb']} {call['requestURI']}"
        for call in calls
        if call["user"].get("username") == _OPERATOR
        and call["verb"] in _WRITES
        and is_of(call, namespace, names)
    ]


def is_of(call: Body, namespace: str, names: set[str]) -> bool:
    found = call.get("objectRef") or {}
    if found.get("subresource") == "token":  # a login for a store: nothing is stored by that
        return False
    return found.get("namespace") == namespace or ("namespace" not in found and found.get("name") in names)


def test_an_object_that_was_not_reconciled_is_not_taken_for_done(space: Space, kubectl: Kubectl) -> None:
    body = space.manage(suspend=True)

    shown = kubectl.json(
        "create",
        "--dry-run=server",
        "-f",
        "-",
        given={**body, "metadata": {"name": "new", "namespace": space.namespace}},
    )

    assert shown["status"] == filled_in("ManagedSecret")


# Argo CD


def do(action: str, space: Space, kubectl: Kubectl) -> None:
    """Do what Argo CD does on a click."""
    patch = run_action(action, space.get("ManagedSecret", "auth"))
    kubectl("patch", "ms", "auth", "-n", space.namespace, "--type=merge", "-p", json.dumps(patch))


def test_the_action_rotate_rotates_once(space: Space, kubectl: Kubectl) -> None:
    space.managed()
    before = space.values()

    do("rotate", space, kubectl)
    space.settled(revision=2)
    space.looked_at()

    assert space.status()["revision"] == 2
    assert all(space.values()[key] != value for key, value in before.items())


def test_the_action_rollback_brings_the_values_before(space: Space, kubectl: Kubectl) -> None:
    space.managed()
    before = space.values()
    space.rotated()

    do("rollback", space, kubectl)
    space.until_revision("1")

    assert space.values() == before


def test_the_actions_suspend_and_resume_hold_a_rotation_back(space: Space, kubectl: Kubectl) -> None:
    space.managed()

    do("suspend", space, kubectl)
    space.until_condition("Ready", "True", "Suspended")
    space.rotate()
    space.looked_at()
    assert space.revision() == "1"
    do("resume", space, kubectl)
    space.settled(revision=2)


def test_the_secrets_are_not_taken_for_a_part_of_the_application(space: Space) -> None:
    labels = {"app.kubernetes.io/instance": "shop", "argocd.argoproj.io/instance": "shop"}
    tracking = {"argocd.argoproj.io/tracking-id": "shop:keyturn.dev/ManagedSecret:shop/auth"}
    metadata = {"name": "auth", "labels": labels, "annotations": tracking}
    space.create({"kind": "ManagedSecret", "metadata": metadata, "spec": {"data": [password()]}})
    space.settled()

    for name in ("auth", "auth-keyturn"):
        found = space.get("Secret", name)["metadata"]
        assert not labels.keys() & (found.get("labels") or {}).keys()
        assert not tracking.keys() & (found.get("annotations") or {}).keys()


THERE = {"url": "https://argo.test"}
OTHERS = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "argocd-cm"}, "data": THERE}


def test_the_settings_join_those_that_are_there(namespace: str, kubectl: Kubectl) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", given=OTHERS)

    # Not `apply`: even on the server's side it takes away what an earlier `apply` brought.
    kubectl(
        "patch", "configmap", "argocd-cm", "-n", namespace, "--patch-file", str(_ARGO_CD / "argocd-cm.yaml")
    )

    assert kubectl.json("get", "configmap", "argocd-cm", "-n", namespace)["data"] == THERE | SETTINGS


def test_the_settings_join_those_of_a_kustomization(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "argocd-cm.yaml").write_text(yaml.safe_dump(OTHERS))
    component = os.path.relpath(_ARGO_CD, tmp_path)
    kustomization = {"namespace": "argocd", "resources": ["argocd-cm.yaml"], "components": [component]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))

    made = yaml.safe_load(kubectl("kustomize", str(tmp_path)))

    assert made["data"] == THERE | SETTINGS


# Flux


def test_the_checks_join_every_kustomization_of_flux(kubectl: Kubectl, tmp_path: Path) -> None:
    group = "kustomize.toolkit.fluxcd.io"
    apps = {
        "apiVersion": f"{group}/v1",
        "kind": "Kustomization",
        "metadata": {"name": "apps"},
        "spec": {"path": "./apps"},
    }
    target = {"group": group, "kind": "Kustomization"}
    shutil.copy(_MANIFESTS / "gitops" / "flux" / "health-checks.yaml", tmp_path)
    (tmp_path / "apps.yaml").write_text(yaml.safe_dump(apps))
    kustomization = {
        "resources": ["apps.yaml"],
        "patches": [{"path": "health-checks.yaml", "target": target}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))

    made = yaml.safe_load(kubectl("kustomize", str(tmp_path)))

    assert made["metadata"]["name"] == "apps"
    assert made["spec"] == {"path": "./apps", "wait": True, "healthCheckExprs": CHECKS}


def test_a_trigger_that_flux_takes_back_has_been_heard_and_is_no_other(space: Space) -> None:
    space.managed()
    space.annotate("ManagedSecret", "auth", rotate="now")
    space.settled(revision=2)
    values = space.values()

    space.annotate("ManagedSecret", "auth", rotate=None)
    space.looked_at()
    space.annotate("ManagedSecret", "auth", rotate="now")
    space.looked_at()

    assert space.values() == values
