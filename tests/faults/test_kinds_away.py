"""A kind that is taken away and comes back, as by a CRD that is replaced, stops nothing but its own objects."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Cluster
from tests.faults.conftest import ROOT
from tests.faults.namespace import workload_namespaces
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator

_CRD = "clustersecretstores.keyturn.dev"
_STORE = f"{MANAGED}/clustersecretstores/away"
_SHORT = "keyturn.controllers.kopf_source._SERVER_TIMEOUT=3"
"""Seconds of a watch, instead of 60."""


@pytest.fixture
def no_cluster_stores(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Take the kind ClusterSecretStore away; call it to have the kind back, which the end of the test does, too."""

    def bring_back() -> None:
        cluster.kubectl("apply", "-k", str(ROOT / "crds"))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{_CRD}", "--timeout=20s")

    yield bring_back
    bring_back()


def test_a_kind_that_is_away_for_a_while_is_watched_again(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path, no_cluster_stores: Callable[[], None]
) -> None:
    meanwhile, after = workload_namespaces(cluster, 2)
    log, env = tmp_path / "operator.log", {"POD_NAMESPACE": after.namespace, CONSTANTS: _SHORT}
    with KeptOperator(accounts("away"), log, "--all-namespaces", env=env) as operator:
        operator.wait_for_log("leading")
        is_judged(cluster)
        cluster.kubectl("delete", "crd", _CRD, "--timeout=30s")
        # A watch that began before the kind was gone may end by its timeout alone.
        eventually(
            lambda: "will retry" in log.read_text(), "a try that fails", 60, lambda: operator.returncode
        )
        meanwhile.create()
        # One that loses its Lease on a busy machine starts only when the kind is back.
        eventually(lambda: meanwhile.is_at(1) or operator.losses > 0, "a first revision meanwhile", 90)

        no_cluster_stores()
        is_judged(cluster)
        after.create()
        meanwhile.wait_for(1)
        eventually(lambda: after.is_at(1), "a first revision after it", 90)
        assert operator.returncode is None
    cluster.delete(_STORE)


def is_judged(cluster: Cluster) -> None:
    """Make a ClusterSecretStore, and wait until the operator has seen it."""
    kind = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ClusterSecretStore"}
    spec = {"provider": {"files": {"path": "/nowhere"}}}
    path, _, name = _STORE.rpartition("/")
    cluster.create(path, {**kind, "metadata": {"name": name}, "spec": spec})

    def is_observed() -> bool:
        store = cluster.get(_STORE)
        # A new object has a default status, which has observed no generation of it.
        return bool(store["status"]["observedGeneration"] == store["metadata"]["generation"])

    eventually(is_observed, "a status of a store of that kind", 90)


@pytest.fixture
def no_targets(cluster: Cluster) -> Iterator[None]:
    """Take the kinds of database targets away, as an older set of CRDs lacks them."""
    names = ("databasetargets.keyturn.dev", "clusterdatabasetargets.keyturn.dev")
    cluster.kubectl("delete", "crd", *names, "--timeout=30s")
    yield
    cluster.kubectl("apply", "-k", str(ROOT / "crds"))
    cluster.kubectl(
        "wait", "--for=condition=Established", *(f"crd/{name}" for name in names), "--timeout=20s"
    )


@pytest.mark.usefixtures("no_targets")
def test_an_operator_starts_with_an_older_set_of_crds(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    (space,) = workload_namespaces(cluster, 1)
    log, env = tmp_path / "operator.log", {"POD_NAMESPACE": space.namespace}
    with KeptOperator(accounts("older"), log, "--all-namespaces", env=env) as operator:
        operator.wait_for_log("leading")
        operator.wait_for_log("kind not watched")

        space.create()

        eventually(lambda: space.is_at(1), "a first revision", 90)
        assert operator.returncode is None
