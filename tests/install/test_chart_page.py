"""What the page on installing says of the chart and of the kustomizations is so."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.install.helm import CHART, ROOT
from tests.install.installation import BASE, MANIFESTS
from tests.support.kubectl import Kubectl

_PAGE = (ROOT / "docs" / "install.md").read_text()


def objects(folder: str) -> set[str]:
    text = Kubectl(ROOT / "no-cluster")("kustomize", str(MANIFESTS / folder))
    bodies = list(yaml.safe_load_all(text))
    return {
        f"{body['kind']} {body['metadata'].get('namespace')}/{body['metadata']['name']}" for body in bodies
    }


def test_each_value_that_is_named_exists() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    rows = re.findall(r"^\| (`\w[\w.]*`.*?) \|", _PAGE, re.MULTILINE)
    names = [name for row in rows for name in written_out(re.findall(r"`([^`]+)`", row))]

    assert len(names) > 10
    assert [name for name in names if not knows(schema, name.split("."))] == []


def written_out(names: list[str]) -> list[str]:
    """Write `.labels` after `monitoring.enabled` as `monitoring.labels`."""
    group = names[0].split(".")[0]
    return [f"{group}{name}" if name.startswith(".") else name for name in names]


def knows(schema: dict[str, Any], path: list[str]) -> bool:
    for part in path:
        if part not in schema.get("properties", {}):
            return False
        schema = schema["properties"][part]
    return True


def test_what_is_taken_away_by_kustomize_is_all_but_the_crds() -> None:
    folders = re.findall(r"^ *\$ kubectl delete -k manifests/(\S+)$", _PAGE, re.MULTILINE)
    gone = set().union(*map(objects, folders))
    left = {name for name in objects(BASE.name) - gone if not name.startswith("CustomResourceDefinition ")}

    assert (len(folders), left) == (3, set())
    assert gone <= objects(BASE.name)


def test_the_oldest_kubernetes_is_that_of_the_chart() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (oldest,) = re.findall(r"needs Kubernetes (\S+) or newer", _PAGE)

    assert chart["kubeVersion"] == f">={oldest}.0-0"
