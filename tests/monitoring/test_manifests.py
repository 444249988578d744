"""What is applied: three objects that the Prometheus operator and Grafana's sidecar understand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.harness import Kubectl
from tests.install.installation import BASE
from tests.monitoring.dashboard import DASHBOARD
from tests.monitoring.rules import ALERTS, GROUPS, MANIFESTS


def rendered(folder: Path, tmp_path: Path) -> dict[str, Any]:
    kubectl = Kubectl(tmp_path / "no-cluster")
    return {
        one["kind"]: one for one in yaml.load_all(kubectl("kustomize", str(folder)), Loader=yaml.CSafeLoader)
    }


@pytest.fixture
def objects(tmp_path: Path) -> dict[str, Any]:
    return rendered(MANIFESTS, tmp_path)


def test_there_are_rules_a_monitor_and_a_dashboard(objects: dict[str, Any]) -> None:
    assert {kind: one["apiVersion"] for kind, one in objects.items()} == {
        "PrometheusRule": "monitoring.coreos.com/v1",
        "ServiceMonitor": "monitoring.coreos.com/v1",
        "ConfigMap": "v1",
    }
    assert {one["metadata"]["namespace"] for one in objects.values()} == {"keyturn-system"}


def test_the_rules_have_the_fields_of_their_kind_only(objects: dict[str, Any]) -> None:
    spec = objects["PrometheusRule"]["spec"]

    assert spec["groups"] == GROUPS
    assert {key for group in GROUPS for key in group} == {"name", "rules"}
    rules = [rule for group in GROUPS for rule in group["rules"]]
    assert {frozenset(rule) for rule in rules} == {
        frozenset({"record", "expr"}),
        frozenset({"alert", "for", "expr", "labels", "annotations"}),
    }


def test_the_severities_are_those_that_routes_know() -> None:
    words = {rule["labels"]["severity"] for rule in ALERTS.values()}
    templates = {word for word in words if "{{" in word}
    chosen = {word for text in templates for word in re.findall(r"\}\}(\w+)\{\{", text)}

    assert (words - templates) | chosen == {"critical", "warning", "info"}
    assert not any("\n" in text for text in templates)


def test_the_monitor_finds_the_metrics_of_the_installation(objects: dict[str, Any]) -> None:
    service = yaml.load((BASE / "operator" / "service.yaml").read_text(), Loader=yaml.CSafeLoader)
    monitor = objects["ServiceMonitor"]["spec"]

    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "keyturn"
    assert [one["port"] for one in monitor["endpoints"]] == [one["name"] for one in service["spec"]["ports"]]
    assert service["metadata"]["namespace"] == objects["ServiceMonitor"]["metadata"]["namespace"]


def test_labels_of_secrets_win_over_those_of_the_pod(objects: dict[str, Any]) -> None:
    assert [one["honorLabels"] for one in objects["ServiceMonitor"]["spec"]["endpoints"]] == [True]


def test_the_dashboard_is_found_by_the_sidecar_and_has_a_steady_name(objects: dict[str, Any]) -> None:
    found = objects["ConfigMap"]

    assert found["metadata"]["name"] == "keyturn-dashboard"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["keyturn.json"]) == DASHBOARD


def test_nothing_of_it_overwrites_a_part_of_the_installation(objects: dict[str, Any], tmp_path: Path) -> None:
    kubectl = Kubectl(tmp_path / "no-cluster")
    installed = {
        (one["kind"], one["metadata"]["name"])
        for one in yaml.load_all(kubectl("kustomize", str(BASE)), Loader=yaml.CSafeLoader)
    }

    assert {(kind, one["metadata"]["name"]) for kind, one in objects.items()} & installed == set()
