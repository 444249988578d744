from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import ControlPlane
from sandbox.harness import installation
from tests.faults.apiserver import Cluster
from tests.faults.database_namespace import Shop

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """A cluster of this folder's own, for tests that break it."""
    with ControlPlane.start() as plane, closing(Cluster(plane)) as cluster:
        installation.install_crds(cluster.kubectl)
        cluster.kubectl("apply", "-k", str(ROOT / "manifests" / "classes"))
        installation.install(cluster.kubectl)
        yield cluster


@pytest.fixture(scope="package")
def accounts(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Kubeconfigs by the name of a ServiceAccount: each operator of a test writes under its own name."""
    folder, known = tmp_path_factory.mktemp("accounts"), {}

    def account(name: str) -> Path:
        if name not in known:
            known[name] = cluster.account(name, folder)
        return known[name]

    return account


@pytest.fixture
def database_kubeconfig(accounts: Callable[[str], Path]) -> Path:
    """The account of an operator in tests of faults around a database."""
    return accounts("database-faults")


@pytest.fixture(scope="package")
def shop() -> Iterator[Shop]:
    """A PostgreSQL server of this folder's own, for tests that break it."""
    with Shop() as shop:
        yield shop
