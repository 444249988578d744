"""An operator that may neither list nor watch Secrets: under exactly the rights of its overlay."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually, installation
from tests.install.installation import NO_LIST, Installation
from tests.support.console import Console
from tests.support.objects import deployment, shared
from tests.support.operator import Operator

_A_TURN = 120.0
"""Seconds that a test waits for what takes a minute at most."""
_HERE = ("-n", "shop")
_USER = "system:serviceaccount:keyturn-system:keyturn"
_OTHER = base64.b64encode(b"something else").decode()

Body = dict[str, Any]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> Installation:
    """Keyturn of the overlay, without its pods: the operator is a process of the tests."""
    installed = Installation.of(NO_LIST, Kubectl(plane.kubeconfig))
    installed.kubectl("scale", "deployment", "keyturn", "-n", installation.NAMESPACE, "--replicas=0")
    return installed


@pytest.fixture(scope="module")
def kubectl(installed: Installation) -> Kubectl:
    return installed.kubectl


@pytest.fixture(scope="module")
def operator(
    installed: Installation, plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("no-list")
    account = plane.service_account_kubeconfig("keyturn-system", "keyturn", folder / "kubeconfig")
    deployed = installed.kubectl.json("get", "deployment", "keyturn", "-n", "keyturn-system")
    (container,) = deployed["spec"]["template"]["spec"]["containers"]
    word, *arguments = container["args"]
    assert word == "run"
    env = {"POD_NAMESPACE": "keyturn-system"}
    with Operator(account, folder / "operator.log", *arguments, env=env) as operator:
        operator.wait_for_log("leading")
        yield operator
        assert operator.returncode is None
        operator.stop()


@pytest.fixture
def managed(kubectl: Kubectl, operator: Operator, request: pytest.FixtureRequest) -> str:
    """A ManagedSecret with the name of the test, whose Secret is there."""
    del operator
    name = str(request.node.originalname).removeprefix("test_").replace("_", "-")[:50].strip("-")
    kubectl("apply", *_HERE, "-f", "-", given=managed_secret(name))
    kubectl("wait", f"ms/{name}", *_HERE, "--for=condition=Ready", "--timeout=60s")
    return name


def managed_secret(name: str, **spec: Any) -> Body:
    data = [{"name": "token", "generate": {"bytes": {}}}]
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name}}
    return {**body, "spec": {"data": data, "rollout": {"debounce": "0s"}, **spec}}


def secret(kubectl: Kubectl, name: str) -> Body | None:
    assert kubectl.kubeconfig
    return shared(kubectl.kubeconfig).find("Secret", "shop", name)


def data(kubectl: Kubectl, name: str) -> Body:
    return (secret(kubectl, name) or {}).get("data") or {}


def in_its_turn(holds: Callable[[], bool], what: str) -> None:
    eventually(holds, what, timeout=_A_TURN)


# Rights


@pytest.mark.parametrize("verb", ["list", "watch", "patch", "delete"])
@pytest.mark.parametrize("namespace", ["shop", "keyturn-system", "*"])
def test_it_must_not(verb: str, namespace: str, installed: Installation) -> None:
    assert not installed.may(verb, "secrets", namespace)


@pytest.mark.parametrize("verb", ["get", "create", "update"])
def test_it_may_still(verb: str, installed: Installation) -> None:
    assert installed.may(verb, "secrets", "shop")


def test_the_operator_has_all_rights_that_it_needs(plane: ControlPlane, operator: Operator) -> None:
    done = Console(plane.kubeconfig, "keyturn-system").run("check", "-o", "json")
    points = [one for one in json.loads(done.stdout)["points"] if one["point"] == "rights"]

    assert [one["result"] for one in points] == ["ok"]
    assert [line for line in operator.lines() if line.get("event") == "permission missing"] == []


# What it does


def test_it_rotates_and_rolls(managed: str, kubectl: Kubectl) -> None:
    body = deployment("turning", replicas=1)
    body["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": managed}}]
    kubectl("apply", *_HERE, "-f", "-", given=body)
    kubectl("rollout", "status", "deployment/turning", *_HERE, "--timeout=60s")
    before = data(kubectl, managed)

    kubectl("annotate", f"ms/{managed}", *_HERE, "keyturn.dev/rotate=leaver")

    kubectl("wait", f"ms/{managed}", *_HERE, "--for=jsonpath={.status.revision}=2", "--timeout=60s")
    kubectl("wait", f"ms/{managed}", *_HERE, "--for=condition=WorkloadsCurrent", "--timeout=60s")
    assert data(kubectl, managed) != before


@pytest.fixture(scope="module")
def spoilt(kubectl: Kubectl, operator: Operator) -> dict[str, Body]:
    """The values of three Secrets before one was edited, one deleted, and one lost its record: they share a turn."""
    del operator
    names = ("edited", "deleted", "recorded")
    for name in names:
        kubectl("apply", *_HERE, "-f", "-", given=managed_secret(name))
    kubectl("wait", *(f"ms/{name}" for name in names), *_HERE, "--for=condition=Ready", "--timeout=60s")
    before = {name: data(kubectl, name) for name in names}
    change = json.dumps({"data": {"token": _OTHER}})
    kubectl("patch", "secret", "edited", *_HERE, "--type=merge", "-p", change)
    kubectl("delete", "secret", "deleted", "recorded-keyturn", *_HERE)
    return before


@pytest.mark.parametrize("name", ["edited", "deleted"])
def test_what_others_did_to_a_secret_is_found_in_its_turn(
    name: str, spoilt: dict[str, Body], kubectl: Kubectl
) -> None:
    in_its_turn(lambda: data(kubectl, name) == spoilt[name], "the repair")


def test_a_deleted_record_is_made_again(spoilt: dict[str, Body], kubectl: Kubectl) -> None:
    in_its_turn(lambda: secret(kubectl, "recorded-keyturn") is not None, "the record")

    assert data(kubectl, "recorded") == spoilt["recorded"]


def test_after_a_restart_nothing_changes(managed: str, kubectl: Kubectl, operator: Operator) -> None:
    before = [secret(kubectl, name) for name in (managed, f"{managed}-keyturn")]

    with operator.away():
        pass
    eventually(lambda: operator.has_looked(1), "a look at everything")

    assert [secret(kubectl, name) for name in (managed, f"{managed}-keyturn")] == before


def test_a_secret_of_that_name_that_was_there_is_not_touched(kubectl: Kubectl, operator: Operator) -> None:
    del operator
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "taken"}, "data": {"token": _OTHER}}
    kubectl("apply", *_HERE, "-f", "-", given=body)

    kubectl("apply", *_HERE, "-f", "-", given=managed_secret("taken"))

    kubectl("wait", "ms/taken", *_HERE, "--for=condition=Stalled", "--timeout=60s")
    assert data(kubectl, "taken") == {"token": _OTHER}


def test_secrets_are_asked_for_by_name_alone(managed: str, plane: ControlPlane) -> None:
    del managed
    with plane.audit_log.open() as log:
        calls = [json.loads(line) for line in log]
    ours = [call for call in calls if call["user"].get("username") == _USER]
    told = [(call["verb"], call["objectRef"]["resource"]) for call in ours if "objectRef" in call]

    verbs = {verb for verb, resource in told if resource == "secrets"}
    assert {"get", "create"} <= verbs <= {"get", "create", "update"}
    assert ("list", "managedsecrets") in told


def test_a_standby_reads_none(managed: str, plane: ControlPlane, operator: Operator, tmp_path: Path) -> None:
    """Which of two asks is not in the audit log; so the second has a login of its own, with all rights."""
    del managed, operator
    with Operator(
        plane.kubeconfig,
        tmp_path / "standby.log",
        "--all-namespaces",
        "--secrets=by-name",
        env={"POD_NAMESPACE": "keyturn-system"},
    ) as standby:
        standby.wait_for_log("watching")
        eventually(lambda: "keyturn_leader 0" in standby.get("/metrics")[1], "a standby")
        _, metrics = standby.get("/metrics")
        standby.stop()

    assert 'resource="secrets"' not in metrics
