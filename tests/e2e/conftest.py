"""One cluster with a real node for the tests of this folder, and Keyturn in it as its README installs it."""

import os
import secrets
from collections.abc import Generator, Iterator

import pytest

from sandbox.harness import Kubectl
from tests.e2e.machine import Installed, Machine, install, running
from tests.support import soak

if os.geteuid() != 0:
    collect_ignore_glob = ["test_*.py"]  # a real node needs root
elif soak.TIMES == 1:
    collect_ignore_glob = ["test_weight.py"]  # it needs both processors for minutes, and gigabytes


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the cluster and the operator's pods say of it."""
    report = yield
    machines = [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, Machine)]
    if report.failed and machines:
        report.sections.append(("cluster", machines[0].story()))
    return report


@pytest.fixture(scope="package")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = request.getfixturevalue("kind_cluster") if _is_kind(request) else None
    with running(tmp_path_factory.mktemp("operator-pods"), made) as machine:
        yield machine


def _is_kind(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--cluster") == "kind")


@pytest.fixture(scope="package")
def installed(machine: Machine) -> Installed:
    return install(machine)


@pytest.fixture
def operators(machine: Machine, installed: Installed) -> Machine:
    """The cluster, with two replicas that are ready and one of them leading, whatever the last test did."""
    del installed
    machine.wait_until_ready()
    return machine


@pytest.fixture(scope="package")
def kubectl(machine: Machine) -> Kubectl:
    return machine.kubectl


@pytest.fixture
def namespace(machine: Machine) -> Iterator[str]:
    """A namespace of the test's own under restricted Pod Security, ready for pods."""
    name = f"test-{secrets.token_hex(4)}"
    machine.objects.create_namespace(name, **{"pod-security.kubernetes.io/enforce": "restricted"})
    yield name
    machine.objects.delete("Namespace", "", name)
