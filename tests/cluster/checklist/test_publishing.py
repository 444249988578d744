"""Verdicts of `keyturn audit` become metrics of an operator, with no more rights than the documentation gives."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox.harness import eventually
from tests.cluster.checklist.audit_command import audited
from tests.conftest import ROOT
from tests.support.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.harness import Kubectl
    from tests.cluster.namespace import Space
    from tests.conftest import Cluster
    from tests.support.operator import Operator
    from tests.unit.checklist.git_repository import Repository

_THERE = ("-n", "keyturn-system")
WHERE = ("configmap", "keyturn-checklist", *_THERE)
_PAGE = (ROOT / "docs" / "checklist.md").read_text()
_ROLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", _PAGE, re.DOTALL)]


@pytest.fixture(autouse=True)
def _clean(kubectl: Kubectl, operator: Operator) -> Iterator[None]:
    del operator  # its namespace is there
    kubectl("delete", *WHERE, "--ignore-not-found")
    yield
    kubectl("delete", *WHERE, "--ignore-not-found")


def reports(kubectl: Kubectl) -> dict[str, dict[str, str]]:
    """Return by report what is published of each point."""
    data = kubectl.json("get", *WHERE)["data"]
    return {
        name: {one["type"]: one["reason"] for one in json.loads(text)["conditions"]}
        for name, text in data.items()
    }


def test_each_report_has_its_own_verdicts(
    console: Console, kubectl: Kubectl, repository: Repository, space: Space
) -> None:
    space.managed()  # a Secret is written, which proves that it is encrypted
    first = audited(console, "--only", "at-rest", "--publish", "cluster")
    audited(Console(console.kubeconfig, ""), "--repository", str(repository.folder), "--publish", "shop")

    assert (first.code, first.errors) == (
        0,
        "published as cluster in ConfigMap keyturn-system/keyturn-checklist\n",
    )
    assert reports(kubectl) == {"cluster": {"AtRest": "Pass"}, "shop": {"SourceControl": "Pass"}}


def test_a_second_look_leaves_what_it_did_not_look_at(
    console: Console, kubectl: Kubectl, space: Space
) -> None:
    space.managed()
    audited(console, "--only", "at-rest", "--publish", "cluster")

    done = audited(console, "--only", "schedule", "--publish", "cluster")

    assert done.code == 1
    assert reports(kubectl) == {"cluster": {"AtRest": "Pass", "Schedule": "Fail"}}
    assert space.namespace not in kubectl("get", *WHERE, "-o", "yaml")


def test_what_was_published_is_served(console: Console, operator: Operator, space: Space) -> None:
    space.managed()
    audited(console, "--only", "at-rest", "--only", "recovery", "--publish", "cluster")
    with operator.away():
        pass  # a process reads what is published at its start, and then each minute

    def told(line: str) -> bool:
        return line in operator.get("/metrics")[1]

    eventually(
        lambda: told('keyturn_checklist{report="cluster",point="at-rest",verdict="Pass"} 1'),
        "it is served",
    )
    assert told('keyturn_checklist{report="cluster",point="recovery",verdict="Unknown"} 1')
    assert told('keyturn_checklist_timestamp_seconds{report="cluster",point="at-rest"} ')


@pytest.fixture
def publisher(cluster: Cluster, space: Space, kubectl: Kubectl, tmp_path: Path) -> Iterator[Console]:
    """An account with the two roles of the page, and no other."""
    account = f"system:serviceaccount:{space.namespace}:publisher"
    kubectl("create", "serviceaccount", "publisher", "-n", space.namespace)
    for role in _ROLES:
        kubectl("apply", *_THERE, "-f", "-", given=role)
        kubectl("apply", *_THERE, "-f", "-", given=_binding(role, space.namespace))
    assert cluster.plane, account
    path = cluster.plane.service_account_kubeconfig(space.namespace, "publisher", tmp_path / "publisher")
    yield Console(path, space.namespace)
    for role in _ROLES:
        kubectl("delete", *_THERE, "-f", "-", given=_binding(role, space.namespace))
        kubectl("delete", *_THERE, "-f", "-", given=role)


def _binding(role: dict[str, Any], namespace: str) -> dict[str, Any]:
    name = role["metadata"]["name"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": role["metadata"],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "publisher", "namespace": namespace}],
    }


def test_the_rights_of_the_page_are_enough(publisher: Console, kubectl: Kubectl) -> None:
    for _ in range(2):  # made, and written again
        done = audited(
            publisher, "--only", "at-rest", "--only", "strength", "--publish", "cluster", everywhere=True
        )

    assert "published as cluster" in done.errors
    assert reports(kubectl)["cluster"]["AtRest"] == "Pass"


def test_who_may_not_publish_gets_the_report_and_a_sentence(
    viewer: Console, kubectl: Kubectl, space: Space
) -> None:
    space.managed()

    done = audited(viewer, "--only", "revocation", "--publish", "cluster")

    assert done.code == 2
    assert done.document["findings"]
    assert done.errors.startswith("Error: forbidden: cannot get configmaps in namespace keyturn-system")
    assert kubectl.run("get", *WHERE).returncode != 0


@pytest.mark.parametrize("name", ["operator", "Shop", "a/b", ""])
def test_a_name_that_no_report_may_have_is_refused_before_anything_is_read(
    console: Console, name: str
) -> None:
    done = audited(console, "--publish", name)

    assert (done.code, done.printed) == (2, "")
    assert "cannot be a report" in done.errors


def test_a_foreign_entry_is_written_over_and_no_other_touched(console: Console, kubectl: Kubectl) -> None:
    kubectl(
        "create", *WHERE[:2], "-n", "keyturn-system", "--from-literal=cluster={", "--from-literal=note=mine"
    )

    audited(console, "--only", "at-rest", "--publish", "cluster")

    data = kubectl.json("get", *WHERE)["data"]
    assert data["note"] == "mine"
    assert json.loads(data["cluster"])["conditions"][0]["type"] == "AtRest"
