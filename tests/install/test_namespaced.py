"""An operator that has rights in one namespace only, and serves it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.install.installation import Installation
from tests.support.initial_status import filled_in
from tests.support.objects import deployment
from tests.support.operator import Operator


def managed(name: str, **spec: Any) -> dict[str, Any]:
    data = [{"name": "token", "generate": {"bytes": {}}}]
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name}}
    return {**body, "spec": {"data": data, "rollout": {"debounce": "0s"}, **spec}}


def consumer(name: str, secret: str) -> dict[str, Any]:
    body = deployment(name, replicas=1)
    body["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": secret}}]
    return body


@pytest.fixture(scope="module")
def operator(
    namespaced: Installation, namespaced_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    del namespaced
    folder = tmp_path_factory.mktemp("namespaced")
    account = namespaced_plane.service_account_kubeconfig("keyturn-system", "keyturn", folder / "kubeconfig")
    log, env = folder / "operator.log", {"POD_NAMESPACE": "keyturn-system"}
    with Operator(account, log, "--namespace", "shop", env=env) as operator:
        operator.wait_for_log("leading")
        yield operator
        assert operator.returncode is None
        operator.stop()


def test_rights_in_one_namespace_are_enough_to_rotate_and_roll(
    namespaced: Installation, operator: Operator
) -> None:
    kubectl, here = namespaced.kubectl, ("-n", "shop")
    del operator
    kubectl("apply", *here, "-f", "-", given=managed("turned"))
    kubectl("wait", "ms/turned", *here, "--for=condition=Ready", "--timeout=20s")
    kubectl("apply", *here, "-f", "-", given=consumer("turning", "turned"))
    kubectl("rollout", "status", "deployment/turning", *here, "--timeout=20s")

    kubectl("annotate", "ms/turned", *here, "keyturn.dev/rotate=leaver")

    kubectl("wait", "ms/turned", *here, "--for=jsonpath={.status.revision}=2", "--timeout=20s")
    kubectl("wait", "ms/turned", *here, "--for=condition=WorkloadsCurrent", "--timeout=20s")
    eventually(lambda: _marker(kubectl, "turning") == "turned=2", "the restart")


def test_another_namespace_is_not_served(namespaced: Installation, operator: Operator) -> None:
    kubectl = namespaced.kubectl
    kubectl("apply", "-n", "default", "-f", "-", given=managed("elsewhere"))
    kubectl("apply", "-n", "shop", "-f", "-", given=managed("here"))

    kubectl("wait", "ms/here", "-n", "shop", "--for=condition=Ready", "--timeout=20s")

    assert kubectl.json("get", "ms", "elsewhere", "-n", "default")["status"] == filled_in("ManagedSecret")
    assert "elsewhere" not in operator.get("/metrics")[1]


def test_a_rule_about_other_namespaces_is_said_not_to_be_checked(
    namespaced: Installation, operator: Operator
) -> None:
    kubectl = namespaced.kubectl
    del operator
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretClass", "metadata": {"name": "distinct"}}
    spec = {"distinctAcrossEnvironments": True, "rotation": {"every": "90d"}}
    kubectl("apply", "-f", "-", given=body | {"spec": spec})
    kubectl("apply", "-n", "shop", "-f", "-", given=managed("compared", className="distinct"))

    kubectl("wait", "ms/compared", "-n", "shop", "--for=condition=PolicyCompliant", "--timeout=20s")
    kubectl("wait", "ms/compared", "-n", "shop", "--for=condition=Ready", "--timeout=20s")
    conditions = kubectl.json("get", "ms", "compared", "-n", "shop")["status"]["conditions"]
    said = next(one for one in conditions if one["type"] == "PolicyCompliant")

    assert said["reason"] == "PartlyChecked"
    assert said["message"] == (
        "every rule that can be checked holds; distinctAcrossEnvironments is not checked: the operator watches"
        " selected namespaces and cannot read the labels of others"
    )


def test_a_store_for_all_serves_a_namespace_that_it_names_and_none_that_it_selects(
    namespaced: Installation, operator: Operator
) -> None:
    kubectl = namespaced.kubectl
    del operator
    file = {"stringData": {".env": "TOKEN=of-the-administrator"}}
    kubectl("apply", "-n", "keyturn-system", "-f", "-", given=of_core("Secret", "env") | file)
    dotenv = {"dotenv": {"secretRef": {"name": "env", "key": ".env"}}}
    ways: dict[str, dict[str, Any]] = {"named": {"names": ["shop"]}, "selected": {"selector": {}}}
    for name, allowed in ways.items():
        body = {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "ClusterSecretStore",
            "metadata": {"name": name},
        }
        spec = {"provider": dotenv, "allowedNamespaces": allowed}
        kubectl("apply", "-f", "-", given=body | {"spec": spec})
        ref = {"storeRef": {"kind": "ClusterSecretStore", "name": name}, "remoteRef": {"key": "TOKEN"}}
        data = [{"name": "token", "from": ref}]
        kubectl("apply", "-n", "shop", "-f", "-", given=managed(f"from-{name}", data=data))

    kubectl("wait", "kcstore/named", "--for=condition=Ready", "--timeout=20s")
    kubectl("wait", "ms/from-named", "-n", "shop", "--for=condition=Ready", "--timeout=20s")
    kubectl("wait", "ms/from-selected", "-n", "shop", "--for=condition=Stalled", "--timeout=20s")
    conditions = kubectl.json("get", "ms", "from-selected", "-n", "shop")["status"]["conditions"]
    said = next(one for one in conditions if one["type"] == "Stalled")

    assert said["reason"] == "NamespaceNotAllowed"
    assert said["message"].endswith("name the namespace in allowedNamespaces.names")


def of_core(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def _marker(kubectl: Kubectl, name: str) -> str | None:
    template = json.loads(
        kubectl("get", "deployment", name, "-n", "shop", "-o", "jsonpath={.spec.template.metadata}")
    )
    marker: str | None = template.get("annotations", {}).get("keyturn.dev/secret-versions")
    return marker
