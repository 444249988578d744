"""An operator that may neither list nor watch Secrets: under exactly the rights of its overlay."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually, installation
from tests.install.installation import NO_LIST, Installation
from tests.install.test_rights import golden
from tests.support.console import Console
from tests.support.forked_cli import CONSTANTS
from tests.support.objects import deployment, shared
from tests.support.operator import Operator

_SOON = "keyturn.kube.secret_informer.SOONEST=1 keyturn.kube.secret_informer.LATEST=2"
"""Seconds between two reads of a Secret, instead of most of a minute."""
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
    env = {"POD_NAMESPACE": "keyturn-system", CONSTANTS: _SOON}
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


# Rights


def test_it_has_the_rights_of_a_whole_cluster_but_to_list_secrets(installed: Installation) -> None:
    everything = golden("cluster-wide.shop").replace("secrets [] [] [get list watch", "secrets [] [] [get")

    assert installed.rights("shop") == everything


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


def test_what_others_did_to_a_secret_is_repaired(managed: str, kubectl: Kubectl) -> None:
    before, change = data(kubectl, managed), json.dumps({"data": {"token": _OTHER}})

    kubectl("patch", "secret", managed, *_HERE, "--type=merge", "-p", change)
    eventually(lambda: data(kubectl, managed) == before, "the values")

    kubectl("delete", "secret", f"{managed}-keyturn", *_HERE)
    eventually(lambda: secret(kubectl, f"{managed}-keyturn") is not None, "the record")


def test_secrets_are_asked_for_by_name_alone(managed: str, plane: ControlPlane) -> None:
    del managed
    with plane.audit_log.open() as log:
        calls = [json.loads(line) for line in log]
    ours = [call for call in calls if call["user"].get("username") == _USER]
    told = [(call["verb"], call["objectRef"]["resource"]) for call in ours if "objectRef" in call]

    verbs = {verb for verb, resource in told if resource == "secrets"}
    assert {"get", "create"} <= verbs <= {"get", "create", "update"}
    assert ("list", "managedsecrets") in told
