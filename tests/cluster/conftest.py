from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import Kubectl
from tests.cluster.admission_policies import Policy
from tests.cluster.classes import Class
from tests.cluster.namespace import Space
from tests.cluster.store_objects import Stores, Vault
from tests.conftest import Cluster
from tests.support.objects import Objects
from tests.support.operator import Operator
from tests.support.store_proxy import store_proxy
from tests.support.vault import VaultServer, running
from tests.support.webhook import Webhook, webhook


@pytest.fixture(scope="session")
def objects(cluster: Cluster, kubectl: Kubectl) -> Iterator[Objects]:
    """Every object of the cluster, with all rights; the kinds are known."""
    del kubectl
    with Objects.of(cluster.kubeconfig) as objects:
        yield objects


@pytest.fixture
def space(objects: Objects, namespace: str, operator: Operator) -> Iterator[Space]:
    """A namespace of the test's own that the operator serves; nothing that happens in it makes it stumble."""
    yield Space(objects, namespace)
    assert operator.returncode is None
    assert not [line for line in operator.lines(namespace) if _is_stumble(line, namespace)]


@pytest.fixture
def other(space: Space) -> Iterator[Space]:
    """A second namespace that the operator serves."""
    name = f"{space.namespace}-other"
    space.objects.create("", {"kind": "Namespace", "metadata": {"name": name}})
    yield Space(space.objects, name)
    space.objects.delete("Namespace", "", name)


@pytest.fixture(scope="session")
def vault_server() -> Iterator[VaultServer]:
    """A real Vault; who uses it gives its first build time: pytest.mark.timeout(BUILD_SECONDS)."""
    with running() as server:
        yield server


@pytest.fixture
def vault(space: Space, vault_server: VaultServer) -> Iterator[Vault]:
    """A SecretStore of that Vault, with a proxy between."""
    with store_proxy(vault_server.address) as before:
        vault = Vault(vault_server, space.namespace, space, before)
        vault.write_store()
        yield vault


@pytest.fixture
def files(space: Space, files_root: Path) -> Iterator[Stores]:
    """A ClusterSecretStore of a folder, which is read again after a second."""
    folder = files_root / space.namespace
    folder.mkdir()
    files = Stores(space, folder)
    files.write_files(refresh={"minInterval": "1s"})
    yield files
    files.delete()


@pytest.fixture
def class_(space: Space) -> Iterator[Class]:
    """A name for a SecretClass; the test writes it."""
    class_ = Class(space.objects, f"class-{space.namespace}")
    yield class_
    if class_.exists():
        class_.delete()


@pytest.fixture
def policy(space: Space) -> Iterator[Policy]:
    """A policy of the API server that refuses nothing yet."""
    policy = Policy(space.objects, space.namespace)
    yield policy
    policy.lift()


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Webhook]:
    """A server that the API server can ask about writes."""
    with webhook(tmp_path) as hook:
        yield hook


def _is_stumble(line: dict[str, Any], namespace: str) -> bool:
    """Say whether a line of the log tells of an error that nobody had thought of."""
    return line.get("event") == "reconcile failed" and str(line.get("key")).startswith(f"{namespace}/")
