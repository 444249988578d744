from collections.abc import Iterator

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually, installation
from tests.cluster.ui.ui_cluster import CANARY, Desk, applied, managed, role
from tests.cluster.ui.ui_objects import set_up
from tests.support.browser import Page, browser
from tests.support.objects import Objects
from tests.support.operator import Operator
from tests.support.web_ui import WebUi

_BOTH = ("managedsecrets", "emergencyrotations")
_ALL = ("secretstores", "clustersecretstores", "databasetargets", "clusterdatabasetargets", "secretclasses")


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("ui")
    with ControlPlane.start() as plane, Objects.of(plane.kubeconfig) as objects:
        kubectl = Kubectl(plane.kubeconfig)
        installation.install_crds(kubectl)
        installation.install(kubectl)
        for namespace in ("shop", "bank", "stage"):
            kubectl("create", "namespace", namespace)
        desk = Desk(plane, kubectl, objects, folder)
        for name in ("developer", "auditor", "steward"):
            kubectl("create", "serviceaccount", name, "-n", "shop")
            plane.service_account_kubeconfig("shop", name, folder / name)
        applied(kubectl, role("developer", "shop", *_BOTH) + role("auditor", "", *_BOTH, *_ALL))
        applied(kubectl, role("steward", "stage", "emergencyrotations"))
        set_up(desk)
        yield desk


@pytest.fixture(scope="package")
def operator(desk: Desk) -> Iterator[Operator]:
    """An operator that leads, with secrets in shop and in bank that hold a canary."""
    account = desk.plane.service_account_kubeconfig("keyturn-system", "keyturn", desk.folder / "account")
    environment = {"POD_NAMESPACE": "keyturn-system"}
    log, options = desk.folder / "log", ("--namespace=shop", "--namespace=bank")
    with Operator(account, log, *options, env=environment) as operator:
        operator.wait_for_log("leading")
        for namespace, name in (("shop", "checkout"), ("bank", "ledger")):
            items = {"name": "fixed", "literal": CANARY}, {"name": "token", "generate": {"bytes": {}}}
            desk.objects.create(namespace, managed(name, *items, owner=f"team-{namespace}"))
        eventually(lambda: _is_ready(desk, "shop", "checkout") and _is_ready(desk, "bank", "ledger"))
        yield operator


def _is_ready(desk: Desk, namespace: str, name: str) -> bool:
    status = desk.objects.get("ManagedSecret", namespace, name).get("status") or {}
    return any((one["type"], one["status"]) == ("Ready", "True") for one in status.get("conditions", ()))


@pytest.fixture(scope="package")
def stage(desk: Desk) -> Iterator[WebUi]:
    """The pages about `stage`, whose statuses a test has written: one of each kind."""
    with desk.serving("auditor", "--namespace=stage", "--no-browser") as ui:
        yield ui


@pytest.fixture
def page(desk: Desk) -> Iterator[Page]:
    """Open a browser that no test has used."""
    with browser() as page:
        page.look()
        page.on_load = lambda: desk.note(page.source)
        yield page
