"""`keyturn check` and `keyturn version`, as an admin, as the operator and as a stranger run them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn import __version__
from keyturn.installation.checks.rights import Place, rights_of
from keyturn.kube.client import Api
from keyturn.kube.leader_election import signature
from keyturn.runtime import build
from sandbox.harness import Kubectl
from tests.conftest import ROOT, Cluster
from tests.install.checks.roles import ACCOUNT, OWN, without
from tests.support.console import Console

_RIGHTS = len(list(rights_of(Place(OWN, None))))


@pytest.fixture
def held(installed: Kubectl) -> Iterator[None]:
    """A Lease that somebody has just taken for an hour."""
    spec = {"holderIdentity": "pod-1", "leaseDurationSeconds": 3600, "renewTime": _now(installed)}
    metadata = {"name": "keyturn", "namespace": OWN, "annotations": signature("pod-1")}
    installed(
        "apply",
        "-f",
        "-",
        given={"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec},
    )
    yield
    installed("delete", "lease", "keyturn", "-n", OWN)


def _now(kubectl: Kubectl) -> str:
    made = kubectl.json("create", "configmap", "now", "-n", OWN)["metadata"]["creationTimestamp"]
    kubectl("delete", "configmap", "now", "-n", OWN)
    return str(made).replace("Z", ".000000Z")


@pytest.fixture
def admin_console(own_plane: Cluster, installed: Kubectl) -> Console:
    del installed
    return Console(own_plane.kubeconfig, OWN)


def points(console: Console, *arguments: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Run the command; return its exit code and the points by name."""
    done = console.run("check", "-o", "json", *arguments)
    assert done.stderr == ""
    found: dict[str, list[dict[str, Any]]] = {}
    for point in json.loads(done.stdout)["points"]:
        found.setdefault(point["point"], []).append(point)
    return done.returncode, found


@pytest.mark.usefixtures("held")
def test_an_admin_sees_every_point(admin_console: Console) -> None:
    code, found = points(admin_console)

    assert {name: one[0]["result"] for name, one in found.items()} == {
        "api-server": "ok",
        "clock": "ok",
        "crds": "ok",
        "pod-security": "ok",
        "deployment": "warn",
        "lease": "ok",
        "version": "ok",
        "rights": "ok",
        "policies": "ok",
    }
    assert code == 0
    assert found["rights"][0]["found"] == f"{ACCOUNT.user} has all {_RIGHTS} required rights"


@pytest.mark.usefixtures("held")
def test_the_operator_asks_for_its_own_rights(account: Path) -> None:
    code, found = points(Console(account, OWN))

    assert code == 0
    assert found["rights"][0]["result"] == "ok"
    assert found["lease"][0]["result"] == "ok"
    assert found["policies"][0]["found"] == (
        "unknown: you may not get validatingadmissionpolicies in all namespaces"
    )


def test_a_stranger_learns_what_is_not_known(own_plane: Cluster, installed: Kubectl, tmp_path: Path) -> None:
    installed("create", "serviceaccount", "stranger", "-n", "default")
    code, found = points(Console(own_plane.account("default", "stranger", tmp_path / "kubeconfig"), OWN))
    installed("delete", "serviceaccount", "stranger", "-n", "default")

    assert code == 0
    assert found["crds"][0]["result"] == "ok"
    assert {name for name, one in found.items() if one[0]["found"].startswith("unknown: ")} == {
        "pod-security",
        "deployment",
        "lease",
        "version",
        "rights",
        "policies",
    }
    assert "you may not get leases in namespace keyturn-system" in found["lease"][0]["found"]


@pytest.mark.usefixtures("held")
async def test_a_missing_right_is_named_with_what_gives_it(admin: Api, admin_console: Console) -> None:
    taken = next(one for one in rights_of(Place(OWN, None)) if str(one).startswith("patch deployments"))
    async with without(taken, admin):
        code, found = points(admin_console)

    assert code == 1
    assert [one["found"] for one in found["rights"]] == [
        f"{ACCOUNT.user} may not patch deployments.apps in all namespaces"
    ]
    assert found["rights"][0]["advice"] == (
        "apply manifests/base/access/access.yaml (Helm: upgrade the release)"
    )


def test_no_leader_a_policy_that_is_gone_and_a_lax_namespace_are_said(
    admin_console: Console, installed: Kubectl
) -> None:
    label = "pod-security.kubernetes.io/enforce"
    installed("label", "namespace", OWN, f"{label}=baseline", "--overwrite")
    installed("delete", "validatingadmissionpolicybinding", "keyturn-reports")
    code, found = points(admin_console)
    installed("apply", "-k", str(ROOT / "manifests" / "overlays" / "checkout"))

    assert code == 1
    assert found["lease"][0]["found"].startswith("there is no Lease keyturn")
    assert found["pod-security"][0]["found"] == "namespace keyturn-system enforces baseline"
    assert (
        found["policies"][0]["found"] == "validatingadmissionpolicybindings keyturn-reports is not installed"
    )


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (("failurePolicy", "Ignore"), "keyturn-reports does not deny"),
        (
            (
                "matchConditions",
                [{"name": "by-the-operator", "expression": "request.userInfo.username == 'other'"}],
            ),
            f"keyturn-reports is not about {ACCOUNT.user}",
        ),
    ],
    ids=["fails open", "about another account"],
)
def test_a_policy_that_does_not_hold_is_said(
    change: tuple[str, Any], flaw: str, admin_console: Console, installed: Kubectl
) -> None:
    policies = ROOT / "manifests" / "base" / "operator" / "policy.yaml"
    policy = next(yaml.safe_load_all(policies.read_text()))
    policy["spec"] |= dict([change])
    installed("apply", "-f", "-", given=policy)
    _, found = points(admin_console)
    installed("apply", "-f", str(policies))

    assert found["policies"][0]["found"] == flaw


def test_a_login_to_the_metrics_needs_rights_of_its_own(admin_console: Console, installed: Kubectl) -> None:
    """The Deployment says that it asks whose token one is, and the component that gives the right is named."""
    installed("apply", "-f", "-", given=_deployment("run", "--all-namespaces", "--metrics-auth"))
    try:
        code, found = points(admin_console)
    finally:
        installed("delete", "deployment", "keyturn", "-n", OWN)

    manifest = "manifests/components/metrics-auth/rbac.yaml"
    assert code == 1
    assert [(one["found"], one["advice"]) for one in found["rights"]] == [
        (
            f"{ACCOUNT.user} has none of the 2 rights in {manifest}",
            f"apply {manifest} (Helm: upgrade the release)",
        )
    ]


def _deployment(*arguments: str) -> dict[str, Any]:
    """Return the shipped Deployment without pods."""
    bodies = yaml.safe_load_all((ROOT / "manifests/base/operator/deployment.yaml").read_text())
    (deployment,) = (one for one in bodies if one["kind"] == "Deployment")
    deployment["spec"]["replicas"] = 0
    deployment["spec"]["template"]["spec"]["containers"][0]["args"] = list(arguments)
    return dict(deployment)


def test_before_an_installation_an_admin_has_the_rights_for_it(admin_console: Console, account: Path) -> None:
    assert points(admin_console, "--pre")[0] == 0

    code, found = points(Console(account, OWN), "--pre")
    assert code == 1
    assert "you may not create clusterroles.rbac.authorization.k8s.io" in {
        one["found"] for one in found["install"]
    }


@pytest.mark.usefixtures("held")
def test_the_table_has_a_line_for_each_point_and_one_for_what_to_do(admin_console: Console) -> None:
    lines = admin_console("check").splitlines()

    assert lines[0].startswith("ok      api-server     Kubernetes v1.")
    (place,) = [number for number, line in enumerate(lines) if line.startswith("warn    deployment")]
    assert lines[place + 1].startswith(f"{'':23}-> install Keyturn")
    assert lines[-1] == "8 ok, 1 warn, 0 failed"


# Versions


@pytest.fixture
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give new processes the commit of this one: the checkout may have another by now."""
    monkeypatch.setenv(build.VARIABLE, build.commit())


@pytest.mark.usefixtures("held", "one_commit")
def test_the_versions_of_client_operator_and_api_server(admin_console: Console) -> None:
    said = admin_console.json("version")

    assert said["client"] == {"version": __version__, "commit": build.commit()}
    assert said["operator"] == {
        "namespace": OWN,
        "leader": "pod-1",
        "version": __version__,
        "commit": build.commit(),
        "image": None,
        "unread": None,
    }
    assert said["apiServer"]["version"].startswith("v1.")
    assert admin_console("version").splitlines()[:2] == [
        f"Client:      {build.version()}",
        f"Operator:    {build.version()}, led by pod-1 in namespace keyturn-system",
    ]


@pytest.mark.usefixtures("one_commit")
def test_the_version_of_the_client_needs_no_cluster(tmp_path: Path) -> None:
    nowhere = Console(None, OWN, {"HOME": str(tmp_path)})

    assert nowhere("version", "--client") == f"Client:      {build.version()}\n"
    assert nowhere.refusal("version").startswith("no cluster is configured")
