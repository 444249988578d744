"""What a running operator says of a cluster that does not fit it, and that it goes to work once it does."""

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.installation.checks.rights import Place, Right, rights_of
from keyturn.kube.client import Api
from sandbox.harness import Kubectl, eventually
from tests.conftest import ROOT, Cluster
from tests.install.checks.roles import OWN, without
from tests.support.console import Console
from tests.support.forked_cli import CONSTANTS
from tests.support.objects import Objects
from tests.support.operator import Operator

_CRD = yaml.load((ROOT / "crds" / "keyturn.dev_managedsecrets.yaml").read_text(), Loader=yaml.CSafeLoader)
_SOON = "keyturn.controllers.cluster_checks._FAILING_INTERVAL=3"
"""Seconds after which a check with a finding is repeated, instead of 15."""
_OUTDATED = 'keyturn_crd_outdated{crd="managedsecrets.keyturn.dev"}'


def lease_right(verb: str) -> Right:
    (found,) = [one for one in rights_of(Place(OWN, None)) if (one.verb, one.resource) == (verb, "leases")]
    return found


@pytest.fixture
def operator(account: Path, installed: Kubectl, tmp_path: Path) -> Iterator[Operator]:
    """An operator that is not started yet, with the rights of the manifests."""
    options = ("--all-namespaces", f"--lease-namespace={OWN}")
    operator = Operator(account, tmp_path / "operator.log", *options, env={CONSTANTS: _SOON})
    yield operator
    operator.kill()
    installed("delete", "lease", "keyturn", "-n", OWN, "--ignore-not-found")


def readiness(operator: Operator) -> tuple[int, list[str]]:
    code, text = operator.get("/readyz", health=True)
    return code, text.splitlines()


def logged(operator: Operator, event: str) -> list[dict[str, Any]]:
    return [line for line in operator.lines() if line["event"] == event]


async def test_without_a_right_on_the_lease_it_is_not_ready_and_says_why_once(
    admin: Api, operator: Operator
) -> None:
    verb = "get"
    async with without(lease_right(verb), admin):
        operator.start()
        line = f"lease not reachable: may not {verb} leases in namespace keyturn-system"
        eventually(lambda: readiness(operator) == (503, [line]), line)
        for _ in range(5):  # as long as two looks at the Lease
            assert operator.get("/livez", health=True)[0] == 200
            await asyncio.sleep(1)
        assert len(logged(operator, "lease not reachable")) == 1
        assert [one["permission"] for one in logged(operator, "permission missing")] == [
            str(lease_right(verb))
        ]
    eventually(lambda: readiness(operator) == (200, ["ok"]), "the operator to be ready", timeout=40)
    operator.wait_for_log("leading")


async def test_a_standby_is_ready_and_one_that_can_never_lead_is_not(
    admin: Api, operator: Operator, installed: Kubectl
) -> None:
    spec = {"holderIdentity": "another", "leaseDurationSeconds": 3600}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
    installed("apply", "-f", "-", given={**lease, "metadata": {"name": "keyturn", "namespace": OWN}})
    with operator:
        operator.wait_for_log("standby")
        eventually(lambda: readiness(operator) == (200, ["ok"]), "the standby to be ready")
        operator.stop()
        async with without(lease_right("update"), admin):
            operator.start()
            line = (
                "lease not reachable: may not update leases.coordination.k8s.io keyturn in namespace"
                " keyturn-system; manifests/base/operator/rbac.yaml gives this right"
            )
            eventually(lambda: readiness(operator) == (503, [line]), line)
        eventually(lambda: readiness(operator) == (200, ["ok"]), "the right to be seen", timeout=40)


async def test_a_right_that_is_needed_later_is_named_at_the_start(admin: Api, operator: Operator) -> None:
    taken = next(one for one in rights_of(Place(OWN, None)) if str(one).startswith("patch statefulsets"))
    async with without(taken, admin):
        operator.start()
        line = operator.wait_for_log("permission missing")
        operator.wait_for_log("leading")

    assert (line["permission"], line["manifest"]) == (
        "patch statefulsets.apps in all namespaces",
        "manifests/base/access/access.yaml",
    )


async def test_what_may_not_be_listed_is_named_by_readiness(admin: Api, operator: Operator) -> None:
    taken = next(one for one in rights_of(Place(OWN, None)) if str(one) == "list secretclasses.keyturn.dev")
    async with without(taken, admin):
        operator.start()
        line = "objects not listed yet: may not list secretclasses in all namespaces"
        eventually(lambda: readiness(operator) == (503, [line]), line)
    eventually(lambda: readiness(operator) == (200, ["ok"]), "the operator to be ready", timeout=60)

    assert len(logged(operator, "objects not listed")) == 1


# CRDs


def older_crd() -> dict[str, Any]:
    """Return the CRD as it was before status had workloads and history."""
    crd: dict[str, Any] = copy.deepcopy(_CRD)
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    for field in ("workloads", "history"):
        del status["properties"][field]
    return crd


def outdated(operator: Operator) -> str:
    _, text = operator.get("/metrics")
    return next((line.split()[-1] for line in text.splitlines() if line.startswith(_OUTDATED)), "")


def test_an_older_crd_is_said_in_log_metric_condition_and_check(
    operator: Operator, installed: Kubectl, own_plane: Cluster
) -> None:
    installed("apply", "--server-side", "--force-conflicts", "-f", "-", given=older_crd())
    eventually(lambda: "lacks" in console_says(own_plane), "the API server to publish it")
    installed("create", "namespace", "shop")
    try:
        operator.start()
        told = operator.wait_for_log("CRD outdated")
        installed("apply", "-n", "shop", "-f", "-", given=_MANAGED)
        eventually(lambda: condition(own_plane) is not None, "the condition")

        assert told["reason"] == "managedsecrets.keyturn.dev lacks status.workloads, status.history"
        assert outdated(operator) == "1.0"
        assert console_says(own_plane) == told["reason"]
        found = condition(own_plane)
        assert found is not None
        assert (found["status"], found["reason"]) == ("True", "FieldsMissing")
        assert "status.workloads, status.history" in found["message"]

        installed("apply", "--server-side", "--force-conflicts", "-f", "-", given=_CRD)
        eventually(lambda: condition(own_plane) is None, "the end of the condition", timeout=60)
        assert outdated(operator) == "0.0"
        # What was dropped is written as soon as it can be kept.
        eventually(lambda: history(own_plane) != [], "the history")

        installed("apply", "--server-side", "--force-conflicts", "-f", "-", given=older_crd())
        installed("annotate", "ms/auth", "-n", "shop", "keyturn.dev/rotate=now")
        eventually(lambda: condition(own_plane) is not None, "the dropped status to be noticed", timeout=60)
        assert outdated(operator) == "1.0"
        assert len(logged(operator, "CRD outdated")) == 2
    finally:
        installed("apply", "--server-side", "--force-conflicts", "-f", "-", given=_CRD)
        installed("delete", "namespace", "shop", "--wait=false")


_MANAGED = {
    "apiVersion": "keyturn.dev/v1alpha1",
    "kind": "ManagedSecret",
    "metadata": {"name": "auth"},
    "spec": {"data": [{"name": "password", "generate": {"password": {"length": 40}}}]},
}


def console_says(cluster: Cluster) -> str:
    done = Console(cluster.kubeconfig, OWN).run("check")
    return next(line.split(maxsplit=2)[2] for line in done.stdout.splitlines() if " crds " in line)


def condition(cluster: Cluster) -> dict[str, Any] | None:
    conditions = status(cluster).get("conditions", ())
    return next((one for one in conditions if one["type"] == "CrdOutdated"), None)


def history(cluster: Cluster) -> list[Any]:
    found: list[Any] = status(cluster).get("history", [])
    return found


def status(cluster: Cluster) -> dict[str, Any]:
    with Objects.of(cluster.kubeconfig) as objects:
        return dict(objects.get("ManagedSecret", "shop", "auth").get("status", {}))
