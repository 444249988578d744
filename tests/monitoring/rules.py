"""The shipped rules, and what promtool makes of them over series of a test's own."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.prometheus import promtool

MANIFESTS = Path(__file__).parents[2] / "manifests" / "monitoring"
GROUPS: list[dict[str, Any]] = yaml.safe_load((MANIFESTS / "rules.yaml").read_text())["spec"]["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDS: dict[str, str] = {
    rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule
}

_TARGETS = {
    pod: {"job": "keyturn", "pod": f"keyturn-{pod}", "instance": f"10.0.0.{pod}:8080"} for pod in "12"
}
_SYSTEM = {"namespace": "keyturn-system"}
BUILD = {"version": "0.1.0", "commit": "17cd3115a2b4", "python": "3.13.1"}
"""Labels of `keyturn_build_info`."""
_INFO = {"class": "database-password", "priority": "Critical", "owner": "team-orders@shop.test"}


@dataclass(frozen=True, slots=True)
class Case:
    """An alert that is silent, fires, and is over; the times are minutes.

    Its description is the one of rules.yaml, with the labels and the value of the alert.
    """

    alert: str
    series: Mapping[str, str]
    silent: int
    fires: int
    over: int
    labels: Mapping[str, str]
    value: str = ""
    """The value as the description shows it."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """What looks like a reason for an alert, and is none."""

    alert: str
    why: str
    series: Mapping[str, str]
    at: tuple[int, ...] = field(default=(20, 40, 80, 120))


def series(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{pairs}}}"


def of_object(
    metric: str, values: str, info: Mapping[str, str] | None = None, **labels: str
) -> dict[str, str]:
    """Have both replicas tell of a ManagedSecret, with its class."""
    key = {"namespace": "shop", "name": "auth"}
    return {
        series(f"keyturn_{name}", key | more | target): said
        for target in _TARGETS.values()
        for name, more, said in (("secret_info", dict(info or _INFO), "1x300"), (metric, labels, values))
    }


def of_process(metric: str, values: str, pod: str = "1", **labels: str) -> dict[str, str]:
    """Have one replica tell of what it does."""
    return {series(f"keyturn_{metric}", _SYSTEM | _TARGETS[pod] | labels): values}


def written(folder: Path, alert: str = "") -> Path:
    """Write the rules as Prometheus reads them, which is what the Prometheus operator does with them.

    With the name of an alert, write that alert and the recording rules only: promtool evaluates each rule at each
    minute of a test.
    """
    path = folder / "rules.yaml"
    groups = [
        group | {"rules": [rule for rule in group["rules"] if rule.get("alert") in {None, alert}]}
        for group in GROUPS
    ]
    path.write_text(json.dumps({"groups": groups if alert else GROUPS}))  # JSON is a part of YAML
    return path


def value(expression: str, at: int, told: Mapping[str, str], folder: Path) -> float:
    """Return what an expression without labels is, a number of minutes into what was told."""
    written(folder)
    asked = {"expr": expression, "eval_time": f"{at}m", "exp_samples": []}
    said = _play({"promql_expr_test": [asked]}, told, folder)
    found = re.search(r"got:.*\{\} ([0-9.E+-]+)", said, re.DOTALL)
    assert found, said
    return float(found[1])


def check(case: Case | Quiet, folder: Path) -> str:
    """Play a case; return what is not as it should be."""
    times = [(at, []) for at in case.at] if isinstance(case, Quiet) else _course(case)
    written(folder, case.alert)
    asked = [
        {"eval_time": f"{at}m", "alertname": case.alert, "exp_alerts": expected} for at, expected in times
    ]
    return _play({"alert_rule_test": asked}, case.series, folder)


def _play(asked: Mapping[str, Any], told: Mapping[str, str], folder: Path) -> str:
    """Have promtool look at series; return what is not as it was asked to be."""
    fed = [{"series": name, "values": values} for name, values in told.items()]
    test = {"interval": "1m", "input_series": fed, **asked}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    path = folder / "test.yaml"
    path.write_text(json.dumps(document))
    done = promtool("test", "rules", path)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _course(case: Case) -> list[tuple[int, list[Any]]]:
    shipped = ALERTS[case.alert]["annotations"]
    annotations = {**shipped, "description": _described(shipped["description"], case)}
    alert = {"exp_labels": dict(case.labels), "exp_annotations": annotations}
    return [(case.silent, []), (case.fires, [alert]), (case.over, [])]


def _described(template: str, case: Case) -> str:
    """Expand what the shipped descriptions use of Go templates; a label that the alert lacks fails the test."""

    def _optional(block: re.Match[str]) -> str:
        return block[2].replace("{{ . }}", case.labels[block[1]]) if case.labels.get(block[1]) else ""

    def _placeholder(found: re.Match[str]) -> str:
        return case.labels[found[1]] if found[1] else case.value

    text = re.sub(r"\{\{ with \$labels\.(\w+) \}\}(.*?)\{\{ end \}\}", _optional, template)
    return re.sub(r"\{\{ (?:\$labels\.(\w+)|[^}]*\$value[^}]*) \}\}", _placeholder, text)
