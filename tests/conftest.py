"""What every test can ask for: a cluster, kubectl, a namespace of its own, an operator with its own rights."""

import gc
import json
import secrets
import signal
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyturn.controllers.manager import Options
from keyturn.kube.config import NotConfigured
from sandbox import ControlPlane, SandboxError, kind
from sandbox.harness import Kubectl, installation
from sandbox.pki import write_private
from tests.leaks.leak_gate import LeakGate, ValueRecorder
from tests.support import order, soak
from tests.support.figures import Figures
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator
from tests.support.objects import shared
from tests.support.operator_logs import OperatorLogs

ROOT = Path(__file__).parents[1]
_MEASURED = frozenset({("unit", "core"), ("unit", "api")})
"""The folders whose tests reach each branch of the core and of the models."""
_BUSY = (
    *("ManagedSecret", "SecretStore", "DatabaseTarget", "EmergencyRotation"),
    *("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "Pod", "Secret"),
)
"""The kinds whose objects cost processor time, or are found by tests, after the test that made them."""
_SOONER = (
    "keyturn.core.spec.references._DEFAULT_PROBE=5 keyturn.controllers.managedsecret.consumers.READ_GRACE=2"
)
"""Seconds after which the shared operator probes a published database password, instead of ten minutes, and reads the
pods of a rollout, instead of ten seconds."""
_LAST_ON_TROUBLED = pytest.StashKey[pytest.Item | None]()
soak.profile()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores it, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that tests may use: the sandbox's, one of kind, or that of the current context."""

    kubeconfig: Path
    plane: ControlPlane | None
    """The sandbox that it is, for tests that ask it what no other cluster tells."""

    def account(self, namespace: str, name: str, path: Path) -> Path:
        """Write a kubeconfig with a token of a ServiceAccount, good for as long as the tests take."""
        if self.plane:
            return self.plane.service_account_kubeconfig(namespace, name, path)
        return installation.write_account(Kubectl(self.kubeconfig), namespace, name, path, "12h")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster",
        choices=("sandbox", "kind", "current"),
        default="sandbox",
        help="where cluster tests run: the embedded control plane, kind (needs Docker), or the current context",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Trace what is measured alone, and leave out what only the sandbox can be asked where it is not the cluster.

    Tracing takes as much time again, also of tests that reach nothing of what is measured.
    """
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[:2] not in _MEASURED:
            item.add_marker(pytest.mark.no_cover)
    if config.getoption("--cluster") == "sandbox":
        return
    left_out = [item for item in items if "plane" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, nor look for any among them afterwards: they all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_finish(session: pytest.Session) -> None:
    users = (item for item in reversed(session.items) if "troubled" in getattr(item, "fixturenames", ()))
    session.stash[_LAST_ON_TROUBLED] = next(users, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """End the control plane `troubled` after its last test: an idle one takes a twentieth of a processor."""
    troubled = getattr(item, "funcargs", {}).get("troubled")
    result = yield
    if troubled is not None and item is item.session.stash[_LAST_ON_TROUBLED]:
        troubled.stop()
    return result


def pytest_report_header() -> str:
    return f"sweeps: {soak.TIMES} times as long as in make test, seed {soak.SEED}"


def pytest_configure(config: pytest.Config) -> None:
    recorder = ValueRecorder()
    config.pluginmanager.register(recorder, "value-recorder")
    config.pluginmanager.register(LeakGate(recorder), "leak-gate")
    config.pluginmanager.register(Figures(), "figures")
    config.pluginmanager.register(OperatorLogs(), "operator-logs")
    config.pluginmanager.register(order, "order")
    if config.getoption("--cluster") == "kind":
        _prepare_kind(config)


def _prepare_kind(config: pytest.Config) -> None:
    """Give the fixture `kind_cluster` what the project pins; its cluster is deleted also if it was made in part."""
    folder = tempfile.TemporaryDirectory(prefix="keyturn-kind-")
    config.add_cleanup(folder.cleanup)
    try:
        chosen = kind.options(Path(folder.name))
    except SandboxError as error:
        raise pytest.UsageError(str(error)) from None
    config.add_cleanup(lambda: kind.delete(chosen))
    vars(config.option).update(chosen)
    config.pluginmanager.import_plugin("pytest_kind.plugin")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    match request.config.getoption("--cluster"):
        case "sandbox":
            with ControlPlane.start() as plane:
                yield Cluster(plane.kubeconfig, plane)
        case "kind":
            yield Cluster(request.getfixturevalue("kind_cluster").kubeconfig_path, None)
        case _:
            yield Cluster(_current(folder / "kubeconfig"), None)


def _current(kubeconfig: Path) -> Path:
    """Copy the current context, so that no test can change the person's own file."""
    write_private(kubeconfig, json.dumps(installation.current_context(Kubectl())).encode())
    return kubeconfig


@pytest.fixture(scope="session")
def plane(cluster: Cluster) -> ControlPlane:
    """The sandbox behind the shared cluster; a test that needs it is left out with another cluster."""
    assert cluster.plane
    return cluster.plane


@pytest.fixture(scope="session")
def troubled() -> Iterator[ControlPlane]:
    """A sandbox without an operator, for tests that stop it, make it forget, or want nobody to react.

    Each leaves it running.
    """
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    """kubectl for a cluster that knows our kinds, our classes and our ServiceAccount."""
    kubectl = Kubectl(cluster.kubeconfig)
    installation.install_crds(kubectl)
    kubectl("apply", "-k", str(ROOT / "manifests" / "classes"))
    return kubectl


@pytest.fixture(scope="session")
def operator_kubeconfig(cluster: Cluster, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with exactly the rights that the shipped manifests give."""
    installation.install(kubectl)
    path = tmp_path_factory.mktemp("operator") / "kubeconfig"
    return cluster.account("keyturn-system", "keyturn", path)


@pytest.fixture(scope="session")
def files_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose files ClusterSecretStores may read."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="session")
def operator(
    operator_kubeconfig: Path, files_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeptOperator]:
    """One operator that all tests share who do not break it; servers of tests at 127.0.0.1 are stores for it."""
    log = tmp_path_factory.mktemp("operator-log") / "operator.log"
    options = ("--all-namespaces", f"--files-root={files_root}", "--allow-host=127.0.0.1")
    env = {"POD_NAMESPACE": "keyturn-system", CONSTANTS: _SOONER}
    with KeptOperator(operator_kubeconfig, log, *options, most_losses=20, env=env) as operator:
        operator.wait_for_log("leading")
        yield operator


@pytest.fixture
def namespace(cluster: Cluster, kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own, ready for pods."""
    del kubectl  # asked for so that the kinds are known
    name = f"test-{secrets.token_hex(4)}"
    objects = shared(cluster.kubeconfig)
    objects.create_namespace(name)
    yield name
    if cluster.plane is None:
        objects.delete("Namespace", "", name)
        return
    for busy in _BUSY:
        objects.delete(busy, name, "")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Return the options with which the operator was run; it ends at once, and logs nothing."""
    served: list[Options] = []

    async def run(options: Options) -> None:
        served.append(options)
        raise NotConfigured("no cluster")

    monkeypatch.setattr("keyturn.controllers.manager.run", run)
    monkeypatch.setattr("keyturn.runtime.logs.configure", lambda *_: None)
    return served
