from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually, installation
from tests.cluster.dashboard.dashboard_cluster import CANARY, ROOT, Dashboard, applied, managed, role
from tests.cluster.dashboard.dashboard_objects import set_up
from tests.support.browser import browser
from tests.support.forked_cli import CONSTANTS
from tests.support.objects import Objects
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser import Page


@pytest.fixture(scope="package")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("ui")
    with ControlPlane.start() as plane, Objects.of(plane.kubeconfig) as objects:
        kubectl = Kubectl(plane.kubeconfig)
        installation.install_crds(kubectl)
        installation.install(kubectl, _installation(folder))
        for namespace in ("shop", "bank", "stage"):
            kubectl("create", "namespace", namespace)
        _people(kubectl)
        yield Dashboard(plane, kubectl, objects, folder)


def _installation(folder: Path) -> Path:
    """Write a kustomization as the documentation has it: the base with the component."""
    parts = {"resources": ["manifests/base"], "components": ["manifests/components/ui"]}
    linked = folder / "manifests"
    linked.symlink_to(ROOT / "manifests")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"kind": "Kustomization", **parts}))
    return folder


def _people(kubectl: Kubectl) -> None:
    both = ("managedsecrets", "emergencyrotations")
    for name in ("developer", "auditor", "steward", "stranger"):
        kubectl("create", "serviceaccount", name, "-n", "shop")
    applied(kubectl, role("developer", "shop", *both) + role("auditor", "", *both))
    applied(kubectl, role("steward", "stage", "emergencyrotations"))


@pytest.fixture(scope="package")
def account(dashboard: Dashboard) -> Path:
    """What the operator logs in with: the rights of the base and of the component, and no others."""
    path = dashboard.folder / "account"
    return dashboard.plane.service_account_kubeconfig("keyturn-system", "keyturn", path)


@pytest.fixture(scope="package")
def operator(dashboard: Dashboard, account: Path) -> Iterator[Operator]:
    """An operator that leads, with secrets in shop and in bank that hold a canary."""
    options = ("--namespace=shop", "--namespace=bank", "--ui-port=0")
    environment = {"POD_NAMESPACE": "keyturn-system"}
    with Operator(account, dashboard.folder / "log", *options, env=environment) as operator:
        operator.wait_for_log("leading")
        for namespace, name in (("shop", "checkout"), ("bank", "ledger")):
            items = {"name": "fixed", "literal": CANARY}, {"name": "token", "generate": {"bytes": {}}}
            dashboard.objects.create(namespace, managed(name, *items, owner=f"team-{namespace}"))
        eventually(
            lambda: _is_ready(dashboard, "shop", "checkout") and _is_ready(dashboard, "bank", "ledger")
        )
        yield operator


def _is_ready(dashboard: Dashboard, namespace: str, name: str) -> bool:
    status = dashboard.objects.get("ManagedSecret", namespace, name).get("status") or {}
    return any((one["type"], one["status"]) == ("Ready", "True") for one in status.get("conditions", ()))


@pytest.fixture(scope="package")
def bystander(dashboard: Dashboard) -> Iterator[Operator]:
    """An operator that never leads, and shows statuses that a test has written: one of each kind."""
    set_up(dashboard)
    options = ("--namespace=stage", "--ui-port=0")
    # It believes the Lease of `dashboard_objects` for hours, although that is not renewed.
    environment = {"POD_NAMESPACE": "default", CONSTANTS: "keyturn.kube.lease_holder._MOST_TERMS=10000"}
    log = dashboard.folder / "bystander.log"
    with Operator(dashboard.plane.kubeconfig, log, *options, env=environment) as operator:
        operator.wait_for_log("watching")
        yield operator


@pytest.fixture
def page() -> Iterator[Page]:
    """Open a browser that nobody has used."""
    with browser() as page:
        page.look()
        yield page
