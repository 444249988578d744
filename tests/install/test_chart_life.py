"""The chart on a real API server: installed, upgraded, uninstalled, and installed again."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.install.helm import BUILD_SECONDS, CHART, IMAGE, ROOT, helm
from tests.support.operator import Operator

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_NAMESPACE = "keyturn-system"
_PAGE = (ROOT / "docs" / "install" / "uninstall.md").read_text()
_OURS = "deployments,services,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,rolebindings"
_CLUSTER_WIDE = "clusterroles,clusterrolebindings"
_LABEL = "app.kubernetes.io/name=keyturn"


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was at one moment."""

    said: str
    """What Helm said."""
    secret: Any
    """The whole Secret that a ManagedSecret made, as it is stored."""
    managed: dict[str, Any]
    """The ManagedSecret itself."""
    classes: int
    kinds: int
    ours: int
    """Objects of the installation that are there."""
    held: list[str]
    """The ManagedSecrets that have a finalizer."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A release of the chart on a cluster that nothing else was installed on."""

    plane: ControlPlane
    kubectl: Kubectl
    folder: Path

    def helm(self, *arguments: str) -> str:
        where = (f"--kubeconfig={self.plane.kubeconfig}", f"--namespace={_NAMESPACE}")
        return helm(*arguments, *where)

    def operator(self) -> Operator:
        """Make the operator, logged in with what the release gives it."""
        account = self.plane.service_account_kubeconfig(_NAMESPACE, "keyturn", self.folder / "account")
        allowed = "--allow-host=127.0.0.1"
        env = {"POD_NAMESPACE": _NAMESPACE}
        return Operator(account, self.folder / "log", "--all-namespaces", allowed, env=env)

    def observed(self, said: str) -> Seen:
        return Seen(
            said,
            self.kubectl.json("get", "secret", "plain", "-n", "shop"),
            self.kubectl.json("get", "ms", "plain", "-n", "shop"),
            self._count("secretclasses"),
            len([name for name in self._names("crds") if name.endswith(".keyturn.dev")]),
            self._count(_OURS, "-n", _NAMESPACE, "-l", _LABEL) + self._count(_CLUSTER_WIDE, "-l", _LABEL),
            self.held(),
        )

    def held(self) -> list[str]:
        """List what has a finalizer, with the very command of the documentation."""
        path = re.search(r"jsonpath='(.*finalizers.*)'$", _PAGE, re.MULTILINE)
        assert path
        return self.kubectl("get", "managedsecrets", "-A", "-o", f"jsonpath={path[1]}").split()

    def _count(self, *what: str) -> int:
        return len(self._names(*what))

    def _names(self, *what: str) -> list[str]:
        return self.kubectl("get", *what, "--ignore-not-found", "-o", "name").split()

    def values(self, name: str, namespace: str) -> set[str]:
        """Return digests of what the Secret holds, so that no failure shows it."""
        data = self.kubectl.json("get", "secret", name, "-n", namespace)["data"]
        return {hashlib.sha256(value.encode()).hexdigest() for value in data.values()}

    def backup(self, *what: str) -> dict[str, Any]:
        """Take objects of the namespace bank as the documentation has it, with what it has jq delete."""
        found: dict[str, Any] = self.kubectl.json("get", *what, "-n", "bank")
        for one in found["items"]:
            one.pop("status", None)
            for field in ("uid", "resourceVersion", "creationTimestamp", "ownerReferences", "finalizers"):
                one["metadata"].pop(field, None)
        return found

    def elsewhere(self) -> None:
        """Give the namespace shop a store that writes into the namespace hub, as if into another cluster."""
        self.kubectl("create", "namespace", "hub")
        self.kubectl("create", "serviceaccount", "writer", "-n", "hub")
        rights = ("--verb=get,create,update,delete", "--resource=secrets")
        self.kubectl("create", "role", "writer", "-n", "hub", *rights)
        self.kubectl(
            "create", "rolebinding", "writer", "-n", "hub", "--role=writer", "--serviceaccount=hub:writer"
        )
        config = self.plane.service_account_kubeconfig("hub", "writer", self.folder / "writer")
        login = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}}
        flat = self.kubectl("config", "view", "--flatten", "--raw", f"--kubeconfig={config}")
        self.kubectl("apply", "-n", "shop", "-f", "-", given=login | {"stringData": {"kubeconfig": flat}})
        settings = {"kubeconfigRef": {"name": "hub", "key": "kubeconfig"}, "namespace": "hub"}
        spec = {"provider": {"kubernetes": settings}}
        self.kubectl("apply", "-n", "shop", "-f", "-", given=body("SecretStore", "hub", spec))


def body(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "keyturn.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def managed(name: str, **spec: Any) -> dict[str, Any]:
    data = [{"name": "token", "generate": {"bytes": {}}}]
    return body("ManagedSecret", name, {"data": data, "className": "api-key", **spec})


def pushed(name: str) -> dict[str, Any]:
    push = {"storeRef": {"name": "hub"}, "remoteRef": {"key": name}, "deletionPolicy": "Delete"}
    return managed(name, pushTo=[push])


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chart]:
    with ControlPlane.start() as plane:
        yield Chart(plane, Kubectl(plane.kubeconfig), tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="module")
def installed(chart: Chart) -> Iterator[tuple[Seen, Operator]]:
    """A release, a ManagedSecret that is Ready, and one that has pushed what has to be deleted with it."""
    said = chart.helm(
        "install", "keyturn", str(CHART), "--create-namespace", "--set=classes.enabled=true", IMAGE
    )
    for name in ("shop", "bank"):
        chart.kubectl("create", "namespace", name)
    chart.elsewhere()
    with chart.operator() as operator:
        operator.wait_for_log("leading")
        for one in (managed("plain"), pushed("pushed"), pushed("forgotten")):
            chart.kubectl("apply", "-n", "shop", "-f", "-", given=one)
        chart.kubectl("apply", "-n", "bank", "-f", "-", given=managed("kept"))
        chart.kubectl("wait", "ms", "--all", "-A", "--for=condition=Ready", "--timeout=30s")
        for name in ("pushed", "forgotten"):
            chart.kubectl("wait", f"ms/{name}", "-n", "shop", "--for=condition=Pushed", "--timeout=30s")
        yield chart.observed(said), operator


@pytest.fixture(scope="module")
def upgraded(chart: Chart, installed: tuple[Seen, Operator]) -> Seen:
    """The release with values that a cluster may need, taken by the API server."""
    del installed
    values = {
        "replicas": 3,
        "extraArgs": ["--workers=8"],
        "classes": {"enabled": True},
        "workloadIdentity": {"serviceAccounts": ["reads-vault"]},
        "stores": {"allowHosts": ["vault.vault"], "filesRoot": "/files"},
        "volumes": [{"name": "files", "emptyDir": {}}],
        "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        "tolerations": [{"key": "ops", "operator": "Exists"}],
    }
    file = chart.folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    newer = helm("show", "crds", str(CHART)).replace("description: ", "description: Newer. ", 1)
    (chart.folder / "crds.yaml").write_text(newer)
    chart.kubectl(
        "apply",
        "--server-side",
        "--field-manager=helm",
        "--force-conflicts",
        "-f",
        str(chart.folder / "crds.yaml"),
    )
    said = chart.helm("upgrade", "keyturn", str(CHART), f"--values={file}", IMAGE)
    chart.kubectl("annotate", "ms/plain", "-n", "shop", "example.com/looked=again")
    return chart.observed(said)


@pytest.fixture(scope="module")
def uninstalled(chart: Chart, upgraded: Seen, installed: tuple[Seen, Operator]) -> Seen:
    """Nothing of the release, by the steps that the documentation names."""
    del upgraded
    retain = [{"op": "replace", "path": "/spec/pushTo/0/deletionPolicy", "value": "Retain"}]
    chart.kubectl("patch", "ms/pushed", "-n", "shop", "--type=json", "-p", json.dumps(retain))
    eventually(lambda: chart.held() == ["shop/forgotten"], "letting go")
    installed[1].stop()
    return chart.observed(chart.helm("uninstall", "keyturn", "--wait"))


@pytest.fixture(scope="module")
def let_go(chart: Chart, uninstalled: Seen) -> str:
    """The deletion of what still had a finalizer, by the command that the documentation names."""
    del uninstalled
    body = re.search(r"kubectl patch managedsecret NAME -n NAMESPACE --type=merge -p\s'(.*?)'`", _PAGE)
    assert body
    chart.kubectl("delete", "ms/forgotten", "-n", "shop", "--wait=false")
    said = chart.kubectl("patch", "managedsecret", "forgotten", "-n", "shop", "--type=merge", "-p", body[1])
    chart.kubectl("wait", "ms/forgotten", "-n", "shop", "--for=delete", "--timeout=10s")
    return said


@pytest.fixture(scope="module")
def again(chart: Chart, let_go: str) -> Iterator[Seen]:
    """The release once more, where an earlier one was."""
    del let_go
    said = chart.helm("install", "keyturn", str(CHART), "--set=classes.enabled=true", IMAGE)
    with chart.operator() as operator:
        operator.wait_for_log("leading")
        eventually(lambda: operator.looks() > 0, "a look")
        chart.kubectl("wait", "ms/plain", "-n", "shop", "--for=condition=Ready", "--timeout=20s")
        yield chart.observed(said)
        operator.stop()


def test_an_installed_chart_makes_secrets(installed: tuple[Seen, Operator]) -> None:
    observed, _ = installed

    assert (observed.classes, observed.kinds) == (6, len(list((CHART / "crds").iterdir())))
    assert observed.managed["status"]["revision"] == 1
    assert "Keyturn 0.1.0 serves every namespace." in observed.said
    assert (
        "kubectl label namespace keyturn-system pod-security.kubernetes.io/enforce=restricted"
        in observed.said
    )


def test_the_notes_show_a_manifest_that_is_taken(chart: Chart, installed: tuple[Seen, Operator]) -> None:
    manifest = re.search(r"^  apiVersion: .*?(?=^$|\Z)", installed[0].said, re.MULTILINE | re.DOTALL)
    assert manifest

    first = yaml.load(manifest[0], Loader=yaml.CSafeLoader)
    done = chart.kubectl.run("apply", "--dry-run=server", "-n", "shop", "-f", "-", given=first)

    assert (first["kind"], done.returncode, done.stderr) == ("ManagedSecret", 0, "")


def test_what_was_pushed_to_be_deleted_holds_its_managed_secret(installed: tuple[Seen, Operator]) -> None:
    assert installed[0].held == ["shop/forgotten", "shop/pushed"]


def test_an_upgrade_turns_no_value(installed: tuple[Seen, Operator], upgraded: Seen) -> None:
    before, _ = installed

    assert upgraded.secret == before.secret
    assert upgraded.managed["status"]["revision"] == 1
    assert (
        "Helm does not upgrade CRDs. Before the next upgrade, apply the CRDs of its chart:" in upgraded.said
    )


def test_an_uninstalled_chart_leaves_secrets_kinds_and_classes_and_nothing_else(
    upgraded: Seen, uninstalled: Seen
) -> None:
    assert uninstalled.secret == upgraded.secret
    assert uninstalled.managed["spec"] == upgraded.managed["spec"]
    assert (uninstalled.classes, uninstalled.kinds) == (upgraded.classes, upgraded.kinds)
    assert (upgraded.ours > 0, uninstalled.ours) == (True, 0)
    assert uninstalled.held == ["shop/forgotten"]  # of which nobody has let go


def test_what_was_let_go_can_be_deleted_without_an_operator(chart: Chart, uninstalled: Seen) -> None:
    del uninstalled
    chart.kubectl("delete", "ms/pushed", "-n", "shop", "--timeout=10s")

    assert chart.kubectl("get", "secret", "pushed", "-n", "shop", "-o", "name") == "secret/pushed\n"
    assert chart.kubectl("get", "secret", "pushed", "-n", "hub", "-o", "name") == "secret/pushed\n"


def test_what_was_forgotten_can_be_let_go_by_hand(chart: Chart, let_go: str) -> None:
    assert let_go == "managedsecret.keyturn.dev/forgotten patched\n"
    assert chart.kubectl("get", "secret", "forgotten", "-n", "hub", "-o", "name") == "secret/forgotten\n"


def test_installed_again_it_continues_with_the_values(again: Seen, uninstalled: Seen) -> None:
    assert again.secret == uninstalled.secret
    assert again.managed["status"]["revision"] == 1


def test_secrets_from_a_backup_are_taken_up_with_their_values(chart: Chart, again: Seen) -> None:
    del again
    secrets, before = (
        chart.backup("secrets", "-l", "keyturn.dev/managed-secret"),
        chart.values("kept", "bank"),
    )
    manifests = chart.backup("managedsecrets")
    chart.kubectl("delete", "namespace", "bank", "--timeout=50s")
    chart.kubectl("create", "namespace", "bank")

    chart.kubectl("create", "-f", "-", given=secrets)
    chart.kubectl("apply", "-f", "-", given=manifests)
    chart.kubectl("wait", "ms/kept", "-n", "bank", "--for=condition=Ready", "--timeout=30s")

    assert chart.values("kept", "bank") == before
